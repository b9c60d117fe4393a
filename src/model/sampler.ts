/**
 * From logits to tokens on the GPU: one record per logits row, read back by the engine. `shaders/sample.wgsl` draws,
 * `shaders/logprobs.wgsl` reports; a step dispatches the second only if it wants log probabilities. Rows whose logits are
 * changed first go through `shaders/adjust.wgsl` into a copy, in rounds of ADJUSTED_ROWS, and are drawn from there; a
 * step without such rows knows nothing of it.
 */
import adjustSource from '../../shaders/adjust.wgsl' with { type: 'text' }
import logprobsSource from '../../shaders/logprobs.wgsl' with { type: 'text' }
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel, Grid, KernelDefinition } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { StepRecorder } from '../gpu/recorder.ts'
import { PLAIN_WORKGROUP } from './kernels/choice.ts'
import { type CrewShape, crewShape } from './kernels/crew.ts'
import { STEP_INCLUDE } from './kernels/includes.ts'
import { RECORD_WORDS, SAMPLE_BINDINGS, sampleGrid, sampleKernel, sampleParams } from './kernels/sample.ts'
import { TokenCounts } from './tokenCounts.ts'
import { TunedKernels } from './tunedKernels.ts'

export { MAX_TOP } from './kernels/sample.ts'
export const RECORD_BYTES: number = RECORD_WORDS * 4

/** Rows adjusted at once: each costs a copy of its logits, 0.5 MB for a vocabulary of 128k. */
const ADJUSTED_ROWS = 16
/** Tokens a workgroup adjusts. */
const CHUNK = 2048
/** Bindings of uniforms begin at multiples of this. */
const PARAMS_BYTES = 256
/** Stands behind the last of the likeliest tokens, where there are fewer than asked for. */
const NO_TOKEN = 0xffffffff

const LOGPROBS: KernelDefinition = {
  name: 'logprobs',
  source: logprobsSource,
  bindings: SAMPLE_BINDINGS.slice(0, 4),
}
const ADJUST: KernelDefinition = {
  name: 'adjust',
  source: adjustSource,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'logits', access: 'read' },
    { name: 'adjusted', access: 'write' },
    { name: 'counts', access: 'read' },
  ],
}

/** Statuses of a record, as sample.wgsl writes them; any other means that nothing could be drawn. */
const DRAWN = 0
const VOID = 2

/** What the kernels left about one logits row. Structurally the engine's LogitsRecord. */
export interface SampledRecord {
  /** Null when a logit is NaN or infinite, or no token may be drawn. */
  readonly token: number | null
  /** The row was fed by a sequence that had ended. */
  readonly isVoid?: boolean
  readonly logprobs: {
    readonly logprob: number
    readonly rank: number
    readonly top: readonly { readonly token: number; readonly logprob: number }[]
  } | null
}

export interface SamplerParts {
  /** The step's tables. */
  readonly step: Tracked
  /** f32 [maxLogits, vocabSize]; never written. */
  readonly logits: Tracked
  /** u32: where tokens are kept for the next step, as many as sequences that run at once. */
  readonly registers: Tracked
  readonly vocabSize: number
  readonly maxLogits: number
  /** Sequences that run at once, so rows that are adjusted in one step. Default maxLogits. */
  readonly maxSequences?: number
  /** Default: what suits the device. */
  readonly crew?: CrewShape
  /** Where its kernel is tuned. Default: nowhere. */
  readonly tuned?: TunedKernels
}

/** The kernels of rows whose logits are adjusted: ADJUSTED_ROWS of them. */
interface Round {
  readonly adjust: BoundKernel
  readonly sample: BoundKernel
}

export class Sampler {
  /** [maxLogits, RECORD_WORDS] u32. */
  readonly records: Tracked
  /** What penalties look at. */
  readonly counts: TokenCounts
  readonly #sample: BoundKernel
  readonly #logprobs: BoundKernel
  readonly #rounds: readonly Round[]
  readonly #owned: readonly Tracked[]
  readonly #crew: CrewShape
  readonly #vocabSize: number

  private constructor(
    { vocabSize, counts, crew }: { vocabSize: number; counts: TokenCounts; crew: CrewShape },
    kernels: { sample: BoundKernel; logprobs: BoundKernel; rounds: readonly Round[] },
    owned: readonly [records: Tracked, ...others: Tracked[]],
  ) {
    this.records = owned[0]
    this.counts = counts
    this.#sample = kernels.sample
    this.#logprobs = kernels.logprobs
    this.#rounds = kernels.rounds
    this.#owned = owned
    this.#crew = crew
    this.#vocabSize = vocabSize
  }

  /** @throws GpuOutOfMemoryError, ShaderError; nothing is left allocated then. */
  static async create(gpu: Gpu, parts: SamplerParts): Promise<Sampler> {
    const { step, logits, registers, vocabSize, maxLogits, maxSequences = maxLogits } = parts
    const { crew = crewShape(gpu.can), tuned = new TunedKernels(gpu) } = parts
    const constants = { WORKGROUP: crew.workgroup }
    const includes = { step: STEP_INCLUDE, crew: crew.source }
    const [sample, logprobs, adjust] = await Promise.all([
      tuned.get('sample', (tuning) => sampleKernel(gpu.can, tuning.sample, crew)),
      gpu.kernel(LOGPROBS, { constants, includes }),
      gpu.kernel(ADJUST, { constants: { WORKGROUP: PLAIN_WORKGROUP, CHUNK }, includes: { step: STEP_INCLUDE } }),
    ])
    const numRounds = Math.ceil(maxSequences / ADJUSTED_ROWS)
    const counts = await TokenCounts.create(gpu, vocabSize, maxSequences)
    try {
      const buffers = await allocate(gpu, { maxLogits, vocabSize, maxSequences, numRounds })
      const { records, adjusted, params } = buffers
      const paramsAt = (index: number) => ({ buffer: params.buffer, offset: index * PARAMS_BYTES, size: 16 })
      const shared = { step, records, counts: counts.buffer, registers }
      const rounds = Array.from({ length: numRounds }, (_, round): Round => {
        gpu.write(params, (round + 1) * PARAMS_BYTES, sampleParams(vocabSize, round * ADJUSTED_ROWS))
        const own = paramsAt(round + 1)
        return {
          adjust: adjust.bind({ params: own, step, logits, adjusted, counts: counts.buffer }),
          sample: sample.bind({ ...shared, params: own, logits: adjusted }, 'sample adjusted'),
        }
      })
      gpu.write(params, 0, sampleParams(vocabSize))
      const kernels = {
        sample: sample.bind({ ...shared, params: paramsAt(0), logits }),
        logprobs: logprobs.bind({ params: paramsAt(0), step, logits, records }),
        rounds,
      }
      return new Sampler({ vocabSize, counts, crew }, kernels, [records, adjusted, params])
    } catch (error) {
      counts.close()
      throw error
    }
  }

  /** Appends the sampling of `numLogits` rows, of which `numAdjusted` have an adjustment. */
  record(recorder: StepRecorder, numLogits: number, wantsLogprobs: boolean, numAdjusted = 0): void {
    invariant(numAdjusted <= this.#rounds.length * ADJUSTED_ROWS, 'A step adjusts more rows than sequences may run')
    if (numAdjusted < numLogits) recorder.dispatch(this.#sample, this.#grid(numLogits))
    for (const [index, round] of this.#rounds.entries()) {
      const rows = Math.min(ADJUSTED_ROWS, numAdjusted - index * ADJUSTED_ROWS)
      if (rows <= 0) break
      recorder.dispatch(round.adjust, [Math.ceil(this.#vocabSize / CHUNK), rows])
      recorder.dispatch(round.sample, this.#grid(rows))
    }
    if (wantsLogprobs) recorder.dispatch(this.#logprobs, this.#grid(numLogits))
  }

  close(): void {
    this.counts.close()
    for (const buffer of this.#owned) buffer.destroy()
  }

  #grid(rows: number): Grid {
    return sampleGrid(this.#crew, rows)
  }
}

async function allocate(
  gpu: Gpu,
  sizes: { maxLogits: number; vocabSize: number; maxSequences: number; numRounds: number },
): Promise<{ records: Tracked; adjusted: Tracked; params: Tracked }> {
  const [records, adjusted, params] = await gpu.allocateAll([
    { label: 'records', purpose: 'activations', byteLength: sizes.maxLogits * RECORD_BYTES },
    {
      label: 'adjusted logits',
      purpose: 'activations',
      byteLength: Math.min(ADJUSTED_ROWS, sizes.maxSequences) * sizes.vocabSize * 4,
    },
    {
      label: 'sampler params',
      purpose: 'params',
      byteLength: (1 + sizes.numRounds) * PARAMS_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    },
  ])
  return { records: records!, adjusted: adjusted!, params: params! }
}

/** Reads record `index` out of what came back; `topLogprobs` as it was asked for. */
export function readRecord(bytes: Uint8Array<ArrayBuffer>, index: number, topLogprobs: number | null): SampledRecord {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + index * RECORD_BYTES, RECORD_WORDS)
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset + index * RECORD_BYTES, RECORD_WORDS)
  if (words[1] === VOID) return { token: null, logprobs: null, isVoid: true }
  if (words[1] !== DRAWN) return { token: null, logprobs: null }
  const token = words[0]!
  if (topLogprobs === null) return { token, logprobs: null }
  const top = Array.from({ length: topLogprobs }, (_, i) => ({ token: words[4 + 2 * i]!, logprob: floats[5 + 2 * i]! }))
  return { token, logprobs: { logprob: floats[2]!, rank: words[3]!, top: top.filter((one) => one.token !== NO_TOKEN) } }
}
