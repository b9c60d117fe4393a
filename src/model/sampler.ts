/**
 * From logits to tokens on the GPU: one record per logits row, read back by the engine. The two kernels are
 * `shaders/sample.wgsl` and `shaders/logprobs.wgsl`; a step that wants no log probabilities dispatches only the first.
 */
import logprobsSource from '../../shaders/logprobs.wgsl' with { type: 'text' }
import sampleSource from '../../shaders/sample.wgsl' with { type: 'text' }
import type { Gpu } from '../gpu/gpu.ts'
import type { BindingSpec, BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { StepRecorder } from '../gpu/recorder.ts'
import { STEP_INCLUDE } from './kernels/includes.ts'
import { type TeamShape, teamShape } from './kernels/team.ts'

/** Likeliest tokens a record has room for. */
export const MAX_TOP = 20
const RECORD_WORDS = 4 + 2 * MAX_TOP
export const RECORD_BYTES: number = RECORD_WORDS * 4

const BINDINGS: readonly BindingSpec[] = [
  { name: 'params', access: 'uniform' },
  { name: 'step', access: 'read' },
  { name: 'logits', access: 'read' },
  { name: 'records', access: 'write' },
]

/** What the kernels left about one logits row. Structurally the engine's LogitsRecord. */
export interface SampledRecord {
  /** Null when the logits hold NaN or every token is banned. */
  readonly token: number | null
  readonly logprobs: {
    readonly logprob: number
    readonly rank: number
    readonly top: readonly { readonly token: number; readonly logprob: number }[]
  } | null
}

export class Sampler {
  /** [maxLogits, RECORD_WORDS] u32. */
  readonly records: Tracked
  readonly #sample: BoundKernel
  readonly #logprobs: BoundKernel
  readonly #params: Tracked
  readonly #team: TeamShape

  private constructor(records: Tracked, params: Tracked, sample: BoundKernel, logprobs: BoundKernel, team: TeamShape) {
    this.records = records
    this.#params = params
    this.#sample = sample
    this.#logprobs = logprobs
    this.#team = team
  }

  /** @param logits f32 [maxLogits, vocabSize]; @param step the step's tables. @throws GpuOutOfMemoryError, ShaderError */
  static async create(
    gpu: Gpu,
    { step, logits, vocabSize, maxLogits }: { step: Tracked; logits: Tracked; vocabSize: number; maxLogits: number },
  ): Promise<Sampler> {
    const team = teamShape(gpu.can)
    const wanted = { constants: team.constants, includes: { team: team.source, step: STEP_INCLUDE } }
    const [sample, logprobs] = await Promise.all([
      gpu.kernel({ name: 'sample', source: sampleSource, bindings: BINDINGS }, wanted),
      gpu.kernel({ name: 'logprobs', source: logprobsSource, bindings: BINDINGS }, wanted),
    ])
    const [records, params] = await gpu.allocateAll([
      { label: 'records', purpose: 'activations', byteLength: maxLogits * RECORD_BYTES },
      {
        label: 'sampler params',
        purpose: 'params',
        byteLength: 16,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      },
    ])
    gpu.write(params!, 0, Uint32Array.of(vocabSize, 0, 0, 0))
    const buffers = { params: params!, step, logits, records: records! }
    return new Sampler(records!, params!, sample.bind(buffers), logprobs.bind(buffers), team)
  }

  /** Appends the sampling of `numLogits` rows. */
  record(recorder: StepRecorder, numLogits: number, wantsLogprobs: boolean): void {
    const grid = [Math.ceil(numLogits / this.#team.teamsPerWorkgroup)] as const
    recorder.dispatch(this.#sample, grid)
    if (wantsLogprobs) recorder.dispatch(this.#logprobs, grid)
  }

  close(): void {
    this.records.destroy()
    this.#params.destroy()
  }
}

/** Reads record `index` out of what came back; `topLogprobs` as it was asked for. */
export function readRecord(bytes: Uint8Array<ArrayBuffer>, index: number, topLogprobs: number | null): SampledRecord {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + index * RECORD_BYTES, RECORD_WORDS)
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset + index * RECORD_BYTES, RECORD_WORDS)
  if (words[1] !== 0) return { token: null, logprobs: null }
  const token = words[0]!
  if (topLogprobs === null) return { token, logprobs: null }
  const top = Array.from({ length: topLogprobs }, (_, i) => ({ token: words[4 + 2 * i]!, logprob: floats[5 + 2 * i]! }))
  return { token, logprobs: { logprob: floats[2]!, rank: words[3]!, top } }
}
