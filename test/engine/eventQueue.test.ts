import { describe, expect, it } from 'vitest'
import { EventQueue } from '../../src/engine/eventQueue.ts'
import { InvariantError } from '../../src/errors.ts'

function open() {
  let returns = 0
  const queue = new EventQueue<number>(() => returns++)
  return { queue, returns: () => returns }
}

describe('EventQueue', () => {
  it('keeps what comes before it is read, and what comes while it is', async () => {
    const { queue } = open()
    queue.push(1)
    queue.push(2)
    const seen: number[] = []
    for await (const event of queue) {
      seen.push(event)
      if (event === 2) queue.push(3)
      if (event === 3) queue.end()
    }
    expect(seen).toEqual([1, 2, 3])
  })

  it('answers reads in order that were made before anything came', async () => {
    const { queue } = open()
    const iterator = queue[Symbol.asyncIterator]()
    const reads = [iterator.next(), iterator.next(), iterator.next()]
    queue.push(1)
    queue.push(2)
    queue.end()
    expect(await Promise.all(reads)).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
      { done: true, value: undefined },
    ])
  })

  it('throws its error once, after the last event', async () => {
    const { queue } = open()
    queue.push(1)
    queue.end(new Error('lost'))
    const iterator = queue[Symbol.asyncIterator]()
    expect(await iterator.next()).toEqual({ done: false, value: 1 })
    await expect(iterator.next()).rejects.toThrow('lost')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  it('tells when its reader leaves before the end, and only then', async () => {
    const early = open()
    early.queue.push(1)
    for await (const _ of early.queue) break
    expect(early.returns()).toBe(1)

    const late = open()
    late.queue.push(1)
    late.queue.end()
    for await (const _ of late.queue) break
    expect(late.returns()).toBe(0)
  })

  it('has one reader and one end', () => {
    const { queue } = open()
    queue[Symbol.asyncIterator]()
    expect(() => queue[Symbol.asyncIterator]()).toThrow(InvariantError)
    queue.end()
    expect(() => queue.end()).toThrow(InvariantError)
    expect(() => queue.push(1)).toThrow(InvariantError)
  })
})
