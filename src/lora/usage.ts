/**
 * What has become of one set of adapter bytes: how often it was asked for, found on the GPU or not, and what it took to
 * get there. Numbers for people and for metrics; nothing is decided by them.
 */
export class AdapterUsage {
  /** Leases that found it on the GPU, and those that had to bring it there or wait for it. */
  hits = 0
  misses = 0
  /** Times it arrived on the GPU, the bytes that were uploaded for it, and how long the uploads took: room was there by then. */
  arrivals = 0
  uploadedBytes = 0
  uploadMs = 0
  /** Times its bytes were read again from where they came from, and could not be; their bytes, and how long it took. */
  reads = 0
  readFailures = 0
  readBytes = 0
  readMs = 0
  /** Times its bytes had to leave host memory. */
  drops = 0
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

  arrived(bytes: number, uploadMs: number): void {
    this.arrivals++
    this.uploadedBytes += bytes
    this.uploadMs += uploadMs
    this.lastArrivalMs = performance.now() - this.#expectedAt
    this.lastArrivalAt = unixSeconds()
  }

  wasRead(bytes: number, ms: number): void {
    this.reads++
    this.readBytes += bytes
    this.readMs += ms
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
