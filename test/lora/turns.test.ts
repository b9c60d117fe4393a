import { describe, expect, it } from 'vitest'
import { Gate, Turns } from '../../src/lora/turns.ts'

/** A promise and its ends. */
function gate() {
  let open = (): void => {}
  let fail = (_: Error): void => {}
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await null
}

describe('Turns', () => {
  it('does what has one key in order, and different keys side by side', async () => {
    const turns = new Turns()
    const done: string[] = []
    const slow = gate()
    const all = [
      turns.run('a', () => slow.promise.then(() => done.push('a1'))),
      turns.run('a', async () => done.push('a2')),
      turns.run('b', async () => done.push('b')),
    ]
    await settle()
    expect(done).toEqual(['b'])
    slow.open()
    await Promise.all(all)
    expect(done).toEqual(['b', 'a1', 'a2'])
  })

  it('goes on behind what failed', async () => {
    const turns = new Turns()
    const slow = gate()
    const failing = turns.run('a', () => slow.promise)
    const next = turns.run('a', async () => 'next')
    slow.fail(new Error('no'))
    await expect(failing).rejects.toThrow('no')
    expect(await next).toBe('next')
  })

  it('begins at once where nothing is before it', () => {
    let hasBegun = false
    void new Turns().run('a', async () => {
      hasBegun = true
    })
    expect(hasBegun).toBe(true)
  })
})

describe('Gate', () => {
  it('lets so many in at a time, in order', async () => {
    const pass = new Gate(2)
    const works = Array.from({ length: 5 }, gate)
    const inside: number[] = []
    const all = works.map(({ promise }, i) =>
      pass.pass(async () => {
        inside.push(i)
        await promise
      }),
    )
    await settle()
    expect(inside).toEqual([0, 1])
    works[1]!.open()
    await settle()
    expect(inside).toEqual([0, 1, 2])
    for (const { open } of works) open()
    await Promise.all(all)
    expect(inside).toEqual([0, 1, 2, 3, 4])
  })

  it('turns away who has left the queue meanwhile, and lets the next in', async () => {
    const pass = new Gate(1)
    const slow = gate()
    const first = pass.pass(() => slow.promise)
    const gone = new AbortController()
    const second = pass.pass(async () => expect.unreachable(), gone.signal)
    const third = pass.pass(async () => 'in')
    gone.abort(new Error('gone'))
    slow.open()
    await first
    await expect(second).rejects.toThrow('gone')
    expect(await third).toBe('in')
  })
})
