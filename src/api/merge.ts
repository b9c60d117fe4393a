/** Several streams as one, each item with the number of its stream. Pull-based: it asks a stream only when asked. */
export interface Merged<T> {
  readonly index: number
  readonly item: T
}

/** Ends when all have ended; a stream that throws ends them all. Items of one stream keep their order. */
export async function* merge<T>(streams: readonly AsyncIterable<T>[]): AsyncGenerator<Merged<T>, void> {
  type Arrival = { readonly index: number; readonly result: IteratorResult<T> }
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]())
  const pending = new Map<number, Promise<Arrival>>()
  const ask = (index: number) =>
    pending.set(
      index,
      iterators[index]!.next().then((result) => ({ index, result })),
    )
  for (const index of iterators.keys()) ask(index)
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values())
      // Behind the others, so that a fast stream does not starve them.
      pending.delete(index)
      if (result.done) continue
      yield { index, item: result.value }
      ask(index)
    }
  } finally {
    // Rejections of streams that lost the race to a failed one are of no interest.
    for (const promise of pending.values()) promise.catch(() => {})
    for (const iterator of iterators) iterator.return?.().catch(() => {})
  }
}
