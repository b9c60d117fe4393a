/**
 * A model on a device, ready to generate: weights, KV cache, adapter pool, forward pass, sampler and the engine over
 * them. Opened in one go and closed in one go; when either ends, nothing of it is left on the GPU.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { BaseRows } from '../lora/baseRows.ts'
import { Compositions } from '../lora/compositions.ts'
import type { BaseModel, MergedAdapter, MergeWish } from '../lora/merge.ts'
import { AdapterPool } from '../lora/pool.ts'
import { AdapterRegistry } from '../lora/registry.ts'
import { checkCheckpoint, withActualHead } from '../model/checkCheckpoint.ts'
import { readModelSpec } from '../model/config.ts'
import { ForwardPass } from '../model/forward.ts'
import { allocateKvCache } from '../model/kvCache.ts'
import { Sampler } from '../model/sampler.ts'
import type { ModelSpec } from '../model/spec.ts'
import { type LoadProgress, loadModelWeights, readMatrixRows } from '../model/weights.ts'
import { part } from '../part.ts'
import { openCheckpoint } from '../weights/checkpoint.ts'
import { readJson } from '../weights/config.ts'
import type { Folder } from '../weights/folder.ts'
import type { JsonObject } from '../weights/json.ts'
import { Engine, type EngineOptions } from './engine.ts'
import { GpuRunner, stepBufferWords } from './gpuRunner.ts'
import { type EngineSizes, planSizes, type SizePlan } from './sizes.ts'
import { KernelTuner, type TuningOptions } from './tuning.ts'

export interface RuntimeOptions {
  readonly sizes?: EngineSizes
  readonly engine?: EngineOptions
  /** Names adapters may not take: the base's. */
  readonly reservedNames?: readonly string[]
  /** Most adapters in host memory, default any, and most bytes of them, default 1 GiB. The rest stays where it came from. */
  readonly maxHostLoras?: number
  readonly loraHostMemory?: number
  /** An adapter to fold into the base while that is loaded. */
  readonly merge?: MergeWish | null
  /** How kernels are fitted to the device. */
  readonly tuning?: TuningOptions
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
}

export class Runtime {
  readonly gpu: Gpu
  readonly spec: ModelSpec
  /** The parsed config.json. */
  readonly config: JsonObject
  readonly sizes: SizePlan
  readonly engine: Engine
  readonly adapters: AdapterRegistry
  /** Of several adapters at once. */
  readonly compositions: Compositions
  readonly runner: GpuRunner
  /** f32 [logits rows, vocabSize] of the last step; for tests and measurements. */
  readonly logits: Tracked
  /** What was folded into the base; its weights are not those of the checkpoint then. */
  readonly merged: MergedAdapter | null
  /** Tensors of the checkpoint that nothing reads. */
  readonly unusedTensors: readonly string[]
  /** Rows of the embedding and the output layer, read back: to compare with what adapters take them for. */
  readonly baseRows: BaseRows
  readonly tuner: KernelTuner
  readonly #owned: Owned

  private constructor(parts: Omit<Runtime, 'close'>, owned: Owned) {
    this.gpu = parts.gpu
    this.spec = parts.spec
    this.config = parts.config
    this.sizes = parts.sizes
    this.engine = parts.engine
    this.adapters = parts.adapters
    this.compositions = parts.compositions
    this.runner = parts.runner
    this.logits = parts.logits
    this.merged = parts.merged
    this.unusedTensors = parts.unusedTensors
    this.baseRows = parts.baseRows
    this.tuner = parts.tuner
    this.#owned = owned
  }

  /**
   * Loads a Hugging Face folder onto `gpu`, which stays the caller's to close.
   * @throws ConfigError, UnsupportedModelError, SafetensorsError, CheckpointError, CheckpointMismatchError, SizeError,
   * GpuOutOfMemoryError, SourceError, or the signal's reason. Nothing is left allocated then.
   */
  static async open(gpu: Gpu, folder: Folder, options: RuntimeOptions = {}): Promise<Runtime> {
    const config = await readJson(folder, 'config.json', signalOf(options))
    const owned = new Owned()
    const checkpoint = await openCheckpoint(folder, options.signal)
    try {
      const actual = await withActualHead(readModelSpec(config), checkpoint, options.signal)
      const { unused } = checkCheckpoint(actual, checkpoint)
      const asStored = { spec: actual, checkpoint, merged: null }
      const base = options.merge ? await withMerged(asStored, options.merge, options.signal) : asStored
      const { spec, merged } = base
      const sizes = planSizes(gpu, spec, options.sizes ?? {})
      const weights = await loadModelWeights(gpu, spec, base.checkpoint, options)
      owned.buffers.push(...weights.buffers)
      const pool = owned.closes(
        await AdapterPool.create(gpu, spec, { budgetBytes: sizes.loraBytes, maxSlots: sizes.maxSlots, weights }),
      )
      const kv = await allocateKvCache(gpu, spec, sizes.kvCacheDtype, sizes.numBlocks)
      for (const { keys, values } of kv.layers) owned.buffers.push(keys, values)
      const [step, registers] = await gpu.allocateAll([
        { label: 'step tables', purpose: 'tables', byteLength: stepBufferWords(sizes) * 4 },
        { label: 'token registers', purpose: 'tables', byteLength: sizes.maxSpans * 4 },
      ])
      owned.buffers.push(step!, registers!)
      const stepInputs = { step: step!, registers: registers! }
      const { activationDtype } = sizes
      const dtypes = { weights: weights.layers[0]!.matrices.mlp_in.dtype, activations: activationDtype }
      const tuner = await KernelTuner.open(gpu, spec, dtypes, options.tuning)
      const parts = { ...stepInputs, spec, weights, kv, adapters: pool, limits: sizes, activationDtype }
      const forward = owned.closes(await ForwardPass.create(gpu, parts, tuner.tuning))
      pool.onLoad((use) => forward.prepareAdapter(use))
      const sampler = owned.closes(
        await Sampler.create(gpu, {
          ...stepInputs,
          logits: forward.logits,
          tuned: forward.tuned,
          vocabSize: spec.vocabSize,
          maxLogits: sizes.maxLogitsRows,
          maxSequences: sizes.maxSpans,
        }),
      )
      const runner = await GpuRunner.create(
        { gpu, forward, sampler, adapters: pool, limits: sizes, stepBuffer: step! },
        owned.buffers,
      )
      const baseRows: BaseRows = (module, first, count) =>
        readMatrixRows(gpu, module === 'head' ? weights.lmHead : weights.embed, first, count)
      const engine = new Engine(runner, options.engine)
      const { reservedNames = [], maxHostLoras, loraHostMemory } = options
      const adapters = new AdapterRegistry(pool, reservedNames, {
        ...(maxHostLoras !== undefined && { maxAdapters: maxHostLoras }),
        ...(loraHostMemory !== undefined && { maxBytes: loraHostMemory }),
      })
      const compositions = new Compositions({ registry: adapters, spec, maxRank: sizes.maxLoraRank })
      const { logits } = forward
      tuner.start(engine, (tuning) => forward.adopt(tuning))
      return new Runtime(
        {
          ...{ gpu, spec, config, sizes, engine, adapters, compositions, runner, logits, merged, baseRows },
          unusedTensors: unused,
          tuner,
        },
        owned,
      )
    } catch (error) {
      owned.release()
      throw error
    } finally {
      await checkpoint.close()
    }
  }

  /** Ends every request, then frees every buffer. */
  async close(): Promise<void> {
    await Promise.all([this.engine.close(), this.tuner.stop()])
    await this.adapters.close()
    this.#owned.release()
  }
}

/** What was allocated so far, to give back all at once. */
class Owned {
  readonly buffers: Tracked[] = []
  readonly #closables: { close(): void }[] = []

  closes<T extends { close(): void }>(closable: T): T {
    this.#closables.push(closable)
    return closable
  }

  release(): void {
    for (const closable of this.#closables.splice(0)) closable.close()
    for (const buffer of this.buffers.splice(0)) buffer.destroy()
  }
}

function signalOf({ signal }: RuntimeOptions): { signal?: AbortSignal } {
  return signal ? { signal } : {}
}

async function withMerged(
  base: BaseModel,
  wish: MergeWish,
  signal?: AbortSignal,
): Promise<BaseModel & { readonly merged: MergedAdapter }> {
  const { readMerged } = await part(() => import('../lora/merge.ts'))
  return await readMerged(base, wish, signal)
}
