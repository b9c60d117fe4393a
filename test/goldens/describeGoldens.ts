/** A base and its adapters of the reference that are served, against what transformers and PEFT computed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { Folder } from '../../src/weights/folder.ts'
import { fixtureFolder, openGpu } from '../support/host.ts'
import {
  certain,
  type GoldenRoot,
  goldenLogits,
  goldenOf,
  greedyTokens,
  LOGITS_TOLERANCE,
  largestDifference,
  promptLogits,
} from './golden.ts'
import { otherAdapters } from './otherAdapters.ts'
import { PLAIN_ADAPTERS } from './plainAdapters.ts'

const MIB = 1024 * 1024
const SIZES = { kvCacheMemory: 4 * MIB, loraMemory: 32 * MIB, maxNumBatchedTokens: 128 }

/** Weights of the base that came with an adapter are those of the base. */
async function read(folder: Folder, { spec, baseRows }: Runtime): Promise<NormalAdapter> {
  return (await readPeftAdapter(folder, spec, { baseRows })).adapter
}

/** Where an activated adapter starts to work. */
function invoked(prompt: readonly number[], invocation: readonly number[] | null = null): number {
  if (invocation === null) return 0
  const at = `,${prompt.join()},`.lastIndexOf(`,${invocation.join()},`)
  return at < 0 ? prompt.length : `,${prompt.join()},`.slice(0, at).split(',').length - 1
}

/** Logits and tokens of a model and of its adapters. */
export function describeGoldens(model: string): void {
  const names = [null, ...(PLAIN_ADAPTERS[model] ?? []), ...otherAdapters(model)]
  describeAll({ model, names, folder: `reference/models/${model}`, root: 'reference' })
}

export interface GoldenTests {
  readonly model: string
  /** Null is the model itself. */
  readonly names: readonly (string | null)[]
  /** Of the model, in the fixtures. */
  readonly folder: string
  /** Of adapters and goldens. */
  readonly root: GoldenRoot
}

export function describeAll({ model, names, folder: modelFolder, root }: GoldenTests): void {
  let gpu: Gpu
  let runtime: Runtime

  beforeAll(async () => {
    gpu = await openGpu()
    runtime = await Runtime.open(gpu, fixtureFolder(modelFolder), { sizes: SIZES })
    for (const name of names) {
      if (name === null) continue
      const folder = fixtureFolder(`${root}/adapters/${model}/${name}`)
      runtime.adapters.add(name, folder.name, await read(folder, runtime))
    }
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  describe.each(names)('adapter %s', (adapter) => {
    const golden = goldenOf(adapter === null ? model : `${model}/${adapter}`, root)
    const lease = async () => {
      const held = adapter === null ? null : runtime.adapters.lease(adapter)!
      await held?.ready
      return held
    }

    it('computes the same logits, however the prompt is chunked', async () => {
      const held = await lease()
      for (const each of golden.cases) {
        const wanted = await goldenLogits(golden, each, root)
        const activeFrom = invoked(each.input_ids, held?.invocation)
        const logits = (chunk: number) =>
          promptLogits(runtime, each, held?.slot ?? null, chunk, activeFrom, held?.layers?.numFolds)
        const whole = await logits(128)
        expect(largestDifference(whole, wanted) / each.logit_scale).toBeLessThan(LOGITS_TOLERANCE)
        // With subgroups of one size chunking changes no bit.
        expect(await logits(13)).toEqual(whole)
      }
      held?.release()
    })

    it('generates the same tokens up to the first open margin', async () => {
      for (const each of golden.cases) {
        const expected = certain(each)
        const tokens = await greedyTokens(
          runtime,
          each.input_ids,
          adapter === null ? null : runtime.adapters.lease(adapter),
        )
        expect(tokens.slice(0, expected.length)).toEqual(expected)
        expect(tokens).toHaveLength(32)
      }
    })
  })
}
