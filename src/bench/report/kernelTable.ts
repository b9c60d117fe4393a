/** The figures of `lorikeet bench kernels` for a terminal. */
import type { BestAndMedian, KernelReport } from '../kernels/kernelReport.ts'
import { SOFTWARE_WARNING } from '../load/loadReport.ts'
import { showNumber } from './axis.ts'
import { showFacts } from './loadTable.ts'
import { textTable } from './textTable.ts'

const HEADERS = ['kernel', 'shape', 'rows', 'us', 'GB/s', 'of copy', 'GFLOP/s', 'of multiply', 'first ms']

export function kernelText({ device, model, rates, kernels, clock, rounds, isSoftware }: KernelReport): string {
  const rows = kernels.map((one) => [
    one.kernel,
    one.shape,
    `${one.rows}`,
    pair(one.us),
    pair(one.gbs),
    percent(one.ofCopy),
    pair(one.gflops),
    percent(one.ofMultiply),
    showNumber(one.firstMs),
  ])
  const show = (value: number | null, unit: string): string => (value === null ? '-' : `${showNumber(value)} ${unit}`)
  return [
    `device  ${showFacts(device)}`,
    `model   ${showFacts(model)}`,
    `rates   copy ${show(rates.copyGBs, 'GB/s')} (read and written), multiply ${show(rates.multiplyGFLOPs, 'GFLOP/s')} f32, ` +
      `${show(rates.multiplyF16GFLOPs, 'GFLOP/s')} f16, an empty dispatch ${show(rates.dispatchUs, 'us')}`,
    '',
    textTable(HEADERS, rows, { numLeft: 2 }),
    '',
    `Best / median of ${rounds} rounds, by ${clock === 'device' ? "the device's own clock" : 'wall time of long submits'}. Bytes are those that must move: every operand once.`,
    ...(isSoftware ? [SOFTWARE_WARNING] : []),
    '',
  ].join('\n')
}

function pair(value: BestAndMedian | null): string {
  return value ? `${showNumber(value.best)} / ${showNumber(value.median)}` : ''
}

function percent(share: number | null): string {
  return share === null ? '' : `${Math.round(share * 100)} %`
}
