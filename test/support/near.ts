/** Comparison of arrays within a stated tolerance, reporting the worst element. */
import { expect } from 'vitest'

export interface Tolerance {
  /** Allowed for every element. */
  readonly absolute?: number
  /** Allowed per unit of the expected element, or of its `magnitudes` where given. */
  readonly relative?: number
  /** What rounding errors of an element scale with: the sum of its terms' absolute values. */
  readonly magnitudes?: ArrayLike<number>
  /** Why the two may differ at all. */
  readonly because: string
}

/** NaN is near nothing. */
export function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: Tolerance): void {
  const { absolute = 0, relative = 0, magnitudes = expected, because } = tolerance
  expect(actual.length, 'number of elements').toBe(expected.length)
  let worst = { i: 0, excess: 0 }
  for (let i = 0; i < expected.length; i++) {
    const allowed = absolute + relative * Math.abs(magnitudes[i]!)
    const difference = Math.abs(actual[i]! - expected[i]!)
    const excess = difference <= allowed ? 0 : Number.isNaN(difference) ? Infinity : difference - allowed
    if (excess > worst.excess) worst = { i, excess }
  }
  if (worst.excess > 0) {
    const { i } = worst
    expect.fail(`element ${i} is ${actual[i]}, expected ${expected[i]}; they may differ because of ${because}`)
  }
}
