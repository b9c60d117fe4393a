/** Pearson's chi-square test of drawn tokens against exact probabilities, and its power. */

export interface Category {
  readonly id: number
  readonly probability: number
}

export interface ChiSquare {
  /** Sum of (observed - expected)^2 / expected; infinite where something was drawn that has no probability. */
  readonly statistic: number
  readonly degrees: number
  /** What the statistic exceeds once in ten thousand times if the probabilities are right. */
  readonly critical: number
}

/** The 99.99 % point of the normal distribution. */
const FAR = 3.719

export function chiSquare(drawn: readonly number[], supposed: readonly Category[]): ChiSquare {
  const counts = new Map<number, number>()
  for (const id of drawn) counts.set(id, (counts.get(id) ?? 0) + 1)
  return compare(drawn.length, counts, supposed)
}

/**
 * Whether `numDrawn` draws from `actual` refute `supposed` with a probability above 0.9999: the statistic has a noncentral
 * distribution then, whose mean must be as many deviations above the critical value.
 */
export function wouldRefute(numDrawn: number, actual: readonly Category[], supposed: readonly Category[]): boolean {
  const expected = new Map(actual.map(({ id, probability }) => [id, probability * numDrawn]))
  const { statistic: noncentrality, degrees, critical } = compare(numDrawn, expected, supposed)
  if (noncentrality === Infinity) return true
  return degrees + noncentrality - FAR * Math.sqrt(2 * (degrees + 2 * noncentrality)) > critical
}

/** Categories expected fewer than 5 times are put together, as the approximation wants it. */
function compare(total: number, counts: ReadonlyMap<number, number>, supposed: readonly Category[]): ChiSquare {
  const cells: { expected: number; observed: number }[] = []
  const rare = { expected: 0, observed: 0 }
  let numPossible = 0
  for (const { id, probability } of supposed) {
    const cell = { expected: probability * total, observed: counts.get(id) ?? 0 }
    numPossible += cell.observed
    if (cell.expected >= 5) cells.push(cell)
    else {
      rare.expected += cell.expected
      rare.observed += cell.observed
    }
  }
  if (rare.expected >= 5) cells.push(rare)
  const degrees = cells.length - 1
  const sum = cells.reduce((all, cell) => all + (cell.observed - cell.expected) ** 2 / cell.expected, 0)
  return { statistic: total - numPossible >= 1 ? Infinity : sum, degrees, critical: criticalValue(degrees) }
}

/** Wilson and Hilferty's approximation. */
function criticalValue(degrees: number): number {
  const spread = 2 / (9 * degrees)
  return degrees * (1 - spread + FAR * Math.sqrt(spread)) ** 3
}
