/** Weighted sums of adapters as plain arithmetic: what they hold, what identifies them, and what has no sum. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AdapterWeight,
  compose,
  compositionDigest,
  compositionName,
  inOrder,
  type WeightedAdapter,
} from '../../src/lora/composition.ts'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import type { LoraModule, LoraPart, LoraTensor, NormalAdapter } from '../../src/lora/normal.ts'
import { type FloatDtype, toFloat32 } from '../../src/weights/dtype.ts'

const IN = 3
const OUT = 2
const MAX_RANK = 64

/** Small integers, which every width holds exactly. */
function tensor(shape: readonly [number, number], from: number, dtype: FloatDtype = 'F32'): LoraTensor {
  const values = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => ((from + i) % 9) - 4)
  if (dtype === 'F32') return { dtype, shape, bytes: new Uint8Array(values.buffer) }
  const bits = Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16)
  return { dtype: 'BF16', shape, bytes: new Uint8Array(bits.buffer) }
}

function part(rank: number, scale: number, from = rank, dtype: FloatDtype = 'F32'): LoraPart {
  return { rank, scale, a: tensor([rank, IN], from, dtype), b: tensor([OUT, rank], from + 1, dtype) }
}

function at(layer: number, projection: LoraModule['projection'], each: LoraPart): LoraModule {
  return { layer, projection, ...each }
}

function adapter(digest: string, parts: Partial<NormalAdapter>): NormalAdapter {
  return { digest, modules: [], maxRank: 8, byteLength: 100, ...parts }
}

function terms(...each: readonly (readonly [NormalAdapter, number])[]): (WeightedAdapter & { digest: string })[] {
  return each.map(([one, scale]) => ({ name: `the ${one.digest}`, digest: one.digest, scale, adapter: one }))
}

/** scale * B A as a dense [OUT, IN] matrix, in f64. */
function dense({ rank, scale, a, b }: LoraPart): number[] {
  const [av, bv] = [toFloat32(a.bytes, a.dtype), toFloat32(b.bytes, b.dtype)]
  return Array.from({ length: OUT * IN }, (_, i) => {
    const [o, c] = [Math.floor(i / IN), i % IN]
    let sum = 0
    for (let r = 0; r < rank; r++) sum += bv[o * rank + r]! * av[r * IN + c]!
    return scale * sum + 0 // and never -0
  })
}

describe('compose', () => {
  it('computes the weighted sum of what its parts compute, module by module', () => {
    const wish = fc.record({
      rank: fc.integer({ min: 1, max: 5 }),
      scale: fc.constantFrom(0.25, 0.5, 1, 2, 3),
      weight: fc.constantFrom(-2, -0.5, 0.25, 1, 1.5),
      dtype: fc.constantFrom<FloatDtype>('F32', 'BF16'),
      places: fc.uniqueArray(fc.constantFrom('0 down', '1 q', '2 k', '2 o'), { minLength: 1, maxLength: 4 }),
    })
    fc.assert(
      fc.property(fc.array(wish, { minLength: 1, maxLength: 4 }), (wishes) => {
        const adapters = wishes.map(({ rank, scale, weight, dtype, places }, i) => {
          const modules = places.toSorted().map((place) => {
            const [layer, projection] = place.split(' ')
            return at(Number(layer), projection as LoraModule['projection'], part(rank, scale, i * 7 + rank, dtype))
          })
          return [adapter(`digest ${i}`, { modules }), weight] as const
        })
        const sum = compose('sum', terms(...adapters), MAX_RANK)
        const wanted = new Map<string, number[]>()
        for (const [{ modules }, weight] of adapters) {
          for (const module of modules) {
            const key = `${module.layer} ${module.projection}`
            const before = wanted.get(key) ?? new Array(OUT * IN).fill(0)
            wanted.set(
              key,
              dense(module).map((value, i) => before[i] + weight * value),
            )
          }
        }
        // Every product and sum of these small numbers is exact.
        expect(new Map(sum.modules.map((each) => [`${each.layer} ${each.projection}`, dense(each)]))).toEqual(wanted)
        const order = ['q', 'k', 'v', 'o', 'gate', 'up', 'down']
        const places = sum.modules.map(({ layer, projection }) => layer * 10 + order.indexOf(projection))
        expect(places).toEqual([...places].sort((one, other) => one - other))
      }),
    )
  })

  it('rounds weight, scale and B once, to f32', () => {
    const one = adapter('one', { modules: [at(0, 'q', part(1, 1 / 3))] })
    const other = adapter('other', { modules: [at(0, 'q', part(2, 0.7))] })
    const { modules } = compose('sum', terms([one, 0.1], [other, -0.3]), MAX_RANK)
    const b = (from: LoraModule) => toFloat32(from.b.bytes, from.b.dtype)
    const [first, second] = [b(one.modules[0]!), b(other.modules[0]!)]
    const wanted = [0, 1].flatMap((row) => [
      Math.fround((1 / 3) * 0.1 * first[row]!),
      ...[0, 1].map((r) => Math.fround(0.7 * -0.3 * second[row * 2 + r]!)),
    ])
    expect([...b(modules[0]!)]).toEqual(wanted)
    expect(modules[0]).toMatchObject({ rank: 3, scale: 1 })
  })

  it('leaves a module that one part alone has in its own width', () => {
    const one = adapter('one', { modules: [at(0, 'q', part(2, 0.5, 2, 'BF16'))] })
    const other = adapter('other', { modules: [at(1, 'q', part(2, 1))] })
    const { modules } = compose('sum', terms([one, -2], [other, 1]), MAX_RANK)
    expect(modules[0]).toEqual({ ...one.modules[0], scale: -1 })
  })

  it('adds biases of B as it adds B A x', () => {
    const bias = (values: readonly number[]) => {
      return { dtype: 'F32', shape: [OUT], bytes: new Uint8Array(Float32Array.from(values).buffer) } as const
    }
    const one = adapter('one', { modules: [at(0, 'q', { ...part(1, 2), loraBias: bias([1, -4]) })] })
    const other = adapter('other', { modules: [at(0, 'q', part(1, 1))] })
    const [sum] = compose('sum', terms([one, 0.5], [other, 1]), MAX_RANK).modules
    expect([sum!.scale, ...toFloat32(sum!.loraBias!.bytes, 'F32')]).toEqual([1, 1, -4])
  })

  it('scales one adapter alone as it is, DoRA and invocation too', () => {
    const magnitude = { dtype: 'F32', shape: [OUT], bytes: new Uint8Array(8) } as const
    const one = adapter('one', { modules: [at(0, 'q', { ...part(2, 4), magnitude })], invocation: [5, 6] })
    const half = compose('half', terms([one, 0.5]), MAX_RANK)
    expect(half).toEqual({ ...one, digest: 'half', maxRank: 2, modules: [{ ...one.modules[0], scale: 2 }] })
  })

  const vector = { dtype: 'F32', shape: [OUT], bytes: new Uint8Array(8) } as const
  const rows = { tokens: [1], matrix: tensor([1, IN], 0) }
  const refused: Readonly<Record<string, readonly [Partial<NormalAdapter>, string, alone: boolean]>> = {
    norms: [{ norms: [{ layer: 0, norm: 'input', gain: vector }] }, 'norms of its own', true],
    biases: [{ modules: [at(0, 'q', { ...part(1, 1), bias: vector })] }, 'biases of its own', true],
    'embedding rows': [{ embedding: { rows } }, 'rows of the embedding or the output layer of its own', true],
    'output rows': [{ head: { rows, lora: part(1, 1) } }, 'rows of the embedding or the output layer of its own', true],
    DoRA: [{ modules: [at(0, 'q', { ...part(1, 1), magnitude: vector })] }, 'DoRA', false],
    'DoRA on the output layer': [{ head: { lora: { ...part(1, 1), magnitude: vector } } }, 'DoRA', false],
    invocations: [{ modules: [at(0, 'q', part(1, 1))], invocation: [1] }, 'an invocation', false],
  }
  it.each(Object.entries(refused))('refuses %s by the adapter and the kind', (_, [parts, word, alone]) => {
    const one = adapter('one', parts)
    const plain = adapter('plain', { modules: [at(0, 'q', part(1, 1))] })
    const refusal = (wanted: readonly (readonly [NormalAdapter, number])[]) => {
      try {
        compose('sum', terms(...wanted), MAX_RANK)
        return null
      } catch (error) {
        expect(error).toBeInstanceOf(AdapterRefusedError)
        const { code, param, status, message } = error as AdapterRefusedError
        return { code, param, status, message }
      }
    }
    const about = { code: 'adapter_unsupported', param: 'lora', status: 400 }
    const inSum = refusal([
      [plain, 1],
      [one, 1],
    ])
    expect(inSum).toMatchObject(about)
    expect(inSum!.message).toMatch(`The lora adapter 'the one' has ${word}, which has no sum with others`.slice(0, 40))
    const scaled = refusal([[one, 0.5]])
    if (alone) expect(scaled).toMatchObject(about)
    else expect(scaled).toBeNull()
  })

  it('refuses a rank beyond the limit, all parts of a module together, with the figure', () => {
    const one = adapter('one', { modules: [at(0, 'q', part(5, 1))] })
    const other = adapter('other', { modules: [at(0, 'q', part(4, 1))] })
    const apart = adapter('apart', { modules: [at(1, 'q', part(4, 1))] })
    expect(() => compose('sum', terms([one, 1], [other, 1]), 8)).toThrow(
      "LoRA rank 9, of 'the one', 'the other' together, is greater than max_lora_rank 8.",
    )
    expect(compose('sum', terms([one, 1], [other, 1]), 9).maxRank).toBe(9)
    expect(compose('sum', terms([one, 1], [apart, 1]), 8).maxRank).toBe(5)
  })
})

describe('the identity of a composition', () => {
  const weights = (...each: readonly (readonly [string, number])[]) =>
    each.map(([digest, scale]) => ({ digest, scale }))
  const digest = (...each: readonly (readonly [string, number])[]) => compositionDigest(inOrder(weights(...each)))

  it('is that of its parts and weights, in whatever order they were named', () => {
    expect(digest(['a', 1], ['b', 0.5])).toBe(digest(['b', 0.5], ['a', 1]))
    const all = [
      digest(['a', 1], ['b', 0.5]),
      digest(['a', 0.5], ['b', 1]),
      digest(['a', 1], ['b', -0.5]),
      digest(['a', 1]),
      digest(['a', 1], ['a', 1]),
    ]
    expect(new Set(all).size).toBe(all.length)
    expect(all.every((each) => /^[0-9a-f]{64}$/.test(each))).toBe(true)
  })

  it('has a name that no adapter can have', () => {
    const named: AdapterWeight[] = [
      { name: 'pirate', scale: 0.5 },
      { name: 'tutor', scale: -1 },
    ]
    expect(compositionName(named)).toBe('pirate:0.5+tutor:-1')
  })
})
