import { describe, expect, it } from 'vitest'
import { QueueFullError } from '../../src/engine/errors.ts'
import { FakeLease } from '../support/requests.ts'
import { rowsOf, SchedulerDriver } from '../support/scheduling.ts'

const prompt = (length: number, first = 0): number[] => Array.from({ length }, (_, i) => (first + i) % 61)

describe('the token budget', () => {
  it('cuts a long prompt into chunks, with one logits row at its end', () => {
    const driver = new SchedulerDriver({ limits: { maxRows: 16 } })
    driver.add({ prompt: prompt(40), maxTokens: 2 })
    const plans = [driver.step(), driver.step(), driver.step(), driver.step()]
    expect(plans.map((plan) => plan?.numRows)).toEqual([16, 16, 8, 1])
    expect(plans.map((plan) => plan?.numLogitsRows)).toEqual([0, 0, 1, 1])
    expect(driver.step()).toBeNull()
  })

  it('gives decoding sequences their row first, then prompts in order of admission', () => {
    const driver = new SchedulerDriver({ limits: { maxRows: 10 } })
    driver.add({ id: 'old', prompt: prompt(4, 9), maxTokens: 9 })
    driver.step()
    driver.add({ id: 'long', prompt: prompt(15), maxTokens: 9 })
    driver.add({ id: 'short', prompt: prompt(3), maxTokens: 9 })
    expect(rowsOf(driver.step())).toEqual({ old: 1, long: 9 })
    expect(rowsOf(driver.step())).toEqual({ old: 1, long: 6, short: 3 })
    expect(rowsOf(driver.step())).toEqual({ old: 1, long: 1, short: 1 })
  })

  it('keeps decoding at full pace beside any prompt', () => {
    const driver = new SchedulerDriver({ limits: { maxRows: 4, maxSpans: 4 } })
    const decoding = [1, 2, 3].map((n) => driver.add({ prompt: [n], maxTokens: 20 }))
    driver.step()
    driver.add({ id: 'long', prompt: prompt(30) })
    for (let step = 1; step < 19; step++) expect(rowsOf(driver.step())).toMatchObject({ test: 1, long: 1 })
    for (const sequence of decoding) expect(sequence.numGenerated).toBe(19)
  })

  it('runs no more sequences than there are spans or rows', () => {
    for (const limits of [
      { maxSpans: 3, maxRows: 16 },
      { maxSpans: 8, maxRows: 3, maxLogitsRows: 8 },
    ]) {
      const driver = new SchedulerDriver({ limits })
      for (let i = 0; i < 6; i++) driver.add({ prompt: [i], maxTokens: 5 })
      expect(driver.step()?.sequences).toHaveLength(3)
      driver.drain()
      expect(driver.finished.size).toBe(6)
    }
  })

  it('cuts a chunk whose scores do not fit the logits rows', () => {
    const driver = new SchedulerDriver({ limits: { maxRows: 16, maxLogitsRows: 5 } })
    const sequence = driver.add({ prompt: prompt(12), promptLogprobs: 1, maxTokens: 1 })
    const plans = [driver.step(), driver.step(), driver.step()]
    expect(plans.map((plan) => plan?.numRows)).toEqual([5, 5, 2])
    expect(sequence.promptScores.map((score) => score?.token)).toEqual([undefined, ...prompt(12).slice(1)])
  })
})

describe('blocks', () => {
  it('are reserved for the whole prompt at admission', () => {
    const driver = new SchedulerDriver({ limits: { maxRows: 4, blockSize: 4, numBlocks: 8 } })
    const sequence = driver.add({ prompt: prompt(15), maxTokens: 3 })
    driver.step()
    expect(sequence.blocks).toHaveLength(4)
    expect(driver.scheduler.blocks.numFree).toBe(4)
  })

  it('that are short stop the line, so that nobody overtakes', () => {
    const driver = new SchedulerDriver({ limits: { blockSize: 4, numBlocks: 8, maxRows: 32 } })
    const [first, big, small] = [
      driver.add({ prompt: prompt(12), maxTokens: 4 }),
      driver.add({ prompt: prompt(24, 7), maxTokens: 1 }),
      driver.add({ prompt: prompt(2, 5), maxTokens: 1 }),
    ]
    driver.step()
    expect([first, big, small].map(({ isRunning }) => isRunning)).toEqual([true, false, false])
    driver.drain()
    expect([...driver.finished.keys()]).toEqual([first, big, small])
  })

  it('leave one for each running sequence when another is admitted', () => {
    const driver = new SchedulerDriver({ limits: { blockSize: 4, numBlocks: 6, maxRows: 32 } })
    const sequences = [1, 2, 3].map((n) => driver.add({ prompt: prompt(4, n), maxTokens: 4 }))
    driver.step()
    expect(sequences.map(({ isRunning }) => isRunning)).toEqual([true, true, true])
    driver.drain()
    expect(driver.scheduler.numPreemptions).toBe(0)

    const tight = new SchedulerDriver({ limits: { blockSize: 4, numBlocks: 5, maxRows: 32 } })
    const others = [1, 2, 3].map((n) => tight.add({ prompt: prompt(4, n), maxTokens: 4 }))
    tight.step()
    expect(others.map(({ isRunning }) => isRunning)).toEqual([true, true, false])
  })

  it('that run out cost the newest its own; it keeps its tokens and comes back first', () => {
    const driver = new SchedulerDriver({ limits: { blockSize: 2, numBlocks: 8, maxModelLen: 16 } })
    const old = driver.add({ id: 'old', prompt: prompt(4), maxTokens: 10 })
    const young = driver.add({ id: 'young', prompt: prompt(4, 9), maxTokens: 10 })
    const queued = driver.add({ id: 'queued', prompt: prompt(8, 3), maxTokens: 1 })
    while (driver.scheduler.numPreemptions === 0) expect(driver.step()).not.toBeNull()
    expect(old.isRunning).toBe(true)
    expect(young.isRunning).toBe(false)
    const kept = young.numGenerated
    expect(kept).toBeGreaterThan(0)
    expect(young.numComputed).toBe(0)

    while (!young.isRunning) driver.step()
    expect(queued.isRunning).toBe(false)
    expect(young.numGenerated).toBeGreaterThanOrEqual(kept)
    driver.drain()
    expect([...driver.finished.keys()]).toEqual([old, young, queued])
  })
})

describe('admission by adapter', () => {
  it('passes over a sequence whose adapter is on its way', () => {
    const driver = new SchedulerDriver()
    const lease = new FakeLease('slow')
    const slow = driver.add({ id: 'slow', adapter: lease })
    driver.add({ id: 'base' })
    expect(rowsOf(driver.step())).toEqual({ base: 5 })
    lease.arrive(0)
    expect(rowsOf(driver.step())).toEqual({ base: 1, slow: 5 })
    expect(slow.numPassedOver).toBe(0)
  })

  it('lets at most 32 steps of later arrivals pass while others run', () => {
    const driver = new SchedulerDriver({ limits: { maxSpans: 2 } })
    const lease = new FakeLease('slow')
    const slow = driver.add({ adapter: lease })
    driver.add({ maxTokens: 59 })
    for (let i = 0; i < 100; i++) driver.add({ prompt: [i % 61], maxTokens: 1 })
    for (let step = 0; step < 32; step++) driver.step()
    expect(slow.numPassedOver).toBe(32)

    // From now on the long one goes on to its end alone.
    const { numWaiting } = driver.scheduler
    for (let step = 32; step < 58; step++) expect(driver.step()?.sequences).toHaveLength(1)
    expect(driver.scheduler.numWaiting).toBe(numWaiting)
    lease.arrive(1)
    expect(driver.step()?.sequences).toContain(slow)
    driver.drain()
    expect(driver.finished.size).toBe(102)
  })

  it('leaves one out of account whose adapter is still being read: no place on the GPU would help it', () => {
    const driver = new SchedulerDriver({ limits: { maxSpans: 2 } }, { maxPassedOver: 3 })
    const lease = new FakeLease('far')
    lease.isRead = true
    const far = driver.add({ adapter: lease })
    driver.add({ maxTokens: 59 })
    for (let i = 0; i < 100; i++) driver.add({ prompt: [i % 61], maxTokens: 1 })
    for (let step = 0; step < 20; step++) expect(driver.step()?.sequences).toHaveLength(2)
    expect(far.numPassedOver).toBe(0)
    // Once it is read it counts like any other, and has its turn.
    lease.isRead = false
    for (let step = 0; step < 4; step++) driver.step()
    expect(far.numPassedOver).toBe(3)
    expect(driver.step()?.sequences).toHaveLength(1)
    lease.arrive(0)
    expect(driver.step()?.sequences).toContain(far)
  })

  it('does not stand still for an adapter that stays away when nothing runs any more', () => {
    const driver = new SchedulerDriver({ limits: { maxSpans: 2 } }, { maxPassedOver: 3 })
    const slow = driver.add({ adapter: new FakeLease('away') })
    for (let i = 0; i < 50; i++) driver.add({ prompt: [i], maxTokens: 3 })
    driver.drain()
    expect(driver.finished.size).toBe(50)
    expect(slow.isRunning).toBe(false)
  })

  it('counts passing over by the step, not by the sequence', () => {
    const driver = new SchedulerDriver({ limits: { maxSpans: 4 } })
    const slow = driver.add({ adapter: new FakeLease('slow') })
    for (let i = 0; i < 3; i++) driver.add({ prompt: [i] })
    driver.step()
    expect(slow.numPassedOver).toBe(1)
    driver.step()
    expect(slow.numPassedOver).toBe(1)
  })
})

describe('the queue', () => {
  it('has a bound', () => {
    const driver = new SchedulerDriver({}, { maxWaiting: 2 })
    driver.add()
    driver.add()
    expect(() => driver.add()).toThrow(QueueFullError)
    driver.step()
    driver.add()
  })

  it('lets a sequence go wherever it is', () => {
    const driver = new SchedulerDriver({ limits: { maxSpans: 1, maxLogitsRows: 1 } })
    const [running, waiting] = [driver.add({ maxTokens: 20 }), driver.add()]
    driver.step()
    driver.scheduler.remove(waiting)
    driver.scheduler.remove(running)
    driver.scheduler.checkIntegrity()
    expect(driver.step()).toBeNull()
    expect(driver.scheduler.blocks.usage).toBe(0)
  })
})
