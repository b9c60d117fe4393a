/**
 * Times cases by turns: a round goes once through all of them, so that what slows a machine down for a while hits each.
 * A timing is one submit of so many dispatches that submitting and waiting do not count.
 */
import type { Gpu } from '../../gpu/gpu.ts'
import type { KernelCase, Prepared } from './kernelCase.ts'
import type { Workbench } from './workbench.ts'

export interface MeasureOptions {
  readonly rounds: number
  /** Least time of a submit. Default 10 ms. */
  readonly leastMs?: number
  /** CPU time of the process in ms, where the host tells it: steadier where a CPU does the work. */
  readonly cpuMs?: () => number
  readonly onPrepare?: (test: KernelCase, index: number) => void
}

/** Times in ms of a case's dispatches once; an entry for each round. */
export interface Measured {
  readonly test: KernelCase
  /** From making its buffers to the end of its first dispatch, shaders compiled on the way. */
  readonly firstMs: number
  /** How often it was recorded in one submit. */
  readonly repeats: number
  readonly wallMs: readonly number[]
  /** By the device's own clock; empty where it has none. */
  readonly deviceMs: readonly number[]
  readonly cpuMs: readonly number[]
}

/** Dawn rounds timestamps to 2^16 ns (its toggle timestamp_quantization, on by default): 10 ms are long against that. */
const LEAST_MS = 10
const MOST_REPEATS = 4096

/** All rounds of `cases`. */
export async function measure(
  bench: Workbench,
  cases: readonly KernelCase[],
  { rounds, ...options }: MeasureOptions,
): Promise<readonly Measured[]> {
  const measurement = await Measurement.prepare(bench, cases, options)
  try {
    for (let round = 0; round < rounds; round++) await measurement.round()
    return measurement.results
  } finally {
    measurement.close()
  }
}

/** Cases that are prepared, for who has something to do between their rounds. Profiles the device until it is closed. */
export class Measurement {
  readonly #gpu: Gpu
  readonly #stations: Station[] = []
  readonly #cpuMs: (() => number) | undefined

  private constructor(gpu: Gpu, cpuMs: (() => number) | undefined) {
    this.#gpu = gpu
    this.#cpuMs = cpuMs
    if (gpu.can.timestamps) gpu.profile('steps')
  }

  static async prepare(
    bench: Workbench,
    cases: readonly KernelCase[],
    { leastMs = LEAST_MS, cpuMs, onPrepare }: Omit<MeasureOptions, 'rounds'> = {},
  ): Promise<Measurement> {
    const measurement = new Measurement(bench.gpu, cpuMs)
    try {
      for (const [index, test] of cases.entries()) {
        onPrepare?.(test, index)
        measurement.#stations.push(await Station.prepare(bench, test, leastMs))
      }
      return measurement
    } catch (error) {
      measurement.close()
      throw error
    }
  }

  async round(): Promise<void> {
    for (const station of this.#stations) await station.round(this.#gpu, this.#cpuMs)
  }

  get results(): readonly Measured[] {
    return this.#stations
  }

  close(): void {
    for (const station of this.#stations) station.close()
    this.#gpu.profile(null)
  }
}

class Station implements Measured {
  readonly test: KernelCase
  readonly wallMs: number[] = []
  readonly deviceMs: number[] = []
  readonly cpuMs: number[] = []
  readonly #prepared: Prepared
  #firstMs = 0
  #repeats = 1
  #turn = 0

  private constructor(test: KernelCase, prepared: Prepared) {
    this.test = test
    this.#prepared = prepared
  }

  static async prepare(bench: Workbench, test: KernelCase, leastMs: number): Promise<Station> {
    const { gpu } = bench
    await gpu.idle()
    const start = performance.now()
    const station = new Station(test, await test.prepare(bench))
    await station.#submit(gpu)
    station.#firstMs = performance.now() - start
    await station.#calibrate(gpu, leastMs)
    return station
  }

  get firstMs(): number {
    return this.#firstMs
  }

  get repeats(): number {
    return this.#repeats
  }

  async round(gpu: Gpu, cpuMs?: () => number): Promise<void> {
    const [start, cpu] = [performance.now(), cpuMs?.() ?? 0]
    const deviceMs = await this.#submit(gpu)
    const wallMs = performance.now() - start
    this.wallMs.push(wallMs / this.#repeats)
    if (cpuMs) this.cpuMs.push((cpuMs() - cpu) / this.#repeats)
    // Nothing at all: calibration met a busy moment, and what is measured is shorter than the clock's step.
    if (deviceMs !== null) this.deviceMs.push((deviceMs || wallMs) / this.#repeats)
  }

  close(): void {
    this.#prepared.close?.()
  }

  /** Doubles the repeats until a submit is long enough. */
  async #calibrate(gpu: Gpu, leastMs: number): Promise<void> {
    for (;;) {
      const start = performance.now()
      const spent = (await this.#submit(gpu)) ?? performance.now() - start
      if (spent >= leastMs || this.#repeats >= MOST_REPEATS) return
      this.#repeats = Math.min(
        MOST_REPEATS,
        Math.max(this.#repeats * 2, Math.ceil((this.#repeats * leastMs) / Math.max(spent, 0.1))),
      )
    }
  }

  /** Time of the device in ms, or null. */
  async #submit(gpu: Gpu): Promise<number | null> {
    const recorder = gpu.recorder({ timed: true })
    for (let i = 0; i < this.#repeats; i++) this.#prepared.record(recorder, this.#turn++)
    recorder.submit()
    await gpu.idle()
    const span = (await gpu.profiler?.collect()) ?? null
    return span && span.end - span.begin
  }
}
