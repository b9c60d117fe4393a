import { describe, expect, it } from 'vitest'
import { checkPath, filesFolder, memoryFolder, openIfPresent, urlFolder } from '../../src/weights/folder.ts'
import { SourceError } from '../../src/weights/source.ts'

describe('checkPath', () => {
  it.each(['a', 'a.b', 'a/b', '..a', 'a..', '.hidden', 'ä ö', 'a%2e%2e', '__proto__'])('allows %j', (path) => {
    expect(checkPath('f', path)).toBe(path)
  })

  it.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/..',
    './a',
    'a\\b',
    '..\\a',
    'C:a',
    'file:a',
    'a\0b',
    'a\nb',
    'a\x7f',
  ])('refuses %j', (path) => {
    expect(() => checkPath('f', path)).toThrow(expect.objectContaining({ code: 'path_refused', param: path }))
  })
})

describe('memoryFolder', () => {
  const folder = memoryFolder('m', {
    text: 'é',
    bytes: new Uint8Array([1, 2]),
    blob: new Blob(['xyz']),
    'sub/file': '',
  })

  it('opens bytes, text and blobs', async () => {
    const text = async (path: string) => {
      const source = await folder.open(path)
      return new TextDecoder().decode(await source.read(0, source.size))
    }
    expect(await text('text')).toBe('é')
    expect(await text('bytes')).toBe('\x01\x02')
    expect(await text('blob')).toBe('xyz')
    expect(await text('sub/file')).toBe('')
    expect((await folder.open('text')).name).toBe('m/text')
  })

  it('lists and knows its files', async () => {
    expect(await folder.list!()).toEqual(['blob', 'bytes', 'text'])
    expect(await folder.has('text')).toBe(true)
    expect(await folder.has('sub')).toBe(false)
    expect(await folder.has('toString')).toBe(false)
  })

  it('refuses what is not there and what is outside', async () => {
    await expect(folder.open('none')).rejects.toMatchObject({
      code: 'file_not_found',
      message: 'There is no none in m.',
    })
    await expect(folder.open('../text')).rejects.toMatchObject({ code: 'path_refused' })
    await expect(folder.has('../text')).rejects.toBeInstanceOf(SourceError)
    expect(await openIfPresent(folder, 'none')).toBeNull()
    await expect(openIfPresent(folder, '../text')).rejects.toMatchObject({ code: 'path_refused' })
  })
})

describe('filesFolder', () => {
  const file = (path: string, name = path.split('/').at(-1)!): File =>
    Object.defineProperty(new File(['x'], name), 'webkitRelativePath', { value: path })

  it('takes a chosen directory without its own name', async () => {
    const folder = filesFolder('picked', [file('pirate/adapter_config.json'), file('pirate/sub/more.json')])
    expect(await folder.list!()).toEqual(['adapter_config.json'])
    expect(await folder.has('sub/more.json')).toBe(true)
  })

  it('takes single files by their names', async () => {
    const folder = filesFolder('picked', [file('', 'a.json'), file('', 'b.bin')])
    expect(await folder.list!()).toEqual(['a.json', 'b.bin'])
  })
})

describe('urlFolder', () => {
  function recording() {
    const asked: string[] = []
    const fetch = async (url: string): Promise<Response> => {
      asked.push(url)
      return url.includes('none') ? new Response(null, { status: 404 }) : new Response('{}')
    }
    return { asked, fetch }
  }

  it('asks below its base, keeping the query, encoding what a name may contain', async () => {
    const { asked, fetch } = recording()
    const folder = urlFolder('https://example.org/models/tiny?token=s', { fetch })
    expect(folder.name).toBe('https://example.org/models/tiny/')
    await folder.open('config.json')
    await folder.open('sub/a b?c#d%2e%2e')
    expect(asked).toEqual([
      'https://example.org/models/tiny/config.json?token=s',
      'https://example.org/models/tiny/sub/a%20b%3Fc%23d%252e%252e?token=s',
    ])
  })

  it('asks nothing for a path that leaves the base', async () => {
    const { asked, fetch } = recording()
    const folder = urlFolder('https://example.org/models/', { fetch })
    for (const path of ['../x', '/x', 'https://evil.example/x', 'a/../../x']) {
      await expect(folder.open(path)).rejects.toMatchObject({ code: 'path_refused' })
    }
    expect(asked).toEqual([])
  })

  it('knows what is there', async () => {
    const folder = urlFolder('https://example.org/models/', recording())
    expect(await folder.has('config.json')).toBe(true)
    expect(await folder.has('none.json')).toBe(false)
    await expect(folder.open('none.json')).rejects.toMatchObject({ code: 'file_not_found' })
    expect(folder.list).toBeUndefined()
  })
})
