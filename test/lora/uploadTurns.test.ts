/** How uploads and steps share the time, on a clock of the test's. */
import { describe, expect, it } from 'vitest'
import { UploadTurns } from '../../src/lora/uploadTurns.ts'

const KIB = 1024
const MIB = 1024 * KIB

function open() {
  const clock = { now: 0, pauses: 0 }
  const pause = async () => {
    clock.pauses++
  }
  const turns = new UploadTurns({ now: () => clock.now, pause })
  return { clock, turns }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

/** An upload in pieces that take so many ms each; `done` counts them. */
function upload({ clock, turns }: ReturnType<typeof open>, pieces: number, bytes: number, ms: number) {
  const state = { done: 0 }
  const run = async () => {
    turns.begin()
    for (let i = 0; i < pieces; i++) {
      clock.now += ms
      state.done++
      await turns.next(bytes)
    }
  }
  void run()
  return state
}

describe('UploadTurns', () => {
  it('goes on without a break while no step runs, and lets the host have its turn every 16 MiB or 4 ms', async () => {
    const large = open()
    const quick = upload(large, 40, MIB, 0)
    await settle()
    expect([quick.done, large.clock.pauses]).toEqual([40, 2])
    const small = open()
    const slow = upload(small, 40, KIB, 1)
    await settle()
    expect([slow.done, small.clock.pauses]).toEqual([40, 10])
  })

  it('has large pieces while no step runs, and small ones between steps', async () => {
    const { turns } = open()
    expect(turns.pieceBytes).toBe(4 * MIB)
    const end = turns.stepSubmitted()
    expect(turns.pieceBytes).toBe(256 * KIB)
    end()
    expect(turns.pieceBytes).toBe(4 * MIB)
  })

  it('takes one piece after each step until it knows how long steps are, then a tenth of one', async () => {
    const world = open()
    const { clock, turns } = world
    const ends = [turns.stepSubmitted()]
    const state = upload(world, 100, 64 * KIB, 1)
    await settle()
    expect(state.done).toBe(1)
    for (let step = 0; step < 5; step++) {
      clock.now += 40 - (step === 0 ? 1 : 4)
      ends.push(turns.stepSubmitted())
      await settle()
    }
    // Steps of 40 ms: four pieces of one.
    expect(state.done).toBe(1 + 5 * 4)
    // A hundred in flight or one: none may go on without the other.
    for (const end of ends.splice(1)) end()
    await settle()
    expect(state.done).toBe(21)
    ends[0]!()
    await settle()
    expect(state.done).toBe(100)
  })

  it('takes at least a piece where a tenth of a step is less, and at most 16 MiB where it is more', async () => {
    const quick = open()
    const few = upload(quick, 100, 256 * KIB, 3)
    const ends = [quick.turns.stepSubmitted()]
    for (let step = 0; step < 10; step++) {
      await settle()
      quick.clock.now += 1
      ends.push(quick.turns.stepSubmitted())
    }
    await settle()
    expect(few.done).toBeGreaterThanOrEqual(10)
    expect(few.done).toBeLessThanOrEqual(33)

    const slow = open()
    const ends2 = [slow.turns.stepSubmitted()]
    const many = upload(slow, 100, 4 * MIB, 0)
    await settle()
    slow.clock.now += 10_000
    ends2.push(slow.turns.stepSubmitted())
    await settle()
    expect(many.done).toBe(1 + 4)
  })
})
