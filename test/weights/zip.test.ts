import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { contentOffset, looksLikeZip, readZip, ZipError } from '../../src/weights/zip.ts'
import { type MadeEntry, makeZip, text } from './makeTorch.ts'

const ENTRIES: readonly MadeEntry[] = [
  { name: 'a/one', bytes: text('first') },
  { name: 'a/two', bytes: text('') },
  { name: 'é', bytes: text('third') },
]

/** Names to contents. */
async function unzip(bytes: Uint8Array): Promise<Record<string, string>> {
  const zip = await readZip(bytesSource('made.zip', bytes))
  const contents: Record<string, string> = {}
  for (const entry of zip.entries.values()) {
    const at = await contentOffset(zip, entry)
    contents[entry.name] = new TextDecoder().decode(bytes.subarray(at, at + entry.byteLength))
  }
  return contents
}

describe('readZip', () => {
  it.each([
    ['plain', makeZip(ENTRIES)],
    ['zip64', makeZip(ENTRIES, true)],
    ['with a comment', makeZip(ENTRIES, false, 'PK\u0005\u0006 is not the end')],
  ])('finds the entries of an archive: %s', async (_, bytes) => {
    expect(await unzip(bytes)).toEqual({ 'a/one': 'first', 'a/two': '', é: 'third' })
    expect(await looksLikeZip(bytesSource('made.zip', bytes))).toBe(true)
  })

  it('has room for none', async () => {
    expect(await unzip(makeZip([]))).toEqual({})
    expect(await looksLikeZip(bytesSource('made.zip', text('PK')))).toBe(false)
  })

  const one: MadeEntry = { name: 'one', bytes: text('content') }
  it.each<[string, readonly MadeEntry[], string]>([
    ['compression', [{ ...one, directory: { method: 8 } }], 'is compressed'],
    ['encryption', [{ ...one, directory: { flags: 1 } }], 'is encrypted'],
    ['two sizes', [{ ...one, directory: { stored: 3 } }], 'has two sizes'],
    ['a size beyond the directory', [{ ...one, directory: { size: 99, stored: 99 } }], 'overlaps'],
    ['a size beyond the file', [{ ...one, directory: { size: 2 ** 32 - 2, stored: 2 ** 32 - 2 } }], 'overlaps'],
    ['an entry without a header', [one, { ...one, name: 'two', directory: { offset: 1 } }], 'overlaps'],
    ['entries that share bytes', [one, { ...one, name: 'two', directory: { offset: 0 } }], 'overlaps'],
    ['double names', [one, one], 'is there twice'],
    ['two names', [{ ...one, directory: { name: 'two' } }], 'has another name'],
    ['an offset beyond the file', [{ ...one, directory: { offset: 2 ** 31 } }], 'overlaps'],
    ['missing zip64 sizes', [{ ...one, directory: { offset: 2 ** 32 - 1 } }], 'lacks its zip64 sizes'],
  ])('refuses %s', async (_, entries, says) => {
    const outcome = unzip(makeZip(entries))
    await expect(outcome).rejects.toThrow(ZipError)
    await expect(outcome).rejects.toThrow(says)
  })

  it('refuses every prefix of an archive', async () => {
    const whole = makeZip(ENTRIES)
    for (let length = 0; length < whole.length; length++) {
      await expect(unzip(whole.subarray(0, length)), `${length}`).rejects.toThrow(LorikeetError)
    }
  })

  it('answers changed archives with their contents or typed errors', async () => {
    const wholes = [makeZip(ENTRIES), makeZip(ENTRIES, true)]
    const change = fc.tuple(fc.nat(400), fc.nat(255))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...wholes),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        async (whole, changes) => {
          const bytes = whole.slice()
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          await unzip(bytes).catch((error: unknown) => {
            if (!(error instanceof LorikeetError)) throw error
          })
        },
      ),
      { numRuns: 3000, seed: 11 },
    )
  })
})
