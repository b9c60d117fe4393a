/** Where the answers to the lines of docs/performance.md stand in the reports of the scripts. */
import { at, type Json, listAt, numberAt } from './json.ts'

/** What was found, as far as there is any of it: what the best round, the median, and CPU time say. */
export interface Found {
  readonly best?: number | null
  readonly median?: number | null
  readonly cpu?: number | null
  /** What is no matter of rounds: a count, or the worst there was. */
  readonly exact?: number | null
}

export type Read = (json: Json) => Found

/** Rows of a step, fewest first, and what key of theirs holds tokens a second. */
export function rowsOf(json: Json, key: string): readonly { readonly rows: number; readonly rate: number }[] {
  return Object.entries((at(json, 'S8 rows per step') ?? {}) as Json)
    .map(([rows, figures]) => ({ rows: Number(rows), rate: numberAt(figures, key) ?? Number.NaN }))
    .sort((first, second) => first.rows - second.rows)
}

/** The lowest rate of a number of rows, over that of the next lower one. */
export function lowestRise(json: Json, key: string): number | null {
  const rates = rowsOf(json, key).map(({ rate }) => rate)
  const rises = rates.slice(1).map((rate, i) => rate / rates[i]!)
  return rises.length > 0 && rises.every(Number.isFinite) ? Math.min(...rises) : null
}

/** What a context of `to` costs for each token more than one of `from`, over the same of `from` and `before`. */
export function growth(json: Json, key: string): number | null {
  const [before, from, to] = [1024, 2048, 4096].map((context) => ({
    context,
    ms: numberAt(json, 'S15 context', `${context}`, key),
  }))
  if (!before?.ms || !from?.ms || !to?.ms) return null
  const slope = (to.ms - from.ms) / (to.context - from.context)
  return slope / ((from.ms - before.ms) / (from.context - before.context))
}

/** The lowest share of what is possible, of all delays. */
function lateShare(json: Json, of: 'best' | 'median', ...where: readonly string[]): number | null {
  const shares = listAt(json, 'S12', ...where)
    .filter(({ loop, delayMs }) => loop === 'ahead' && delayMs !== 0)
    .map((each) => numberAt(each, of, 'ofPossible') ?? Number.NaN)
  return shares.length > 0 ? Math.min(...shares) : null
}

/** Where the share of time in which a device is idle stands. */
export const IDLE: readonly string[] = ['S12 idle', 'ahead', 'idleShare']
export const JAVASCRIPT: readonly string[] = ['S12', 'null backend', 'JavaScript per step']

export function ratio(key: string): Read {
  return (json) => ({
    best: numberAt(json, key, 'wallBest'),
    median: numberAt(json, key, 'wallMedian'),
    cpu: numberAt(json, key, 'cpuMedian'),
  })
}

export function pair(...keys: readonly string[]): Read {
  return (json) => ({
    best: numberAt(json, ...keys, 'best'),
    median: numberAt(json, ...keys, 'median'),
    cpu: numberAt(json, ...keys, 'cpu'),
  })
}

export function exact(...keys: readonly string[]): Read {
  return (json) => ({ exact: numberAt(json, ...keys) })
}

export function against4(key: string): Read {
  return (json) => ({
    best: numberAt(json, key, 'against4', 'best'),
    median: numberAt(json, key, 'against4', 'median'),
    cpu: numberAt(json, key, 'cpuAgainst4'),
  })
}

export function late(...where: readonly string[]): Read {
  return (json) => ({ best: lateShare(json, 'best', ...where), median: lateShare(json, 'median', ...where) })
}

export function quotient(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one / other
}

/** How much more commands and uploads a step of `there` has than one of `without`. */
export function addedBy(json: Json, without: string, there: string): number | null {
  const differences = ['dispatches', 'passes', 'submits', 'uploads', 'uploadedBytes'].map((key) => {
    const [before, after] = [without, there].map((name) => numberAt(json, 'counters', name, key))
    return before == null || after == null ? Number.NaN : Math.abs(after - before)
  })
  const sum = differences.reduce((total, each) => total + each, 0)
  return Number.isFinite(sum) ? sum : null
}
