/** Echoes on a clock that the test moves: which of them belong together, and which are left out. */
import { describe, expect, it } from 'vitest'
import { EchoTimer } from '../../src/engine/echoTimer.ts'
import { Pace } from '../../src/engine/pace.ts'

/** An engine's rests by hand: each asked echo waits until it is answered. */
class Rests {
  readonly pace = new Pace()
  period: number | null = 1
  readonly #answers: (() => void)[] = []
  #now = 0
  readonly timer = new EchoTimer(
    {
      echo: () => new Promise((resolve) => this.#answers.push(resolve)),
      now: () => this.#now,
      idlePeriod: () => this.period,
    },
    this.pace,
  )

  get numAsked(): number {
    return this.#answers.length
  }

  /** The echo on its way comes back `ms` later. */
  async answer(ms: number): Promise<void> {
    this.#now += ms
    this.#answers.shift()!()
    await new Promise((resolve) => setTimeout(resolve))
  }
}

describe('the echoes of a rest', () => {
  it('count with the shortest of three', async () => {
    const rests = new Rests()
    rests.timer.listen()
    for (const ms of [9, 4, 7]) await rests.answer(ms)
    await rests.timer.done
    expect(rests.pace.readbackMs).toBe(4)
    expect(rests.numAsked).toBe(0)
  })

  it('are not mixed with those of the rest before, when the readback was shorter', async () => {
    const rests = new Rests()
    rests.timer.listen()
    await rests.answer(1)
    // A run begins and ends while the second echo is on its way.
    rests.period = 2
    await rests.answer(50)
    for (const ms of [30, 40, 35]) await rests.answer(ms)
    await rests.timer.done
    expect(rests.pace.readbackMs).toBe(30)
  })

  it('end with the rest, and what came in it counts', async () => {
    const rests = new Rests()
    rests.timer.listen()
    await rests.answer(3)
    rests.period = null
    await rests.answer(1)
    await rests.timer.done
    expect(rests.pace.readbackMs).toBe(3)
    expect(rests.numAsked).toBe(0)
  })
})
