/** Counts of what was asked of the device: the same on every machine, so speed claims can stand on them. */
export class Counters {
  dispatches = 0
  passes = 0
  submits = 0
  /** writeBuffer calls and their bytes. */
  uploads = 0
  uploadedBytes = 0
  readbacks = 0
  readbackBytes = 0
  buffersCreated = 0
  pipelinesCompiled = 0
  bindGroupsCreated = 0

  snapshot(): CounterValues {
    return { ...this }
  }

  /** What happened since `before`. */
  since(before: CounterValues): CounterValues {
    const now = this.snapshot()
    return Object.fromEntries(
      Object.entries(now).map(([key, value]) => [key, value - before[key as keyof CounterValues]]),
    ) as unknown as CounterValues
  }
}

export type CounterValues = { readonly [K in keyof Counters as Counters[K] extends number ? K : never]: number }
