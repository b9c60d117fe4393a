/**
 * What activations in halves would bring a model on a device: each of its matrices timed with both types, rounds by turns. The
 * rest of a step hardly reads activations, or reads them once.
 */
import type { Gpu } from '../../gpu/gpu.ts'
import type { ActivationDtype } from '../../model/kernels/includes.ts'
import type { ModelSpec } from '../../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../../weights/dtype.ts'
import { matmulCase, matrixShapes } from '../kernels/layerCases.ts'
import { type Measured, measure } from '../kernels/measure.ts'
import { Workbench } from '../kernels/workbench.ts'

/** Time of all matrices with f16 activations over that with f32: below 1, halves are faster. */
export interface HalfTrial {
  /** Of a step of one row. */
  readonly decode: number
  /** Of a step of PREFILL_ROWS rows. */
  readonly prefill: number
}

export const PREFILL_ROWS = 64
const ROUNDS = 7
/** What halves must be better by to be recommended: noise of a quiet machine, and worth other numbers. */
const WORTH = 0.95
/** What they may cost where they do not help. */
const HARM = 1.02

/** `cpuMs`: see MeasureOptions. @throws GpuOutOfMemoryError, GpuLostError */
export async function tryHalves(
  gpu: Gpu,
  spec: ModelSpec,
  weights: FloatDtype,
  { rounds = ROUNDS, cpuMs }: { readonly rounds?: number; readonly cpuMs?: () => number } = {},
): Promise<HalfTrial> {
  const shapes = matrixShapes(spec)
  const largest = Math.max(...shapes.map(({ in: inputs, out }) => inputs * out * FLOAT_BYTES[weights]))
  const bench = await Workbench.open(gpu, largest)
  try {
    const plans = [1, PREFILL_ROWS].flatMap((rows) =>
      shapes
        // A prompt's rows want no logits, but for the last.
        .filter(({ name }) => rows === 1 || name !== 'lm_head')
        .flatMap((shape) =>
          (['F32', 'F16'] as const).map((activations) => {
            const uses = shape.name === 'lm_head' ? 1 : spec.numLayers
            return { rows, activations, uses, test: matmulCase(shape, weights, rows, bench.poolBytes, activations) }
          }),
        ),
    )
    const tests = plans.map(({ test }) => test)
    const measured = await measure(bench, tests, { rounds, ...(cpuMs && { cpuMs }) })
    const time = (rows: number, activations: ActivationDtype) =>
      plans.reduce((sum, plan, i) => {
        return plan.rows === rows && plan.activations === activations ? sum + plan.uses * best(measured[i]!) : sum
      }, 0)
    const ratio = (rows: number) => time(rows, 'F16') / time(rows, 'F32')
    return { decode: ratio(1), prefill: ratio(PREFILL_ROWS) }
  } finally {
    bench.close()
  }
}

/** CPU time where a CPU does the work, else by the device's clock or the wall's. */
function best({ cpuMs, deviceMs, wallMs }: Measured): number {
  return Math.min(...([cpuMs, deviceMs].find((times) => times.length > 0) ?? wallMs))
}

/** Whether it is worth other numbers. */
export function isWorth({ decode, prefill }: HalfTrial): boolean {
  return Math.min(decode, prefill) <= WORTH && Math.max(decode, prefill) <= HARM
}
