/** What `lorikeet bench` finds, as the JSON it writes: whoever reads it later knows what was measured, where and how. */
import type { Lengths } from './lengths.ts'
import type { PickPolicy } from './pick.ts'
import type { SweepPoint } from './sweep.ts'

/** Raised when a field changes its meaning. */
export const LOAD_SCHEMA = 1

/** Names and values, for people to read. */
export type Facts = Readonly<Record<string, string | number | boolean | null>>

export interface LoadReport {
  readonly kind: 'lorikeet bench'
  readonly schema: typeof LOAD_SCHEMA
  /** ISO 8601. */
  readonly createdAt: string
  readonly command: string
  readonly host: Facts
  /** The device; null where a server keeps it to itself. */
  readonly device: Facts | null
  /** A CPU pretends to be a GPU. */
  readonly isSoftware: boolean
  /** The model in this process, or the server. */
  readonly subject: Facts
  readonly workload: {
    readonly isl: Lengths
    readonly osl: Lengths
    readonly pick: PickPolicy
    readonly seed: number
    readonly ignoreEos: boolean
    readonly rounds: number
  }
  /** What a reader has to know besides: what was left out, and why. */
  readonly notes: readonly string[]
  readonly points: readonly SweepPoint[]
}

/** Tokens a second of a point over those of the base with as many clients; null where either is missing. */
export function againstBase({ points }: LoadReport, point: SweepPoint): number | null {
  const base = points.find(({ scenario, concurrency }) => scenario === 'base' && concurrency === point.concurrency)
  const [own, other] = [point.figures.tps?.p50, base?.figures.tps?.p50]
  return point.scenario === 'base' || !own || !other ? null : own / other
}

/** What to think of figures from such a device. */
export const SOFTWARE_WARNING: string =
  'This is a software device: a CPU computes what a GPU would. Read ratios and counts; the times say nothing about a GPU.'
