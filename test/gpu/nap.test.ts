/** Naps by a clock that only they, and the turns of an event loop that a test goes through, move. */
import { describe, expect, it } from 'vitest'
import { Napper } from '../../src/gpu/nap.ts'

function world() {
  let now = 100
  const naps: number[] = []
  const turns: (() => void)[] = []
  const napper = new Napper({
    now: () => now,
    sleep(ms) {
      naps.push(ms)
      now += ms
    },
    nextTurn: (callback) => void turns.push(callback),
  })
  return {
    napper,
    naps,
    turns,
    /** A turn of the loop takes so long besides. */
    turn(ms = 0.01) {
      now += ms
      turns.shift()!()
    },
    pass: (ms: number) => {
      now += ms
    },
  }
}

describe('Napper', () => {
  it('lets a short wait be, and makes naps longer with the wait, up to half a millisecond', async () => {
    const { napper, naps, turns, turn, pass } = world()
    let resolve = (_value: string): void => {}
    const wait = napper.during(new Promise<string>((done) => (resolve = done)))
    for (let i = 0; i < 40; i++) turn()
    expect(naps).toEqual([])
    pass(1)
    turn()
    expect(naps).toHaveLength(1)
    expect(naps[0]).toBeCloseTo(1.41 / 4, 5)
    pass(1000)
    turn()
    expect(naps[1]).toBe(0.5)
    resolve('there')
    expect(await wait).toBe('there')
    turn()
    expect(naps).toHaveLength(2)
    expect(turns).toEqual([]) // the loop is left alone
  })

  it('begins anew when something has come, while another wait goes on', async () => {
    const { napper, naps, turn, turns, pass } = world()
    const settle: (() => void)[] = []
    const waits = [0, 1].map(() => napper.during(new Promise<void>((done) => settle.push(done))))
    expect(turns).toHaveLength(1)
    pass(10)
    turn()
    expect(naps).toHaveLength(1)
    settle[0]!()
    await waits[0]
    turn()
    expect(naps).toHaveLength(1)
    pass(10)
    turn()
    expect(naps).toHaveLength(2)
    settle[1]!()
    await waits[1]
    turn()
    expect(turns).toEqual([])
  })

  it('ends with a wait that fails', async () => {
    const { napper, turn, turns } = world()
    await expect(napper.during(Promise.reject(new Error('lost')))).rejects.toThrow('lost')
    turn()
    expect(turns).toEqual([])
  })
})
