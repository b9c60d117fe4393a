/** What `lorikeet doctor` finds, as its JSON. */
import type { Facts } from '../load/loadReport.ts'
import type { Attempt, Finding } from './diagnosis.ts'

/** Raised when a field changes its meaning. */
export const DOCTOR_SCHEMA = 1

export interface CacheFacts {
  readonly what: string
  readonly path: string
  readonly bytes: number
}

export interface DoctorReport {
  readonly kind: 'lorikeet doctor'
  readonly schema: typeof DOCTOR_SCHEMA
  /** ISO 8601. */
  readonly createdAt: string
  readonly host: Facts
  readonly attempt: Attempt
  readonly caches: readonly CacheFacts[]
  readonly findings: readonly Finding[]
  /** No problem was found. */
  readonly canRun: boolean
}
