import { afterEach, describe, expect, it, vi } from 'vitest'
import { digestAdapter } from '../../src/lora/digest.ts'
import type { LoraTensor } from '../../src/lora/normal.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { adapterFolder, BOTH_Q, f32, loraTensors, Q_CONFIG, TINY, tensorName } from './makeAdapter.ts'

async function digest(config: unknown = Q_CONFIG, tensors = loraTensors(BOTH_Q)): Promise<string> {
  return (await readPeftAdapter(adapterFolder(config, tensors), TINY)).adapter.digest
}

describe('digest of an adapter', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('is of what is computed, not of how it is written', async () => {
    const plain = await digest()
    const reversed = Object.fromEntries(Object.entries(loraTensors(BOTH_Q)).reverse())
    expect(await digest(Q_CONFIG, reversed)).toBe(plain)
    expect(await digest({ target_modules: '.*q_proj', lora_alpha: 4, r: 2, peft_type: 'LORA', noise: [1] })).toBe(plain)
    // r 8 and alpha 4 by the patterns' detour: the same rank and the same scale in the end.
    const detour = { ...Q_CONFIG, r: 8, lora_alpha: 1, rank_pattern: { q_proj: 2 }, alpha_pattern: { '.*': 4 } }
    expect(await digest(detour)).toBe(plain)
  })

  it('changes with scale, bytes, width and place', async () => {
    const a = tensorName(0, 'q', 'A')
    const digests = await Promise.all([
      digest(),
      digest({ ...Q_CONFIG, lora_alpha: 5 }),
      digest({ ...Q_CONFIG, use_rslora: true }),
      digest(Q_CONFIG, { ...loraTensors(BOTH_Q), [a]: f32([2, 8], 7) }),
      digest(Q_CONFIG, { ...loraTensors(BOTH_Q), [a]: { dtype: 'F16', shape: [2, 8], bytes: new Uint8Array(32) } }),
      digest(Q_CONFIG, { ...loraTensors(BOTH_Q), [a]: { dtype: 'BF16', shape: [2, 8], bytes: new Uint8Array(32) } }),
      digest(Q_CONFIG, loraTensors([[0, 'q']])),
      digest(Q_CONFIG, loraTensors([[1, 'q']])),
      digest({ ...Q_CONFIG, target_modules: ['o_proj'] }, loraTensors([[0, 'o']])),
    ])
    expect(new Set(digests).size).toBe(digests.length)
  })

  it('changes with magnitudes and biases', async () => {
    const q0 = 'base_model.model.model.layers.0.self_attn.q_proj'
    const biased = { ...TINY, bias: { qkv: true, o: false, mlp: false } }
    const of = async (config: object, name: string, from: number) => {
      const folder = adapterFolder({ ...Q_CONFIG, ...config }, { ...loraTensors([[0, 'q']]), [name]: f32([8], from) })
      return (await readPeftAdapter(folder, biased)).adapter.digest
    }
    const digests = await Promise.all([
      digest(Q_CONFIG, loraTensors([[0, 'q']])),
      of({ use_dora: true }, `${q0}.lora_magnitude_vector`, 1),
      of({ use_dora: true }, `${q0}.lora_magnitude_vector`, 2),
      of({ lora_bias: true }, `${q0}.lora_B.bias`, 1),
      of({ bias: 'all' }, `${q0}.base_layer.bias`, 1),
      of({ bias: 'all' }, `${q0}.bias`, 2),
    ])
    expect(new Set(digests).size).toBe(digests.length)
  })

  it('of a large tensor depends on every piece of it', async () => {
    const a = (at: number): LoraTensor => {
      const bytes = new Uint8Array(5 * 1024 * 1024)
      bytes[at] = 1
      return { dtype: 'F32', shape: [1, bytes.byteLength / 4], bytes }
    }
    const b: LoraTensor = { dtype: 'F32', shape: [1, 1], bytes: new Uint8Array(4) }
    const digestOf = (at: number) =>
      digestAdapter({ modules: [{ layer: 0, projection: 'q', rank: 1, scale: 1, a: a(at), b }] })
    const places = [0, 4 * 1024 * 1024 - 1, 4 * 1024 * 1024, 5 * 1024 * 1024 - 1]
    const digests = await Promise.all(places.map(digestOf))
    expect(new Set(digests).size).toBe(places.length)
    vi.stubGlobal('crypto', {})
    expect(await digestOf(0)).toBe(digests[0])
  })

  it('is the same on a host without its own SHA-256', async () => {
    const plain = await digest()
    vi.stubGlobal('crypto', {})
    expect(await digest()).toBe(plain)
  })
})
