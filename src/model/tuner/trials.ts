/** Candidates on a device: compiled, checked against numbers of the CPU's and bits of the other candidates', timed. */
import { LorikeetError } from '../../errors.ts'
import type { Gpu } from '../../gpu/gpu.ts'
import type { BoundKernel, Grid, Kernel } from '../../gpu/kernel.ts'
import type { Tracked } from '../../gpu/ledger.ts'
import { defaultTuning } from '../kernels/tuning.ts'
import type { Problem, ProblemDispatch } from './problems.ts'
import type { Candidate, Tunable } from './tunable.ts'

/** A candidate that may be used. */
export interface Trial {
  /** What its kernels took to compile, whenever in this process that was. */
  readonly compileMs: number
  /** Milliseconds of one run; takes as long as a step or less. */
  time(): Promise<number>
  close(): void
}

export interface Trials {
  /** Compiles and checks. @throws WrongKernelError, OtherBitsError, ShaderError, GpuOutOfMemoryError, GpuLostError */
  prepare(tunable: Tunable, candidate: Candidate): Promise<Trial>
}

/** A kernel computed something else than what it should. */
export class WrongKernelError extends LorikeetError {
  readonly code = 'wrong_kernel'
  override readonly status = 500
  override readonly param: string

  constructor(tunable: string, candidate: string, found: string) {
    super(
      `On this device the kernel "${tunable}" with ${candidate} gives ${found}. It is not used. Please report this with what \`lorikeet doctor --json\` says.`,
    )
    this.param = tunable
  }
}

/** On a device with several subgroup sizes a candidate got another one, and with it another order of sums. */
export class OtherBitsError extends LorikeetError {
  readonly code = 'other_bits'
  override readonly status = 500
  override readonly param: string

  constructor(tunable: string, candidate: string) {
    super(`The kernel "${tunable}" with ${candidate} has other bits than its default on this device. It is not used.`)
    this.param = tunable
  }
}

/** A timing takes at least so long, or so many dispatches. */
const LEAST_MS = 2
const MOST_REPEATS = 256

export class DeviceTrials implements Trials {
  readonly #gpu: Gpu
  readonly #tests = new Map<Tunable, Test>()

  constructor(gpu: Gpu) {
    this.#gpu = gpu
  }

  async prepare(tunable: Tunable, candidate: Candidate): Promise<Trial> {
    const wrong = (found: string) => new WrongKernelError(tunable.name, candidate.label, found)
    const test = this.#tests.get(tunable) ?? (await testOf(tunable))
    this.#tests.set(tunable, test)
    if (!test.right.has(candidate.label)) {
      const small = await Bench.open(this.#gpu, test.check, candidate)
      try {
        const { values, tolerance } = test.expected
        const found = new Float32Array((await small.once()).buffer)
        const off = found.findIndex((value, i) => !(Math.abs(value - values[i]!) <= tolerance))
        if (off >= 0) throw wrong(`${found[off]} instead of ${values[off]}`)
      } finally {
        small.close()
      }
      test.right.add(candidate.label)
    }
    const bench = await Bench.open(this.#gpu, test.load, candidate)
    try {
      const bits = new Uint32Array((await bench.once()).buffer)
      if (test.bits?.some((word, i) => word !== bits[i])) {
        const { subgroupMinSize, subgroupMaxSize } = this.#gpu.can
        if (subgroupMinSize !== subgroupMaxSize) throw new OtherBitsError(tunable.name, candidate.label)
        throw wrong('other bits than the candidates before it')
      }
      test.bits ??= bits
      return bench
    } catch (error) {
      bench.close()
      throw error
    }
  }
}

interface Test {
  readonly check: Problem
  readonly expected: ReturnType<Problem['expected']>
  readonly load: Problem
  /** What the first candidate made of the load: the others must give the same bits. */
  bits: Uint32Array | null
  /** Labels of the candidates that passed the check. */
  readonly right: Set<string>
}

async function testOf(tunable: Tunable): Promise<Test> {
  const check = await tunable.check()
  return { check, expected: check.expected(), load: await tunable.load(), bits: null, right: new Set() }
}

/** A problem with a candidate's kernels bound to it. */
class Bench implements Trial {
  readonly compileMs: number
  readonly #gpu: Gpu
  readonly #buffers: Readonly<Record<string, Tracked>>
  readonly #output: Tracked
  readonly #dispatches: readonly { readonly kernel: BoundKernel; readonly grid: Grid }[]
  #repeats = 1

  private constructor(
    gpu: Gpu,
    buffers: Readonly<Record<string, Tracked>>,
    output: Tracked,
    kernels: readonly Kernel[],
    problem: readonly ProblemDispatch[],
  ) {
    this.#gpu = gpu
    this.#buffers = buffers
    this.#output = output
    this.compileMs = Math.max(...kernels.map(({ compileMs }) => compileMs))
    this.#dispatches = problem.map(({ grid, names = {} }, i) => {
      const { bindings } = kernels[i]!.definition
      const bound = bindings.map(({ name }) => [name, buffers[names[name] ?? name]!] as const)
      return { kernel: kernels[i]!.bind(Object.fromEntries(bound)), grid }
    })
  }

  static async open(gpu: Gpu, problem: Problem, candidate: Candidate): Promise<Bench> {
    const dispatches = problem.dispatches(candidate.within(defaultTuning(gpu.can)))
    const kernels = await Promise.all(
      dispatches.map(({ choice: { definition, specialisation } }) => gpu.kernel(definition, specialisation)),
    )
    const entries = Object.entries(problem.buffers)
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const made = await gpu.allocateAll(
      entries.map(([name, { byteLength }]) => ({
        label: `tuning ${name}`,
        purpose: 'activations' as const,
        byteLength,
        usage,
      })),
    )
    try {
      for (const [i, [, data]] of entries.entries()) {
        await gpu.upload(made[i]!, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      }
      const buffers = Object.fromEntries(entries.map(([name], i) => [name, made[i]!]))
      return new Bench(gpu, buffers, buffers[problem.output]!, kernels, dispatches)
    } catch (error) {
      for (const buffer of made) buffer.destroy()
      throw error
    }
  }

  /** Runs it, and reads the output back. */
  async once(): Promise<Uint8Array<ArrayBuffer>> {
    this.#submit(1)
    return await this.#gpu.readback(this.#output)
  }

  async time(): Promise<number> {
    for (;;) {
      const start = performance.now()
      this.#submit(this.#repeats)
      await this.#gpu.idle()
      const spent = performance.now() - start
      if (spent >= LEAST_MS || this.#repeats >= MOST_REPEATS) return spent / this.#repeats
      this.#repeats *= 2
    }
  }

  close(): void {
    for (const buffer of Object.values(this.#buffers)) buffer.destroy()
  }

  #submit(repeats: number): void {
    const recorder = this.#gpu.recorder()
    for (let i = 0; i < repeats; i++) {
      for (const { kernel, grid } of this.#dispatches) recorder.dispatch(kernel, grid)
    }
    recorder.submit()
  }
}
