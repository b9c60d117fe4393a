/**
 * A few thousand of the inputs of `npm run fuzz`, and the oracle itself: a reader with a fault of each kind must be caught,
 * or silence would mean nothing. The script runs too, with every heavy input: their memory shows only in a process of
 * their own.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { getHeapStatistics } from 'node:v8'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { Dice } from './dice.ts'
import { judge, MAX_EXTRA_BYTES, type Meters } from './oracle.ts'
import { FuzzFailure, only, type Target, text } from './target.ts'
import { TARGETS } from './targets/index.ts'

const SEED = 2026
const INPUTS = 300

const meters: Meters = {
  memory: () => {
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
    return heap + external
  },
  now: () => performance.now(),
  cpu: () => process.cpuUsage().user / 1000,
}

describe.each(TARGETS.map((target) => [target.name, target] as const))('%s', (name, target) => {
  it('takes or refuses whatever it is given', async () => {
    let taken = 0
    for (let index = 0; index < INPUTS; index++) {
      const { outcome, why } = await judge(target, target.make(Dice.of(SEED, name, index)), meters)
      if (outcome === 'failed') throw new Error(`input ${index} of seed ${SEED}: ${why}`)
      if (outcome === 'taken') taken++
    }
    // Were nothing taken, or everything, the inputs would show nothing.
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(INPUTS)
  })

  it('makes the same input of the same number', () => {
    const [one, again, other] = [7, 7, 8].map((index) => target.make(Dice.of(SEED, name, index)))
    expect(again).toEqual(one)
    expect(other).not.toEqual(one)
  })
})

describe('npm run fuzz', () => {
  it('reads every heavy input, and some of the others, in a process of its own', async () => {
    const args = ['test/fuzz/run.mjs', '--inputs=120', '--processes=1', `--seed=${SEED}`]
    const { stdout } = await promisify(execFile)(process.execPath, args).catch((failed) => failed)
    expect(stdout).toContain(' 0 failures')
  })
})

class Refusal extends LorikeetError {
  readonly code = 'refusal'
  override readonly status: number
  override readonly param: string | null

  constructor({ message = 'no', status = 400, param = null as string | null } = {}) {
    super(message)
    this.status = status
    this.param = param
  }
}

describe('the oracle', () => {
  const judged = (run: Target['run'], clock: Partial<Meters> = {}) =>
    judge({ name: 'made', make: () => ({}), heavy: [], run }, only(text('12345678')), { ...meters, ...clock })
  const ticking = (step: number) => {
    let now = 0
    return () => (now += step)
  }

  it('passes what is taken and what is refused', async () => {
    expect(await judged(async () => 0)).toMatchObject({ outcome: 'taken' })
    expect(await judged(async () => Promise.reject(new Refusal()))).toMatchObject({
      outcome: 'refused',
      why: 'Refusal',
    })
  })

  it.each<[string, Target['run'], string, Partial<Meters>]>([
    ['an untyped error', async () => JSON.parse('{').x, 'SyntaxError', {}],
    ['a broken promise of its own', async () => Promise.reject(new FuzzFailure('overlaps')), 'overlaps', {}],
    ['an error that is ours', async () => Promise.reject(new Refusal({ status: 500 })), 'answered 500', {}],
    ['a param of any length', async () => Promise.reject(new Refusal({ param: 'x'.repeat(401) })), 'param of 401', {}],
    ['time of its own', async () => 0, 'took 1001 ms', { now: ticking(1001), cpu: ticking(1001) }],
    ['memory', async () => 0, 'MiB beside tensors', { memory: ticking(MAX_EXTRA_BYTES + 1) }],
    [
      'reading again and again',
      async (reading) => {
        for (let i = 0; i < 7; i++) await reading.source().read(0, 8)
        return 0
      },
      'read 56 bytes of 8',
      {},
    ],
  ])('catches %s', async (_, run, why, clock) => {
    const verdict = await judged(run, clock)
    expect(verdict.outcome).toBe('failed')
    expect(verdict.why).toContain(why)
  })

  it('does not count what tensors take, nor the time that others had the processor', async () => {
    const clocks = { memory: ticking(MAX_EXTRA_BYTES + 100), now: ticking(5000), cpu: ticking(1) }
    expect(await judged(async () => 100, clocks)).toMatchObject({ outcome: 'taken', extraBytes: MAX_EXTRA_BYTES })
  })

  it('sees memory that buffers take outside of the heap', async () => {
    const kept: Uint8Array[] = []
    const { outcome, why } = await judged(async () => {
      kept.push(new Uint8Array(17 * 1024 * 1024))
      return 0
    })
    expect({ outcome, why }).toMatchObject({ outcome: 'failed', why: expect.stringContaining('beside tensors') })
    expect(kept).toHaveLength(1)
  })
})
