/** A model of the reference in halves, compared with what transformers and PEFT computed in f32. */
import { expect } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import type { EngineSizes } from '../../src/engine/sizes.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { certain, goldenLogits, goldenOf, greedyTokens, largestDifference, promptLogits } from './golden.ts'

/** The worst found is 2.2e-3 (docs/performance.md); transformers in f16, which also sums in halves, is up to 0.9e-2 off. */
export const HALF_TOLERANCE = 5e-3

const MIB = 2 ** 20

export interface HalfComparison {
  /** Largest of all logits of all cases, as a share of the case's logit scale. */
  readonly difference: number
  /** Greedy tokens up to the first other one, and in all; those up to the first open margin are certain. */
  readonly equalTokens: number
  readonly certainTokens: number
  readonly tokens: number
}

export class HalfRuntime {
  readonly runtime: Runtime
  readonly #gpu: Gpu
  readonly #model: string

  private constructor(gpu: Gpu, runtime: Runtime, model: string) {
    this.#gpu = gpu
    this.runtime = runtime
    this.#model = model
  }

  static async open(model: string, dtypes: EngineSizes, adapters: readonly string[] = []): Promise<HalfRuntime> {
    const gpu = await openGpu()
    const sizes = { kvCacheMemory: MIB, loraMemory: 8 * MIB, maxNumBatchedTokens: 128, ...dtypes }
    const runtime = await Runtime.open(gpu, referenceFolder(`models/${model}`), { sizes })
    for (const name of adapters) {
      const folder = referenceFolder(`adapters/${model}/${name}`)
      runtime.adapters.add(name, name, (await readPeftAdapter(folder, runtime.spec)).adapter)
    }
    return new HalfRuntime(gpu, runtime, model)
  }

  /** The model, or with an adapter. Checks that chunks of a prompt change no bit. */
  async compare(adapter: string | null): Promise<HalfComparison> {
    const golden = goldenOf(adapter === null ? this.#model : `${this.#model}/${adapter}`)
    const lease = () => (adapter === null ? null : this.runtime.adapters.lease(adapter)!)
    const held = lease()
    await held?.ready
    const found = { difference: 0, equalTokens: 0, certainTokens: 0, tokens: 0 }
    for (const each of golden.cases) {
      const whole = await promptLogits(this.runtime, each, held?.slot ?? null, 128)
      expect(await promptLogits(this.runtime, each, held?.slot ?? null, 13)).toEqual(whole)
      const difference = largestDifference(whole, await goldenLogits(golden, each)) / each.logit_scale
      found.difference = Math.max(found.difference, difference)
      const tokens = await greedyTokens(this.runtime, each.input_ids, lease())
      const other = tokens.findIndex((token, i) => token !== each.greedy[i])
      const sure = certain(each, 2 * HALF_TOLERANCE).length
      expect(other < 0 ? tokens.length : other).toBeGreaterThanOrEqual(sure)
      found.equalTokens += other < 0 ? tokens.length : other
      found.certainTokens += sure
      found.tokens += tokens.length
    }
    held?.release()
    return found
  }

  /** Everything it had must be given back. */
  async close(): Promise<void> {
    await this.runtime.close()
    expect(this.#gpu.ledger.describe()).toBe('')
    this.#gpu.close()
  }
}
