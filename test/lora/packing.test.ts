import { describe, expect, it } from 'vitest'
import type { LoraModule } from '../../src/lora/normal.ts'
import { layoutOf, writeEntry } from '../../src/lora/packing.ts'
import { ENTRY_WORDS, entryWord, slotWords } from '../../src/model/adapterTable.ts'
import { type ModelSpec, type Projection, projectionShape } from '../../src/model/spec.ts'
import { packedBytes } from '../support/packedBytes.ts'

const spec = { hiddenSize: 8, intermediateSize: 12, numHeads: 2, numKvHeads: 1, headDim: 4, numLayers: 3 } as ModelSpec

function module(layer: number, projection: Projection, rank: number): LoraModule {
  const { in: inputs, out } = projectionShape(spec, projection)
  const fill = (length: number, from: number) =>
    new Uint8Array(Float32Array.from({ length }, (_, i) => from + i).buffer)
  return {
    layer,
    projection,
    rank,
    scale: rank / 2,
    a: { dtype: 'F32', shape: [rank, inputs], bytes: fill(rank * inputs, 1000) },
    b: { dtype: 'F32', shape: [out, rank], bytes: fill(out * rank, 2000) },
  }
}

const adapterOf = (modules: LoraModule[]) => ({ digest: '', modules, maxRank: 8, byteLength: 0 })

describe('packing', () => {
  const q = module(1, 'q', 5)
  const v = module(1, 'v', 1)
  const layout = layoutOf(adapterOf([q, v, module(2, 'down', 4)]), spec)

  it('stacks the A matrices of a group, ranks rounded up to four, and lays each B behind them', () => {
    expect(layout.groups.map(({ layer, group, rankSum }) => ({ layer, group, rankSum }))).toEqual([
      { layer: 1, group: 'attn_in', rankSum: 12 },
      { layer: 2, group: 'mlp_out', rankSum: 4 },
    ])
    const packed = layout.groups[0]!
    expect(packed.projections.map((one) => one && [one.outStart, one.paddedRank, one.column])).toEqual([
      [0, 8, 0],
      null,
      [12, 4, 8],
    ])
    const floats = new Float32Array(packedBytes(packed).buffer)
    const a = (row: number) => [...floats.subarray(row * 8, row * 8 + 8)]
    expect(a(0)).toEqual([1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007])
    expect(a(4)[0]).toBe(1032)
    expect(a(5)).toEqual(Array(8).fill(0))
    expect(a(8)[0]).toBe(1000)
    expect(a(9)).toEqual(Array(8).fill(0))
    const bq = (packed.projections[0]!.bOffset - packed.aOffset) / 4
    expect([...floats.subarray(bq, bq + 16)]).toEqual([
      2000, 2001, 2002, 2003, 2004, 0, 0, 0, 2005, 2006, 2007, 2008, 2009, 0, 0, 0,
    ])
    const bv = (packed.projections[2]!.bOffset - packed.aOffset) / 4
    expect([...floats.subarray(bv, bv + 8)]).toEqual([2000, 0, 0, 0, 2001, 0, 0, 0])
  })

  it('keeps one A for projections that share it', () => {
    const shared = [q, { ...module(1, 'k', 5), a: q.a }, { ...v, rank: 5, a: q.a, b: module(1, 'v', 5).b }]
    const packed = layoutOf(adapterOf(shared), spec).groups[0]!
    expect(packed.rankSum).toBe(8)
    expect(packed.projections.map((one) => one!.column)).toEqual([0, 0, 0])
    expect(new Float32Array(packedBytes(packed).buffer)[1 * 8]).toBe(1008)
    const both = layoutOf(adapterOf([module(1, 'q', 2), shared[1]!, shared[2]!]), spec).groups[0]!
    expect(both.rankSum).toBe(12)
    expect(both.projections.map((one) => one!.column)).toEqual([0, 4, 4])
    // A part without A has no column of its own, and takes nobody's.
    const bare = {
      ...module(1, 'q', 0),
      bias: { dtype: 'F32' as const, shape: [8] as const, bytes: new Uint8Array(32) },
    }
    const beside = layoutOf(adapterOf([bare, module(1, 'k', 5)]), spec).groups[0]!
    expect(new Float32Array(packedBytes(beside).buffer)[8]).toBe(1008)
  })

  it('writes table entries in words from the slab start', () => {
    const packed = layout.groups[0]!
    const slot = new Uint32Array(slotWords(spec))
    writeEntry(slot, spec, packed, 4096 - packed.aOffset)
    // Layer 1, the first group: four entries in.
    const words = slot.subarray(4 * ENTRY_WORDS, 5 * ENTRY_WORDS)
    expect(slot.reduce((sum, word) => sum + word, 0)).toBe(words.reduce((sum, word) => sum + word, 0))
    expect([...words.subarray(0, 4)]).toEqual([1024, 12, 0, 0])
    expect([...words.subarray(4, 8)]).toEqual([1024 + 96, 8, new Uint32Array(Float32Array.of(2.5).buffer)[0], 0])
    expect([...words.subarray(12, 20)]).toEqual(Array(8).fill(0))
    expect(words[21]).toBe(4)
    expect(words[23]).toBe(8)
  })

  it('lays row scales and biases behind B, as f32, a bias as what is to be added', () => {
    const vector = (values: number[]) => ({
      dtype: 'F16' as const,
      shape: [values.length] as const,
      // Whole numbers below 2048 as f16, by way of their exponents: 1.0 is 0x3c00.
      bytes: new Uint8Array(Uint16Array.from(values, (value) => 0x3c00 + 0x400 * Math.log2(value)).buffer),
    })
    const dora = { ...q, magnitude: vector([1, 2, 4, 8, 16, 32, 64, 128]), loraBias: vector([1, 1, 1, 1, 2, 2, 2, 2]) }
    const onlyBias = { ...v, rank: 0, scale: 0, bias: vector([4, 4, 8, 8]) }
    const packed = layoutOf(adapterOf([dora, onlyBias]), spec).groups[0]!
    expect(packed).toMatchObject({ dtype: 'F32', rankSum: 8 })
    // q has outputs 0 to 7 of the group, k 8 to 11, v 12 to 15.
    const base = Float32Array.from({ length: 16 }, (_, i) => i)
    const floats = new Float32Array(packedBytes(packed, base).buffer)
    const at = (offset: number | null, count: number) => {
      const first = (offset! - packed.aOffset) / 4
      return [...floats.subarray(first, first + count)]
    }
    const [first, , last] = packed.projections
    expect(at(first!.rowScaleOffset, 8)).toEqual([1, 2, 4, 8, 16, 32, 64, 128])
    expect(at(first!.biasOffset, 8)).toEqual([2.5, 2.5, 2.5, 2.5, 5, 5, 5, 5])
    expect(last).toMatchObject({ paddedRank: 0, rowScaleOffset: null })
    expect(at(last!.biasOffset, 4)).toEqual([4 - 12, 4 - 13, 8 - 14, 8 - 15])

    const slot = new Uint32Array(slotWords(spec))
    writeEntry(slot, spec, packed, 4096 - packed.aOffset)
    const words = slot.subarray(entryWord(spec, 1, 'attn_in'))
    const place = (offset: number | null) => 1024 + (offset! - packed.aOffset) / 4
    expect([...words.subarray(8, 10)]).toEqual([place(first!.rowScaleOffset), place(first!.biasOffset)])
    expect([...words.subarray(21, 26)]).toEqual([0, 0, 8, 0, place(last!.biasOffset)])
  })

  it('widens to f32 only where element types differ', () => {
    const half: LoraModule = {
      ...v,
      a: { dtype: 'BF16', shape: [1, 8], bytes: new Uint8Array(new Uint16Array(8).fill(0x3f80).buffer) },
    }
    const mixed = layoutOf(adapterOf([half]), spec).groups[0]!
    expect(mixed.dtype).toBe('F32')
    expect([...new Float32Array(packedBytes(mixed).buffer).subarray(0, 8)]).toEqual(Array(8).fill(1))
    const b = { dtype: 'BF16' as const, shape: [4, 1] as const, bytes: new Uint8Array(8) }
    const same = layoutOf(adapterOf([{ ...half, b }]), spec).groups[0]!
    expect(same.dtype).toBe('BF16')
    expect(same.byteLength).toBe(4 * 8 * 2 + 4 * 4 * 2)
  })

  it('answers which words of an entry are places: those that change when it moves, and none of them is 0', () => {
    const gain = { dtype: 'F32' as const, shape: [8] as const, bytes: new Uint8Array(32) }
    const matrix = { dtype: 'F32' as const, shape: [2, 8] as const, bytes: new Uint8Array(64) }
    const whole = {
      ...adapterOf([{ ...q, loraBias: gain, magnitude: gain }]),
      norms: (['input', 'post', 'final'] as const).map((norm) => ({ layer: norm === 'final' ? null : 0, norm, gain })),
      embedding: { rows: { tokens: [3, 5], matrix } },
      head: { rows: { tokens: null, matrix } },
    }
    const { groups } = layoutOf(whole, { ...spec, vocabSize: 16 })
    expect(groups.map(({ layer, group }) => `${layer} ${group}`)).toEqual([
      '0 attn_in',
      '0 mlp_in',
      '1 attn_in',
      '0 embedding',
      '0 head',
    ])
    const [here, there] = [new Uint32Array(slotWords(spec)), new Uint32Array(slotWords(spec))]
    const places = groups.flatMap((packed) => writeEntry(here, spec, packed, 0))
    for (const packed of groups) writeEntry(there, spec, packed, 400)
    expect([...here.keys()].filter((word) => here[word] !== there[word])).toEqual([...places].sort((a, b) => a - b))
    for (const place of places)
      expect([here[place], there[place]! - here[place]!]).toEqual([expect.toSatisfy((word) => word > 0), 100])
  })

  it('puts large matrices in order block by block', () => {
    const large = { ...spec, hiddenSize: 40, vocabSize: 5003 }
    const bytes = (count: number) => new Uint8Array(Uint16Array.from({ length: count }, (_, i) => i & 0xffff).buffer)
    const lora = {
      rank: 5,
      scale: 1,
      a: { dtype: 'F16' as const, shape: [5, 5003] as const, bytes: bytes(5 * 5003) },
      b: { dtype: 'F16' as const, shape: [40, 5] as const, bytes: bytes(40 * 5) },
    }
    const head = {
      lora: { ...lora, a: { ...lora.b, shape: [5, 40] as const }, b: { ...lora.a, shape: [5003, 5] as const } },
    }
    const { groups } = layoutOf({ ...adapterOf([]), embedding: { lora }, head }, large)
    const [embedding, output] = groups.map((packed) => new Uint16Array(packedBytes(packed).buffer))
    const ranks = Array.from({ length: 5 }, (_, r) => r)
    for (const token of [0, 1, 4095, 4096, 5002]) {
      const row = [...ranks.map((r) => (r * 5003 + token) & 0xffff), 0, 0, 0]
      expect([...embedding!.subarray(token * 8, token * 8 + 8)], `row of A of token ${token}`).toEqual(row)
      const start = (groups[1]!.projections[0]!.bOffset - groups[1]!.aOffset) / 2 + token * 8
      expect([...output!.subarray(start, start + 8)], `row of B of token ${token}`).toEqual([
        ...ranks.map((r) => (token * 5 + r) & 0xffff),
        ...[0, 0, 0],
      ])
    }
  })
})
