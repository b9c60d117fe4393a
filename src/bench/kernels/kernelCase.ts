/** One kernel at one shape, and what a perfect device would have to do for it. */
import type { BoundKernel, Grid } from '../../gpu/kernel.ts'
import type { StepRecorder } from '../../gpu/recorder.ts'
import type { KernelChoice } from '../../model/kernels/choice.ts'
import type { Workbench } from './workbench.ts'

export interface KernelCase {
  readonly kernel: string
  readonly shape: string
  /** Token rows of the step. */
  readonly rows: number
  /** Multiply-adds. 0 where a kernel does too few to speak of. */
  readonly macs: number
  /** Bytes that have to be read and written: every operand once. */
  readonly bytes: number
  /** Makes its buffers and compiles it. */
  prepare(bench: Workbench): Promise<Prepared>
}

export interface Prepared {
  /** Appends the case's dispatches once. Turns that follow each other read other weights, as layers do. */
  record(recorder: StepRecorder, turn: number): void
  close?(): void
}

export interface Dispatch {
  readonly kernel: BoundKernel
  readonly grid: Grid
}

/** A case of the same dispatches with other weights in every turn. */
export function turns(all: readonly (readonly Dispatch[])[]): Prepared {
  return {
    record(recorder, turn) {
      for (const { kernel, grid } of all[turn % all.length]!) recorder.dispatch(kernel, grid)
    },
  }
}

/** Most sets of bindings of a case: enough to leave every cache. */
const MOST_TURNS = 64

/**
 * The usual case: one kernel whose `weights` come from the pool, while the rest stays.
 * @param weights name of the binding and its bytes; null for a kernel without weights
 */
export async function prepareOne(
  bench: Workbench,
  { definition, specialisation }: KernelChoice,
  rest: Readonly<Record<string, Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer> | number>>,
  weights: { readonly name: string; readonly byteLength: number } | null,
  grid: Grid,
): Promise<Prepared> {
  const kernel = await bench.gpu.kernel(definition, specialisation)
  const buffers: Record<string, Awaited<ReturnType<Workbench['zeros']>>> = {}
  for (const [name, content] of Object.entries(rest)) {
    buffers[name] = typeof content === 'number' ? await bench.zeros(content) : await bench.upload(content)
  }
  if (!weights) return turns([[{ kernel: kernel.bind(buffers), grid }]])
  const count = Math.min(MOST_TURNS, bench.numSlices(weights.byteLength))
  return turns(
    Array.from({ length: count }, (_, turn) => {
      const bound = kernel.bind({ ...buffers, [weights.name]: bench.slice(weights.byteLength, turn) })
      return [{ kernel: bound, grid }]
    }),
  )
}
