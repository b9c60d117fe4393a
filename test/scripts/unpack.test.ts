/** The way from an npm package to a driver's files. */
import { createHash } from 'node:crypto'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { unpackChromium } from '../../scripts/lib/chromium.mjs'
import { cacheFolders } from '../../scripts/lib/chromiumPackage.mjs'
import { unpackSwiftShader } from '../../scripts/lib/swiftshader.mjs'
import { tarFiles } from '../../scripts/lib/tar.mjs'

interface Entry {
  readonly name: string
  readonly bytes: Uint8Array
  readonly type?: string
}

/** A tar as any tar program writes it: ustar headers, blocks of 512 bytes, two empty ones at the end. */
function tar(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ name, bytes, type = '0' }) => {
    const header = Buffer.alloc(512)
    header.write(name.slice(-100), 0)
    header.write('0000644\0', 100)
    header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
    header.write(type, 156)
    header.write('ustar\x0000', 257)
    if (name.length > 100) header.write(name.slice(0, -101), 345)
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

describe('tarFiles', () => {
  it('gives back what was put in, for any files', () => {
    const entry = fc.record({
      name: fc.stringMatching(/^[a-z.]{1,90}(\/[a-z.]{1,90})?$/),
      bytes: fc.uint8Array({ maxLength: 1500 }),
    })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const read = [...tarFiles(tar(entries))].map(({ name, bytes }) => ({ name, bytes: new Uint8Array(bytes) }))
        expect(read).toEqual(entries)
      }),
    )
  })

  it('passes over folders and links', () => {
    const archive = tar([
      { name: 'a/', bytes: text(''), type: '5' },
      { name: 'l', bytes: text(''), type: '2' },
      { name: 'a/f', bytes: text('x') },
    ])
    expect([...tarFiles(archive)].map(({ name }) => name)).toEqual(['a/f'])
  })

  it('refuses a cut-off archive and what is no tar', () => {
    const archive = tar([{ name: 'f', bytes: new Uint8Array(600) }])
    expect(() => [...tarFiles(archive.subarray(0, 1024))]).toThrow('f ends behind the end of the archive')
    expect(() => [...tarFiles(Buffer.alloc(512, 'x'))]).toThrow('not a tar header at byte 0')
  })
})

describe('unpackSwiftShader', () => {
  const files = ['libEGL.so', 'libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json']
  const pack = (names: readonly string[]) => brotliCompressSync(tar(names.map((name) => ({ name, bytes: text(name) }))))
  const npmPackage = (inner: Uint8Array) =>
    gzipSync(
      tar([
        { name: 'package/package.json', bytes: text('{}') },
        { name: 'package/bin/swiftshader.tar.br', bytes: inner },
      ]),
    )
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  it('keeps the driver, the loader and the manifest', () => {
    const inner = pack(files)
    const kept = unpackSwiftShader(npmPackage(inner), sha256(inner))
    expect([...kept.keys()]).toEqual(files.slice(1))
    expect(new TextDecoder().decode(kept.get('libvulkan.so.1'))).toBe('libvulkan.so.1')
  })

  it('refuses another archive than the one that was checked', () => {
    expect(() => unpackSwiftShader(npmPackage(pack(files)))).toThrow('is not the file that was checked')
  })

  it('refuses a package without it, or without one of its files', () => {
    const inner = pack(files.slice(0, 3))
    expect(() => unpackSwiftShader(gzipSync(tar([])))).toThrow('holds no package/bin/swiftshader.tar.br')
    expect(() => unpackSwiftShader(npmPackage(inner), sha256(inner))).toThrow('holds no vk_swiftshader_icd.json')
  })
})

describe('unpackChromium', () => {
  it('puts the program, its libraries and its fonts into one folder', () => {
    const packed = new Map([
      ['package/bin/chromium.br', brotliCompressSync(text('program'))],
      ['package/bin/libs.tar.br', brotliCompressSync(tar([{ name: 'lib/libnss3.so', bytes: text('nss') }]))],
      ['package/bin/gpu.tar.br', brotliCompressSync(tar([{ name: 'libEGL.so', bytes: text('egl') }]))],
      [
        'package/bin/fonts.tar.br',
        brotliCompressSync(tar(['fonts.conf', 'fonts/One.ttf'].map((name) => ({ name, bytes: text(name) })))),
      ],
    ])
    const tarball = gzipSync(tar([...packed].map(([name, bytes]) => ({ name, bytes }))))
    const wanted = [...packed].map(([path, bytes]) => ({
      path,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    }))
    const files = unpackChromium(tarball, wanted)
    const names = ['chromium', 'libnss3.so', 'libEGL.so', 'fonts.conf', 'fonts/One.ttf']
    expect([...files.keys()]).toEqual(names)
    // Its own names places that only the package's makers have.
    expect(new TextDecoder().decode(files.get('fonts.conf'))).toContain('<dir prefix="relative">fonts</dir>')
    expect(() => unpackChromium(tarball, [{ ...wanted[0]!, sha256: '' }])).toThrow('is not the file that was checked')
  })
})

describe('the cache folder', () => {
  it("is the user's, as the XDG rules say, then the project's", () => {
    expect(cacheFolders('swiftshader', { XDG_CACHE_HOME: '/cache', HOME: '/home/u' })[0]).toMatch(
      /^\/cache\/lorikeet\/swiftshader-/,
    )
    expect(cacheFolders('swiftshader', { HOME: '/home/u' })[0]).toMatch(/^\/home\/u\/\.cache\/lorikeet\/swiftshader-/)
    expect(cacheFolders('swiftshader', { HOME: '/home/u' })[1]).toMatch(/\/\.cache\/swiftshader-/)
  })
})
