/** Timing on a machine that others use too: wall time for what users feel, CPU time for what steadies it. */

/** Milliseconds per call, one entry per round. */
export class Stopwatch {
  readonly wall: number[] = []
  /** Of the whole process, the software device's threads included. */
  readonly cpu: number[] = []

  /** Adds a round of `calls` calls after each other. */
  async time(call: () => Promise<unknown>, calls: number): Promise<void> {
    const before = process.cpuUsage()
    const start = performance.now()
    for (let i = 0; i < calls; i++) await call()
    this.wall.push((performance.now() - start) / calls)
    const { user, system } = process.cpuUsage(before)
    this.cpu.push((user + system) / 1000 / calls)
  }
}

/** How much faster the one was than the other; and round by round, to show what the figures are worth. */
export function speedOver(one: Stopwatch, other: Stopwatch): Speed {
  const perRound = (of: 'wall' | 'cpu') => one[of].map((ms, i) => ms / other[of][i]!)
  return {
    wallBest: Math.min(...one.wall) / Math.min(...other.wall),
    wallMedian: median(one.wall) / median(other.wall),
    cpuMedian: median(one.cpu) / median(other.cpu),
    wallRounds: perRound('wall'),
    cpuRounds: perRound('cpu'),
  }
}

export interface Speed {
  readonly wallBest: number
  readonly wallMedian: number
  readonly cpuMedian: number
  readonly wallRounds: readonly number[]
  readonly cpuRounds: readonly number[]
}

export function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[values.length >> 1]!
}

/** JSON with at most three decimals. */
export function rounded(report: unknown): string {
  const round = (_key: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(3)) : value
  return JSON.stringify(report, round, 2)
}
