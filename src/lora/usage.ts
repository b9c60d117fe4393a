/**
 * What has become of one set of adapter bytes: how often it was asked for, found on the GPU or not, and how long it took
 * to get there. Numbers for people and for metrics; nothing is decided by them.
 */
export class AdapterUsage {
  /** Leases that found it on the GPU, and those that had to bring it there or wait for it. */
  hits = 0
  misses = 0
  /** Times it arrived on the GPU. */
  arrivals = 0
  /** Of the last arrival: milliseconds since it was asked for, waiting for room included. */
  lastArrivalMs: number | null = null
  /** Unix time in seconds of the last arrival and of the last lease. */
  lastArrivalAt: number | null = null
  lastUsedAt: number | null = null
  #expectedAt = 0

  leased(isResident: boolean): void {
    this.lastUsedAt = unixSeconds()
    if (isResident) this.hits++
    else this.misses++
  }

  /** It is not on the GPU and somebody asks for it, or had it and lost it to another. */
  expected(): void {
    this.#expectedAt = performance.now()
  }

  arrived(): void {
    this.arrivals++
    this.lastArrivalMs = Math.round((performance.now() - this.#expectedAt) * 1000) / 1000
    this.lastArrivalAt = unixSeconds()
  }

  /** Times it had to leave the GPU for another. */
  evictions(isResident: boolean): number {
    return Math.max(0, this.arrivals - (isResident ? 1 : 0))
  }
}

/** Whole seconds, as `created` fields have them. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000)
}
