/** Tuning the kernels of a model that runs: what an earlier start found is used at once, the rest is measured at leisure. */
import { LorikeetError } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import { defaultTuning, type KernelTuning } from '../model/kernels/tuning.ts'
import type { ModelSpec } from '../model/spec.ts'
import type { Dtypes } from '../model/tuner/problems.ts'
import { type Tunable, tunablesOf } from '../model/tuner/tunable.ts'
import type { TunerPort } from '../model/tuner/tuner.ts'
import {
  type Finding,
  type Findings,
  findingsText,
  MemoryTuningStore,
  readFindings,
  type TuningStore,
  tunedBy,
  tuningKey,
  untried,
} from '../model/tuner/tuningStore.ts'
import { part } from '../part.ts'

export interface TuningOptions {
  /**
   * 'auto': measure what is not known, except on software devices, whose defaults were measured with care. 'always': on
   * those too. 'never': the defaults, whatever a store knows. Default 'auto'.
   */
  readonly mode?: 'auto' | 'always' | 'never'
  /** Measure what is known, too. Default false. */
  readonly retune?: boolean
  /** Most milliseconds that a start spends on timings. Default 300. */
  readonly budgetMs?: number
  /** Where findings are kept. Default: with the process. */
  readonly store?: TuningStore
  /** A candidate was tried. */
  readonly onFound?: (name: string, finding: Finding) => void
  /** A candidate that cannot be used, or why there will be no more choices. */
  readonly onProblem?: (error: LorikeetError) => void
}

/** What tuning needs of an engine. */
export interface TunedEngine {
  rest(): Promise<boolean>
}

export class KernelTuner {
  readonly #gpu: Gpu
  readonly #options: TuningOptions
  readonly #store: TuningStore
  readonly #key: string
  readonly tunables: readonly Tunable[]
  /** What the kernels are chosen for. */
  readonly dtypes: Dtypes
  #findings: Findings
  #isOver = false
  #running: Promise<void> = Promise.resolve()

  private constructor(
    gpu: Gpu,
    dtypes: Dtypes,
    { key, tunables }: { readonly key: string; readonly tunables: readonly Tunable[] },
    findings: Findings,
    options: TuningOptions,
  ) {
    this.#gpu = gpu
    this.#options = options
    this.#store = options.store ?? new MemoryTuningStore()
    this.dtypes = dtypes
    this.#key = key
    this.tunables = tunables
    this.#findings = findings
  }

  /** Reads what is known of this device and model. A store that fails knows nothing. */
  static async open(gpu: Gpu, spec: ModelSpec, dtypes: Dtypes, options: TuningOptions = {}): Promise<KernelTuner> {
    const { weights, activations } = dtypes
    const tunables = tunablesOf(gpu.can, spec, weights, activations)
    const key = tuningKey(gpu, spec, weights, activations)
    const isKnown = options.store && options.mode !== 'never' && !options.retune
    const text = isKnown ? await options.store.read(key).catch(() => null) : null
    return new KernelTuner(gpu, dtypes, { key, tunables }, readFindings(text, tunables), options)
  }

  get findings(): Findings {
    return this.#findings
  }

  /** What to start with. */
  get tuning(): KernelTuning {
    return tunedBy(defaultTuning(this.#gpu.can), this.tunables, this.#findings)
  }

  /** Measures while `engine` rests, until stop(); `adopt` gives the engine's steps what was found. */
  start(engine: TunedEngine, adopt: (tuning: KernelTuning) => Promise<void>): void {
    const { mode = 'auto', budgetMs, onFound, onProblem } = this.#options
    if (mode === 'never' || (mode === 'auto' && this.#gpu.can.software)) return
    const port: TunerPort = {
      rest: async () => !this.#isOver && (await engine.rest()) && !this.#isOver,
      now: () => performance.now(),
      adopt,
      problem(error) {
        if (error.code !== 'other_bits') onProblem?.(error) // that one is as it should be
      },
      found: async (name, finding, all) => {
        this.#findings = all
        onFound?.(name, finding)
        await this.#store.write(this.#key, findingsText(all)).catch(() => undefined) // found again at the next start
      },
    }
    this.#running = this.#measure(port, budgetMs).catch((error: unknown) => {
      if (error instanceof LorikeetError) onProblem?.(error)
    })
  }

  async #measure(port: TunerPort, budgetMs: number | undefined): Promise<void> {
    const [{ Tuner }, { DeviceTrials }] = await Promise.all([
      part(() => import('../model/tuner/tuner.ts')),
      part(() => import('../model/tuner/trials.ts')),
    ])
    const trials = new DeviceTrials(this.#gpu)
    await new Tuner(this.#gpu.can, this.tunables, this.#findings, trials, port, budgetMs).run()
  }

  /** Resolves when everything measured so far is done, or stop() was called. */
  get done(): Promise<void> {
    return this.#running
  }

  /** Ends after the slice under way. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }
}

export interface TuningRow {
  readonly kernel: string
  /** Of the candidates. */
  readonly chosen: string
  /** How it came to be chosen. */
  readonly because: string
}

/** What a device's kernels are and why, for people. */
export function tuningTable({ tunables, tuning, findings }: KernelTuner): readonly TuningRow[] {
  return tunables.map((tunable) => {
    const finding = findings[tunable.name]
    const row = { kernel: tunable.name, chosen: tunable.chosen(tuning) }
    if (!finding) return { ...row, because: 'by default' }
    const times = Object.entries(finding.ms)
      .toSorted(([, one], [, other]) => one - other)
      .map(([each, ms]) => `${each} ${showMicroseconds(ms)} us`)
    const rejected = Object.keys(finding.rejected).map((each) => `${each} cannot be used`)
    const left = untried(tunable, tuning, finding).length
    const later = left > 0 ? [`${left} not tried yet`] : []
    return { ...row, because: [...times, ...rejected, ...later].join('; ') }
  })
}

function showMicroseconds(ms: number): string {
  return (ms * 1000).toFixed(ms < 0.1 ? 1 : 0)
}
