/** What is kept in host memory: the bytes that go up, and the tensors that came out of the file. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ImageMaker } from '../../src/lora/adapterImage.ts'
import { hostBytesOf } from '../../src/lora/hostBytes.ts'
import type { LoraPart, LoraTensor, LoraVector, NormalAdapter, OwnRows } from '../../src/lora/normal.ts'
import { type AdapterImage, type AdapterParts, layoutOf, type PackedGroup } from '../../src/lora/packing.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { type ModelSpec, PROJECTIONS, type Projection, projectionShape } from '../../src/model/spec.ts'
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../../src/weights/dtype.ts'
import { referenceFolder } from '../support/host.ts'
import { packedBytes } from '../support/packedBytes.ts'
import { TINY } from './makeAdapter.ts'
import { referenceSpec } from './referenceAdapters.ts'

/** A vocabulary of more than a block, in which columns become rows. */
const SPEC: ModelSpec = { ...TINY, vocabSize: 530, hiddenSize: 12, headDim: 6 }

type Bytes = (length: number) => Uint8Array

/** Bytes that no value of which is NaN, at an odd place of their buffer as in a file. */
function bytesFrom(seed: number): Bytes {
  let state = seed
  return (length) => {
    const buffer = new Uint8Array(length + 1)
    for (let i = 0; i < buffer.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0
      buffer[i] = (state >>> 24) & 0x77
    }
    return buffer.subarray(1)
  }
}

const matrix = (bytes: Bytes, dtype: FloatDtype, rows: number, columns: number): LoraTensor => {
  return { dtype, shape: [rows, columns], bytes: bytes(rows * columns * FLOAT_BYTES[dtype]) }
}
const vector = (bytes: Bytes, dtype: FloatDtype, length: number): LoraVector => {
  return { dtype, shape: [length], bytes: bytes(length * FLOAT_BYTES[dtype]) }
}

interface Made {
  readonly seed: number
  readonly rank: number
  readonly a: FloatDtype
  readonly b: FloatDtype
  readonly modules: readonly (readonly [layer: number, projection: Projection])[]
  readonly shares: boolean
  readonly vectors: boolean
  readonly embedding: boolean
  readonly head: boolean
  readonly tokens: readonly number[] | null
  readonly ties: boolean
}

const dtype = fc.constantFrom<FloatDtype>('F32', 'F16', 'BF16')
const made: fc.Arbitrary<Made> = fc.record({
  seed: fc.nat(1e6),
  rank: fc.integer({ min: 1, max: 9 }),
  a: dtype,
  b: dtype,
  modules: fc.uniqueArray(fc.tuple(fc.nat(1), fc.constantFrom(...PROJECTIONS)), {
    selector: ([layer, projection]) => `${layer} ${projection}`,
    maxLength: 8,
  }),
  shares: fc.boolean(),
  vectors: fc.boolean(),
  embedding: fc.boolean(),
  head: fc.boolean(),
  tokens: fc.option(fc.uniqueArray(fc.nat(529), { minLength: 1, maxLength: 5 })),
  ties: fc.boolean(),
})

function adapterOf({ seed, rank, a, b, modules, shares, vectors, ...outer }: Made): AdapterParts {
  const bytes = bytesFrom(seed)
  const part = (inputs: number, out: number, shared?: LoraTensor): LoraPart => ({
    rank,
    scale: 0.5,
    a: shared ?? matrix(bytes, a, rank, inputs),
    b: matrix(bytes, b, out, rank),
    ...(vectors && { magnitude: vector(bytes, b, out), loraBias: vector(bytes, a, out) }),
  })
  const sharedA = [0, 1].map(() => matrix(bytes, a, rank, SPEC.hiddenSize))
  const { vocabSize, hiddenSize } = SPEC
  const tokens = outer.tokens && [...outer.tokens].sort((one, other) => one - other)
  const rows: OwnRows = { tokens, matrix: matrix(bytes, b, tokens?.length ?? vocabSize, hiddenSize) }
  return {
    modules: modules.map(([layer, projection]) => {
      const { in: inputs, out } = projectionShape(SPEC, projection)
      const isQkv = projection === 'q' || projection === 'k' || projection === 'v'
      return { layer, projection, ...part(inputs, out, shares && isQkv ? sharedA[layer] : undefined) }
    }),
    ...(vectors && { norms: [{ layer: 1, norm: 'post', gain: vector(bytes, a, hiddenSize) } as const] }),
    embedding: { ...(outer.embedding && { lora: part(vocabSize, hiddenSize) }), rows },
    ...(outer.head && { head: { lora: part(hiddenSize, vocabSize), ...(outer.ties && { rows }) } }),
  }
}

type Tensor = LoraTensor | LoraVector

/** The same adapter out of an image, its tensors given in the order of `shuffled`, each in up to three stretches of rows. */
function throughImage(parts: AdapterParts, seed: number): { parts: AdapterParts; image: AdapterImage } {
  const maker = new ImageMaker<Tensor>()
  const all = new Set<Tensor>()
  const orders = new Map<Tensor, readonly number[]>()
  const keep = <Each extends Tensor>(tensor: Each, order?: readonly number[]): Each => {
    if (tensor.shape[0] === 0) return tensor
    all.add(tensor)
    if (tensor.shape.length === 1) return maker.vector(tensor, tensor as LoraVector) as Each
    if (order) orders.set(tensor, order)
    return maker.matrix(tensor, tensor as LoraTensor, order) as Each
  }
  const part = <Part extends LoraPart>({ a, b, magnitude, loraBias, ...rest }: Part): Part =>
    ({
      ...rest,
      a: keep(a),
      b: keep(b),
      ...(magnitude && { magnitude: keep(magnitude) }),
      ...(loraBias && { loraBias: keep(loraBias) }),
    }) as unknown as Part
  const change = ({ lora, rows }: NonNullable<NormalAdapter['head']>) => ({
    ...(lora && { lora: part(lora) }),
    ...(rows && {
      rows: {
        tokens: rows.tokens,
        // As if the file had them from the last to the first.
        matrix: keep(rows.matrix, rows.tokens ? rows.tokens.map((_, i, { length }) => length - 1 - i) : undefined),
      },
    }),
  })
  const { modules, norms, embedding, head } = parts
  const kept: AdapterParts = {
    modules: modules.map(part),
    ...(norms && { norms: norms.map((own) => ({ ...own, gain: keep(own.gain) })) }),
    ...(embedding && { embedding: change(embedding) }),
    ...(head && { head: change(head) }),
  }
  const image = maker.begin(layoutOf(kept, SPEC))
  const stretches = [...all].flatMap((tensor) => {
    const [rows] = tensor.shape
    const rowBytes = tensor.bytes.byteLength / rows
    const order = orders.get(tensor)
    const bytes = order ? new Uint8Array(tensor.bytes.byteLength) : tensor.bytes
    for (const [to, from] of order?.entries() ?? []) {
      bytes.set(tensor.bytes.subarray(to * rowBytes, (to + 1) * rowBytes), from * rowBytes)
    }
    const step = Math.ceil(rows / (1 + (seed % 3)))
    return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
      return { tensor, first: i * step, rows: bytes.subarray(i * step * rowBytes, (i + 1) * step * rowBytes) }
    })
  })
  for (const { tensor, first, rows } of seed % 2 ? stretches.toReversed() : stretches) maker.put(tensor, first, rows)
  maker.end(image)
  return { parts: kept, image }
}

const tensorsOf = ({ modules, norms = [], embedding, head }: AdapterParts): Tensor[] =>
  [
    ...modules.flatMap(({ a, b, magnitude, loraBias }) => [a, b, magnitude, loraBias]),
    ...norms.map(({ gain }) => gain),
    ...[embedding, head].flatMap((change) => [
      ...[change?.lora].flatMap((lora) => [lora?.a, lora?.b, lora?.magnitude, lora?.loraBias]),
      change?.rows?.matrix,
    ]),
  ].filter((tensor) => tensor !== undefined)

/** By the words of packing.ts, one element after the other: rank padded, A of the embedding transposed, all of one width. */
function slowlyPacked(groups: readonly PackedGroup[], byteLength: number): Uint8Array {
  const packed = new Uint8Array(byteLength)
  const view = new DataView(packed.buffer)
  const wide = new Map<Tensor, Float32Array>()
  const set = (offset: number, index: number, dtype: FloatDtype, tensor: Tensor, from: number): void => {
    const { buffer, byteOffset } = tensor.bytes
    const source = new DataView(buffer, byteOffset)
    const values = wide.get(tensor) ?? toFloat32(tensor.bytes, tensor.dtype)
    wide.set(tensor, values)
    if (dtype !== tensor.dtype) view.setFloat32(offset + index * 4, values[from]!, true)
    else if (FLOAT_BYTES[dtype] === 4) view.setUint32(offset + index * 4, source.getUint32(from * 4, true), true)
    else view.setUint16(offset + index * 2, source.getUint16(from * 2, true), true)
  }
  for (const { group, dtype, inputs, rankSum, aOffset, projections, gains, ownRows } of groups) {
    for (const projection of projections) {
      if (!projection) continue
      const { module, out, column, paddedRank, bOffset, rowScaleOffset, biasOffset } = projection
      for (let r = 0; r < module.rank; r++) {
        for (let i = 0; i < inputs; i++) {
          const index = group === 'embedding' ? i * rankSum + column + r : (column + r) * inputs + i
          set(aOffset, index, dtype, module.a, r * inputs + i)
        }
        for (let o = 0; o < out; o++) set(bOffset, o * paddedRank + r, dtype, module.b, o * module.rank + r)
      }
      for (let o = 0; o < out; o++) {
        if (rowScaleOffset !== null) set(rowScaleOffset, o, 'F32', module.magnitude!, o)
        if (biasOffset !== null) {
          const bias = toFloat32(module.loraBias!.bytes, module.loraBias!.dtype)[o]!
          view.setFloat32(biasOffset + o * 4, module.scale * bias, true)
        }
      }
    }
    for (const { own, offset } of gains) {
      for (let i = 0; i < own.gain.shape[0]; i++) set(offset, i, 'F32', own.gain, i)
    }
    if (!ownRows) continue
    packed.set(ownRows.rows.matrix.bytes, ownRows.matrixOffset)
    for (const [i, token] of ownRows.rows.tokens?.entries() ?? [])
      view.setUint32(ownRows.tokensOffset! + i * 4, token, true)
  }
  return packed
}

const differsAt = (one: Uint8Array, other: Uint8Array): number =>
  one.byteLength === other.byteLength ? one.findIndex((byte, i) => byte !== other[i]) : -2

describe('an adapter in host memory', () => {
  it('has the bytes that go to the GPU, and gives its tensors as they were, whatever they are', () => {
    fc.assert(
      fc.property(made, (shape) => {
        const parts = adapterOf(shape)
        const layout = layoutOf(parts, SPEC)
        const { image, parts: kept } = throughImage(parts, shape.seed)
        expect(image.layout.byteLength).toBe(layout.byteLength)
        expect(differsAt(image.bytes, slowlyPacked(layout.groups, layout.byteLength))).toBe(-1)
        // Group by group, as it goes up without an image.
        for (const packed of layout.groups) {
          const own = image.bytes.subarray(packed.aOffset, packed.aOffset + packed.byteLength)
          expect(differsAt(own, packedBytes(packed))).toBe(-1)
        }
        const [before, after] = [tensorsOf(parts), tensorsOf(kept)]
        expect(after.length).toBe(before.length)
        for (const [i, tensor] of before.entries()) {
          expect(after[i]).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape })
          expect(differsAt(after[i]!.bytes, tensor.bytes)).toBe(-1)
        }
      }),
      { seed: 11, numRuns: 80 },
    )
  })

  it('of every reference adapter takes what is counted, and no view copies what lies there as it is', async () => {
    for (const name of ['qv-r8', 'all-linear-r64', 'dora-r8', 'save-norms-embed', 'dora-embed', 'r5']) {
      const { adapter } = await readPeftAdapter(
        referenceFolder(`adapters/llama-tiny/${name}`),
        await referenceSpec('llama-tiny'),
      )
      const image = adapter.image!
      const vectors = tensorsOf(adapter).filter(({ shape }) => shape.length === 1)
      const beside = vectors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
      expect(hostBytesOf(adapter), name).toBe(image.bytes.byteLength + beside)
      const [first] = adapter.modules
      if (first && first.rank % 4 === 0) expect(first.a.bytes.buffer, name).toBe(image.bytes.buffer)
    }
  })
})
