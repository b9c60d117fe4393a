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

/** @throws GpuOutOfMemoryError, GpuLostError */
export async function tryHalves(gpu: Gpu, spec: ModelSpec, weights: FloatDtype): Promise<HalfTrial> {
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
    const measured = await measure(
      bench,
      plans.map(({ test }) => test),
      { rounds: ROUNDS },
    )
    const time = (rows: number, activations: ActivationDtype, round: number) =>
      plans.reduce((sum, plan, i) => {
        const isMeant = plan.rows === rows && plan.activations === activations
        return isMeant ? sum + plan.uses * timesOf(measured[i]!)[round]! : sum
      }, 0)
    // Of the same round: what else a machine does hits both.
    const ratio = (rows: number) => {
      const ratios = Array.from({ length: ROUNDS }, (_, round) => time(rows, 'F16', round) / time(rows, 'F32', round))
      return ratios.sort((one, other) => one - other)[ROUNDS >> 1]!
    }
    return { decode: ratio(1), prefill: ratio(PREFILL_ROWS) }
  } finally {
    bench.close()
  }
}

/** By the device's clock where it has one: what submitting costs is the same for both. */
function timesOf({ deviceMs, wallMs }: Measured): readonly number[] {
  return deviceMs.length > 0 ? deviceMs : wallMs
}

/** Whether it is worth other numbers. */
export function isWorth({ decode, prefill }: HalfTrial): boolean {
  return Math.min(decode, prefill) <= WORTH && Math.max(decode, prefill) <= HARM
}
