import { describe, expect, it } from 'vitest'
import { Engine } from '../../src/engine/engine.ts'
import { generateAlone } from '../support/fakeModel.ts'
import { BASE_WEIGHTS, FAKE_LIMITS, FakeRunner } from '../support/fakeRunner.ts'
import { FakeLease, read, request } from '../support/requests.ts'
import { rowsOf, SchedulerDriver } from '../support/scheduling.ts'

const prompt = (length: number, first = 0): number[] => Array.from({ length }, (_, i) => (first + i) % 61)

/** Blocks of 4 tokens, and room enough. */
const roomy = { limits: { maxRows: 64, maxSpans: 8, maxLogitsRows: 64, numBlocks: 64 } }

describe('a prompt that begins as an earlier one', () => {
  it('takes over its full blocks', () => {
    const driver = new SchedulerDriver(roomy)
    driver.add({ prompt: prompt(15), maxTokens: 1 })
    driver.drain()
    const next = driver.add({ prompt: [...prompt(10), 50, 51], maxTokens: 1 })
    expect(driver.step()?.numRows).toBe(4)
    expect(next.numCached).toBe(8)
  })

  it('leaves at least one token to compute', () => {
    const driver = new SchedulerDriver(roomy)
    driver.add({ prompt: prompt(16), maxTokens: 1 })
    driver.drain()
    driver.add({ prompt: prompt(16), maxTokens: 1 })
    expect(driver.step()?.numRows).toBe(4)
  })

  it('goes on where an earlier answer ended', () => {
    const driver = new SchedulerDriver(roomy)
    const first = driver.add({ prompt: prompt(6), maxTokens: 11 })
    driver.drain()
    // 17 tokens, of which the last was never computed.
    const next = driver.add({ prompt: [...first.tokens, 1, 2, 3], maxTokens: 1 })
    driver.step()
    expect(next.numCached).toBe(16)
  })

  it('shares nothing with another adapter, and everything with the same bytes under another name', () => {
    const driver = new SchedulerDriver({ ...roomy, weightsOf: () => 7 })
    const send = (digest: string | null, slot: number) => {
      const adapter = digest === null ? null : Object.assign(new FakeLease(`name ${slot}`, slot), { digest })
      const sequence = driver.add({ prompt: prompt(16), maxTokens: 1, adapter })
      driver.drain()
      return sequence.numCached
    }
    expect(send('one', 0)).toBe(0)
    expect(send('other', 1)).toBe(0)
    expect(send(null, 0)).toBe(0)
    expect(send('one', 2)).toBe(12)
    expect(send('other', 3)).toBe(12)
    expect(send(null, 0)).toBe(12)
  })

  it('shares with the base what comes before the invocation of its adapter, and what follows with its like', () => {
    const driver = new SchedulerDriver({ ...roomy, weightsOf: () => 7 })
    const send = (tokens: readonly number[], digest: string | null) => {
      const lease = digest === null ? null : Object.assign(new FakeLease('voice', 0), { digest, invocation: [50, 51] })
      const sequence = driver.add({ prompt: tokens, maxTokens: 1, adapter: lease })
      driver.drain()
      return sequence.numCached
    }
    const invoked = [...prompt(9), 50, 51, 1, 2, 3, 4, 5]
    expect(send(prompt(12), null)).toBe(0)
    // Two blocks of the base; the third has the invocation in it.
    expect(send(invoked, 'one')).toBe(8)
    expect(send(invoked, 'one')).toBe(12)
    expect(send(invoked, 'other')).toBe(8)
    expect(send(invoked, null)).toBe(8)
    expect(send(invoked, null)).toBe(12)
    // The same tokens after another invocation are other keys and values.
    expect(send([50, 51, ...prompt(14)], 'one')).toBe(0)
    expect(send([50, 51, ...prompt(10), 50, 51, 1, 1], 'one')).toBe(0)
  })

  it('is the base where it lacks the invocation', () => {
    const driver = new SchedulerDriver(roomy)
    const adapter = Object.assign(new FakeLease('voice'), { invocation: [50, 51] })
    // It is not waited for, nor held.
    const sequence = driver.add({ prompt: [...prompt(14), 51, 50], maxTokens: 1, adapter })
    expect(sequence).toMatchObject({ slot: null, isResident: true, activeFrom: Number.POSITIVE_INFINITY })
    driver.drain()
    const next = driver.add({ prompt: [...prompt(14), 51, 50], maxTokens: 1 })
    driver.drain()
    expect(next.numCached).toBe(12)
  })

  it('computes all of it if its scores are wanted, and leaves them for others', () => {
    const driver = new SchedulerDriver(roomy)
    driver.add({ prompt: prompt(16), maxTokens: 1 })
    driver.drain()
    const scored = driver.add({ prompt: prompt(30), maxTokens: 1, promptLogprobs: 0 })
    expect(driver.step()?.numRows).toBe(30)
    expect(scored.numCached).toBe(0)
    const next = driver.add({ prompt: prompt(30), maxTokens: 1 })
    driver.step()
    expect(next.numCached).toBe(28)
  })

  it('computes all of it where the cache is off', () => {
    const driver = new SchedulerDriver(roomy, { prefixCache: false })
    for (let i = 0; i < 2; i++) driver.add({ prompt: prompt(16), maxTokens: 1 })
    expect(driver.step()?.numRows).toBe(32)
    driver.add({ prompt: prompt(16), maxTokens: 1 })
    expect(driver.step()?.numRows).toBe(16)
  })
})

describe('prompts that come together and begin alike', () => {
  it('are computed once, and the others follow a step behind', () => {
    const driver = new SchedulerDriver(roomy)
    for (const id of ['a', 'b', 'c']) driver.add({ id, prompt: prompt(30), maxTokens: 3 })
    driver.add({ id: 'other', prompt: prompt(9, 40), maxTokens: 3 })
    expect(rowsOf(driver.step())).toEqual({ a: 30, other: 9 })
    expect(rowsOf(driver.step())).toEqual({ a: 1, other: 1, b: 2, c: 2 })
    driver.drain()
    const answers = [...driver.finished.keys()].filter(({ numPrompt }) => numPrompt === 30)
    expect(new Set(answers.map(({ tokens }) => tokens.join()))).toHaveProperty('size', 1)
  })

  it('follow a prompt of many chunks until all that they share is there', () => {
    const driver = new SchedulerDriver({ limits: { ...roomy.limits, maxRows: 10 } })
    driver.add({ id: 'a', prompt: prompt(35), maxTokens: 1 })
    driver.add({ id: 'b', prompt: [...prompt(20), 60], maxTokens: 1 })
    const steps = [driver.step(), driver.step(), driver.step(), driver.step()]
    expect(steps.map(rowsOf)).toEqual([{ a: 10 }, { a: 10 }, { a: 10 }, { a: 5, b: 1 }])
  })

  it('do not wait for one that has gone', () => {
    const driver = new SchedulerDriver({ limits: { ...roomy.limits, maxRows: 10 } })
    const first = driver.add({ id: 'a', prompt: prompt(35), maxTokens: 1 })
    driver.add({ id: 'b', prompt: prompt(35), maxTokens: 1 })
    driver.step()
    driver.scheduler.remove(first)
    expect(rowsOf(driver.step())).toEqual({ b: 10 })
  })
})

describe('known blocks', () => {
  it('are given up from the end of what was used least recently', () => {
    const driver = new SchedulerDriver({ limits: { ...roomy.limits, numBlocks: 8 } })
    const send = (first: number) => {
      const sequence = driver.add({ prompt: prompt(13, first), maxTokens: 1 })
      driver.drain()
      return sequence.numCached
    }
    expect([send(0), send(20)]).toEqual([0, 0]) // three known blocks each, two free
    expect(send(0)).toBe(12)
    expect(send(40)).toBe(0) // takes the two free ones and the tails of 20, which was used before 0
    expect(send(0)).toBe(12)
    expect(send(20)).toBeLessThan(8)
  })

  it('are not waited for where a running one has computed them but cannot give them', () => {
    const driver = new SchedulerDriver({ limits: { ...roomy.limits, numBlocks: 12 } })
    driver.add({ prompt: prompt(9), maxTokens: 1 })
    driver.drain()
    // A second copy of two known blocks; the first one then makes room for somebody else.
    driver.add({ id: 'copy', prompt: prompt(9), promptLogprobs: 0, maxTokens: 30 })
    const big = driver.add({ id: 'big', prompt: prompt(28, 20), maxTokens: 5 })
    while (!driver.finished.has(big)) driver.step()
    const late = driver.add({ id: 'late', prompt: prompt(9), maxTokens: 1 })
    expect(rowsOf(driver.step())).toEqual({ copy: 1, late: 9 })
    expect(late.numCached).toBe(0)
  })

  it('bring a preempted sequence back quickly, and its first count stands', () => {
    const driver = new SchedulerDriver({ limits: { blockSize: 2, numBlocks: 12, maxModelLen: 24, maxRows: 16 } })
    driver.add({ prompt: prompt(4), maxTokens: 14 })
    const young = driver.add({ prompt: prompt(4, 9), maxTokens: 14 })
    while (driver.scheduler.numPreemptions === 0) driver.step()
    while (!young.isRunning) driver.step()
    expect(young.numComputed).toBeGreaterThan(4)
    expect(young.numCached).toBe(0)
    driver.drain()
    expect(young.numGenerated).toBe(14)
  })
})

describe('an engine with shared prefixes', () => {
  it('says how many tokens came out of the cache, and answers the same', async () => {
    const engine = new Engine(new FakeRunner(), { checkIntegrity: true })
    const wanted = request({ prompt: prompt(21), maxTokens: 6 })
    const cached: (number | undefined)[] = []
    for (let i = 0; i < 2; i++) {
      const generation = engine.generate(wanted)
      expect(generation.cachedTokens).toBe(0)
      const reading = read(generation)
      await reading.done
      cached.push(generation.cachedTokens)
      expect(reading.events).toEqual(
        generateAlone(wanted, {
          weights: BASE_WEIGHTS,
          contextLength: FAKE_LIMITS.maxModelLen,
          vocabSize: FAKE_LIMITS.vocabSize,
        }),
      )
    }
    expect(cached).toEqual([0, 20])
    expect(engine.stats()).toMatchObject({ promptTokens: 42, cachedTokens: 20 })
  })
})
