import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { readTar, sliceSource, TarError } from '../../src/weights/tar.ts'
import { type MadeTarEntry, makeTar } from './makeTar.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Names to contents. */
async function untar(bytes: Uint8Array): Promise<Record<string, string>> {
  const source = bytesSource('made.tar', bytes)
  const contents: Record<string, string> = {}
  for (const { name, byteOffset, byteLength } of (await readTar(source)).values()) {
    contents[name] = new TextDecoder().decode(await source.read(byteOffset, byteLength))
  }
  return contents
}

describe('readTar', () => {
  it.each<[string, readonly MadeTarEntry[], Record<string, string>]>([
    [
      'files and folders',
      [
        { name: './', type: '5' },
        { name: './a', bytes: text('one') },
        { name: 'b/c', bytes: text('two') },
      ],
      { a: 'one', 'b/c': 'two' },
    ],
    [
      'a file of whole blocks',
      [
        { name: 'a', bytes: text('x'.repeat(1024)) },
        { name: 'b', bytes: text('y') },
      ],
      { a: 'x'.repeat(1024), b: 'y' },
    ],
    ['an old header', [{ name: 'a', bytes: text('one'), type: '\0' }], { a: 'one' }],
    ['a prefix', [{ name: 'a', prefix: 'long/path', bytes: text('one') }], { 'long/path/a': 'one' }],
    ['a binary size', [{ name: 'a', bytes: text('one'), binarySize: true }], { a: 'one' }],
    [
      'a GNU long name',
      [
        { name: '././@LongLink', type: 'L', bytes: text(`${'n'.repeat(200)}\0`) },
        { name: 'n', bytes: text('one') },
      ],
      { ['n'.repeat(200)]: 'one' },
    ],
    [
      'a pax name',
      [
        { name: 'pax', type: 'x', bytes: text('20 mtime=1234567890\n13 path=./é\n') },
        { name: 'e', bytes: text('one') },
        { name: 'f' },
      ],
      { é: 'one', f: '' },
    ],
    ['global pax headers', [{ name: 'pax', type: 'g', bytes: text('9 a=bcde\n') }, { name: 'a' }], { a: '' }],
  ])('reads %s', async (_, entries, expected) => {
    expect(await untar(makeTar(entries))).toEqual(expected)
    expect(await untar(makeTar(entries, false))).toEqual(expected)
  })

  it.each<[string, Uint8Array, string]>([
    ['a name that climbs', makeTar([{ name: '../../escape' }]), 'leads out'],
    ['a name that climbs from inside', makeTar([{ name: './a/../../b' }]), 'leads out'],
    ['an absolute name', makeTar([{ name: '/etc/passwd' }]), 'leads out'],
    ['a drive', makeTar([{ name: 'C:\\x' }]), 'leads out'],
    ['a long name that climbs', makeTar([{ name: 'x', type: 'L', bytes: text('../y') }, { name: 'y' }]), 'leads out'],
    ['a link', makeTar([{ name: 'a', type: '2' }]), 'neither a file nor a folder'],
    ['a hard link', makeTar([{ name: 'a', type: '1' }]), 'neither a file nor a folder'],
    ['a device', makeTar([{ name: 'a', type: '3' }]), 'neither a file nor a folder'],
    ['double names', makeTar([{ name: 'a' }, { name: './a' }]), 'is there twice'],
    ['a size beyond the file', makeTar([{ name: 'a', size: 8 ** 10 }]), 'was cut off'],
    [
      'a size in a pax header',
      makeTar([{ name: 'p', type: 'x', bytes: text('14 size=99999\n') }, { name: 'a' }]),
      'changes sizes',
    ],
    [
      'sparse files',
      makeTar([{ name: 'p', type: 'x', bytes: text('22 GNU.sparse.major=1\n') }, { name: 'a' }]),
      'changes sizes',
    ],
    ['one name for all', makeTar([{ name: 'p', type: 'g', bytes: text('10 path=b\n') }, { name: 'a' }]), 'one name'],
    ...['path=b\n', '5 path=b\n', '99 path=b\n', '0 path=b\n', '10 path=bc', '1e1 path=b\n'].map(
      (record): [string, Uint8Array, string] => [
        `a pax header of ${JSON.stringify(record)}`,
        makeTar([{ name: 'p', type: 'x', bytes: text(record) }, { name: 'a' }]),
        'an extended header is broken',
      ],
    ),
    [
      'a name longer than paths are',
      makeTar([{ name: 'p', type: 'L', bytes: text('x'.repeat(4097)) }, { name: 'a' }]),
      'has a name of 4097 characters',
    ],
    ['thousands of entries', makeTar(Array.from({ length: 1002 }, (_, i) => ({ name: `${i}` }))), 'more than 1000'],
    ['a huge name', makeTar([{ name: 'p', type: 'L', bytes: new Uint8Array(70_000) }, { name: 'a' }]), 'too large'],
    ['a broken checksum', makeTar([{ name: 'a' }]).map((byte, i) => (i === 3 ? 88 : byte)), 'a header is broken'],
    ['gzip', Uint8Array.of(0x1f, 0x8b, ...new Array(600).fill(7)), 'compressed with gzip'],
    ['nothing', new Uint8Array(10), 'holds no file'],
  ])('refuses %s', async (_, bytes, says) => {
    const outcome = untar(bytes)
    await expect(outcome).rejects.toThrow(TarError)
    await expect(outcome).rejects.toThrow(says)
  })

  it('answers changed archives with their contents or typed errors', async () => {
    const whole = makeTar([
      { name: 'a', bytes: text('one') },
      { name: 'x', type: 'x', bytes: text('11 path=bb\n') },
      { name: 'b', bytes: text('two') },
    ])
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(whole.length),
        async (changes, cut) => {
          const bytes = whole.slice(0, Math.max(cut, 600))
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          await untar(bytes).catch((error: unknown) => {
            if (!(error instanceof LorikeetError)) throw error
          })
        },
      ),
      { numRuns: 2000, seed: 31 },
    )
  })
})

describe('sliceSource', () => {
  it('reads its part and nothing else', async () => {
    const whole = bytesSource('whole', text('0123456789'))
    const slice = sliceSource(whole, 'part', 2, 5)
    expect(new TextDecoder().decode(await slice.read(1, 3))).toBe('345')
    await expect(slice.read(3, 3)).rejects.toMatchObject({ code: 'read_out_of_range', param: 'part' })
    await slice.close()
    expect(await whole.read(0, 1)).toEqual(text('0'))
  })
})
