/** Hostile files: whatever the bytes say, the answer is a tensor map that fits the file, or a typed error. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { openCheckpoint } from '../../src/weights/checkpoint.ts'
import { memoryFolder } from '../../src/weights/folder.ts'
import { readSafetensors } from '../../src/weights/safetensors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { makeSafetensors, withHeader } from './makeSafetensors.ts'

const honest = makeSafetensors(
  {
    'model.a.weight': { dtype: 'F16', shape: [3, 4], bytes: new Uint8Array(24) },
    'model.b.weight': { dtype: 'F32', shape: [2], bytes: new Uint8Array(8) },
    'model.c.bias': { dtype: 'U8', shape: [], bytes: new Uint8Array(1) },
  },
  { format: 'pt' },
)
const headerLength = honest.byteLength - 8 - 33
const header = new TextDecoder().decode(honest.subarray(8, 8 + headerLength))

/** Reads a source that counts what is asked of it. */
async function readCounted(bytes: Uint8Array): Promise<{ accepted: boolean; bytesRead: number }> {
  const source = bytesSource('fuzz', bytes)
  let bytesRead = 0
  const counted = Object.assign(Object.create(source), {
    name: source.name,
    size: source.size,
    read: async (offset: number, length: number) => {
      bytesRead += length
      return await source.read(offset, length)
    },
  })
  try {
    const { tensors } = await readSafetensors(counted)
    let covered = 0
    for (const { byteOffset, byteLength } of tensors.values()) {
      expect(byteOffset + byteLength).toBeLessThanOrEqual(bytes.byteLength)
      covered += byteLength
    }
    // Every byte behind the header belongs to exactly one tensor.
    expect(covered).toBe(
      bytes.byteLength - 8 - Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)),
    )
    return { accepted: true, bytesRead }
  } catch (error) {
    expect(error).toBeInstanceOf(LorikeetError)
    return { accepted: false, bytesRead }
  }
}

/** Pieces that mean something to a reader of headers. */
const token = fc.constantFrom(
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '0',
    '9',
    '-1',
    '1e9',
    '4294967296',
    '18446744073709551615',
    'null',
    'true',
    '"F16"',
    '"F32"',
    '"Q9"',
    '"__proto__"',
  ],
  ...[
    '"__metadata__"',
    '"dtype"',
    '"shape"',
    '"data_offsets"',
    '\\u0000',
    '\\',
    ' ',
    '\n',
    '[0,0]',
    '{}',
    '"model.a.weight"',
    '',
  ],
)
const edit = fc.record({ at: fc.nat(header.length), length: fc.nat(12), text: token })

function edited(text: string, edits: readonly { at: number; length: number; text: string }[]): string {
  let result = text
  for (const { at, length, text: insert } of edits) {
    const start = at % (result.length + 1)
    result = result.slice(0, start) + insert + result.slice(start + length)
  }
  return result
}

describe('readSafetensors', () => {
  it('survives edits of the header', async () => {
    let numAccepted = 0
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        const file = withHeader(edited(header, edits), new Uint8Array(33))
        const { accepted, bytesRead } = await readCounted(file)
        expect(bytesRead).toBeLessThanOrEqual(file.byteLength)
        if (accepted) numAccepted++
      }),
      { numRuns: 2000, seed: 7 },
    )
    // Some edits are harmless (a space, a digit of a name), most are not: else the fuzzing would show nothing.
    expect(numAccepted).toBeGreaterThan(0)
    expect(numAccepted).toBeLessThan(1000)
  })

  it('survives flipped and missing bytes anywhere', async () => {
    const flip = fc.record({ at: fc.nat(honest.byteLength - 1), value: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(flip, { maxLength: 4 }),
        fc.nat(honest.byteLength),
        fc.boolean(),
        async (flips, cut, isCut) => {
          const file = honest.slice(0, isCut ? cut : honest.byteLength)
          for (const { at, value } of flips) if (at < file.byteLength) file[at] = value
          const { bytesRead } = await readCounted(file)
          // The claimed header length never makes it read more than there is.
          expect(bytesRead).toBeLessThanOrEqual(file.byteLength)
        },
      ),
      { numRuns: 2000, seed: 7 },
    )
  })

  it('tiles the file whatever honest tensors it holds', async () => {
    const tensor = fc.record({
      dtype: fc.constantFrom('F32', 'F16', 'U8'),
      shape: fc.array(fc.nat(3), { maxLength: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(
          fc.string({ unit: 'grapheme', maxLength: 6 }).filter((name) => name !== '__metadata__'),
          tensor,
        ),
        async (tensors) => {
          const width = { F32: 4, F16: 2, U8: 1 } as Record<string, number>
          const made = Object.entries(tensors).map(([name, { dtype, shape }]) => {
            const byteLength = shape.reduce((product, size) => product * size, width[dtype]!)
            return [name, { dtype, shape, bytes: new Uint8Array(byteLength) }] as const
          })
          expect((await readCounted(makeSafetensors(Object.fromEntries(made)))).accepted).toBe(true)
        },
      ),
      { numRuns: 300, seed: 7 },
    )
  })
})

describe('openCheckpoint', () => {
  const index = JSON.stringify({
    metadata: { total_size: 33 },
    weight_map: { 'model.a.weight': 'one.safetensors', 'model.b.weight': 'one.safetensors' },
  })

  it('survives edits of the index', async () => {
    const path = fc.constantFrom(
      '"../one.safetensors"',
      '"/etc/passwd"',
      '"one.safetensors"',
      '"two.safetensors"',
      '"one.safetensors\\u0000"',
      '""',
    )
    const indexEdit = fc.record({ at: fc.nat(index.length), length: fc.nat(20), text: fc.oneof(token, path) })
    await fc.assert(
      fc.asyncProperty(fc.array(indexEdit, { minLength: 1, maxLength: 3 }), async (edits) => {
        const folder = memoryFolder('m', {
          'model.safetensors.index.json': edited(index, edits),
          'one.safetensors': honest,
        })
        try {
          const { tensors, close } = await openCheckpoint(folder)
          expect(tensors.size).toBe(3)
          await close()
        } catch (error) {
          expect(error).toBeInstanceOf(LorikeetError)
        }
      }),
      { numRuns: 2000, seed: 7 },
    )
  })
})
