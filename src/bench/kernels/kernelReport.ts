/** What `lorikeet bench kernels` finds, as the JSON it writes: each kernel's rates, and their share of the device's own. */
import type { Facts } from '../load/loadReport.ts'
import { percentile } from '../load/stats.ts'
import type { Measured } from './measure.ts'

/** Raised when a field changes its meaning. */
export const KERNEL_SCHEMA = 1

export interface KernelReport {
  readonly kind: 'lorikeet bench kernels'
  readonly schema: typeof KERNEL_SCHEMA
  /** ISO 8601. */
  readonly createdAt: string
  readonly command: string
  readonly host: Facts
  readonly device: Facts
  readonly isSoftware: boolean
  readonly model: Facts
  readonly rounds: number
  /** Whose times these are: the device's by timestamps, or those of the process, submits included. */
  readonly clock: 'device' | 'wall'
  /** The best the device was seen to do. */
  readonly rates: DeviceRates
  readonly kernels: readonly KernelFigures[]
}

export interface DeviceRates {
  /** Bytes read and written by a copy, in 10^9 a second. */
  readonly copyGBs: number | null
  /** 10^9 operations a second; a fused multiply-add is two. */
  readonly multiplyGFLOPs: number | null
  readonly multiplyF16GFLOPs: number | null
  /** What a dispatch costs that does nothing and waits for the one before. */
  readonly dispatchUs: number | null
}

export interface KernelFigures {
  readonly kernel: string
  readonly shape: string
  readonly rows: number
  /** Of its dispatches once, in us. */
  readonly us: BestAndMedian
  /** Bytes that must move, in 10^9 a second; null where there are none to speak of. */
  readonly gbs: BestAndMedian | null
  readonly gflops: BestAndMedian | null
  /** Best rates over those of copy and of multiply: a kernel that does neither waits for something else. */
  readonly ofCopy: number | null
  readonly ofMultiply: number | null
  readonly macs: number
  readonly bytes: number
  /** How often it ran in one timing. */
  readonly repeats: number
  /** Its first run, shaders compiled on the way, in ms. */
  readonly firstMs: number
  readonly wallUs: BestAndMedian
  /** Of the process, where that is known. */
  readonly cpuUs: BestAndMedian | null
}

export interface BestAndMedian {
  readonly best: number
  readonly median: number
}

export function ratesOf(measured: readonly Measured[]): DeviceRates {
  const best = (kernel: string, rate: (one: Measured, ms: number) => number): number | null => {
    const one = measured.find(({ test }) => test.kernel === kernel)
    return one ? rate(one, timeOf(one).best) : null
  }
  return {
    copyGBs: best('copy', ({ test }, ms) => test.bytes / ms / 1e6),
    multiplyGFLOPs: best('multiply f32', ({ test }, ms) => (2 * test.macs) / ms / 1e6),
    multiplyF16GFLOPs: best('multiply f16', ({ test }, ms) => (2 * test.macs) / ms / 1e6),
    dispatchUs: best('dispatch', (_one, ms) => ms * 1000),
  }
}

export function figuresOf(one: Measured, { copyGBs, multiplyGFLOPs }: DeviceRates): KernelFigures {
  const { test, wallMs, cpuMs, repeats, firstMs } = one
  const time = timeOf(one)
  // What is best for a time is best for a rate.
  const rate = (amount: number): BestAndMedian | null =>
    amount > 0 ? { best: amount / time.best / 1e6, median: amount / time.median / 1e6 } : null
  const gbs = rate(test.bytes)
  const gflops = rate(2 * test.macs)
  const us = ({ best, median }: BestAndMedian): BestAndMedian => ({ best: best * 1000, median: median * 1000 })
  return {
    kernel: test.kernel,
    shape: test.shape,
    rows: test.rows,
    us: us(time),
    gbs,
    gflops,
    ofCopy: gbs && copyGBs ? gbs.best / copyGBs : null,
    ofMultiply: gflops && multiplyGFLOPs ? gflops.best / multiplyGFLOPs : null,
    macs: test.macs,
    bytes: test.bytes,
    repeats,
    firstMs,
    wallUs: us(bestAndMedian(wallMs)),
    cpuUs: cpuMs.length > 0 ? us(bestAndMedian(cpuMs)) : null,
  }
}

/** In ms, by the device's clock where it has one. */
function timeOf({ deviceMs, wallMs }: Measured): BestAndMedian {
  return bestAndMedian(deviceMs.length > 0 ? deviceMs : wallMs)
}

function bestAndMedian(values: readonly number[]): BestAndMedian {
  const sorted = [...values].sort((one, other) => one - other)
  return { best: sorted[0]!, median: percentile(sorted, 50) }
}
