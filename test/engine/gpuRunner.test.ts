/** Tokens that stay on the device: drawn by one step, computed by the next, void once their sequence has ended there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LogitsRecord, SampleWanted, Span } from '../../src/engine/batch.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { GREEDY } from '../support/requests.ts'

const PROMPT = [5, 300, 17, 42, 7]
const END = PROMPT.length

describe('registers on llama-tiny', () => {
  let gpu: Gpu
  let runtime: Runtime
  beforeAll(async () => {
    gpu = await openGpu()
    runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      sizes: { kvCacheMemory: 2 ** 21, loraMemory: 2 ** 20, maxNumBatchedTokens: 24, maxNumSeqs: 4 },
    })
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  const draw = (row: number, position: number, wanted: Partial<SampleWanted> = {}) => ({
    row,
    want: { sample: GREEDY, position, banned: [], ...wanted },
    topLogprobs: null,
  })
  /** The whole prompt, whose next token goes to `register`. */
  const whole = (register: number, block: number, wanted?: Partial<SampleWanted>): Span => ({
    tokens: PROMPT,
    start: 0,
    register,
    blockTable: [block],
    slot: null,
    logits: [draw(END - 1, END, wanted)],
  })
  /** One token at `start`: what the register holds, or a known one. */
  const next = (register: number, block: number, start: number, wanted?: Partial<SampleWanted>): Span => ({
    tokens: null,
    start,
    register,
    blockTable: [block],
    slot: null,
    logits: [draw(0, start + 1, wanted)],
  })
  const submitAll = async (...steps: Span[][]): Promise<LogitsRecord[][]> =>
    (await Promise.all(steps.map((spans) => runtime.runner.submit({ spans })))).map(({ records }) => [...records])

  async function oneByOne(count: number): Promise<number[]> {
    const tokens: number[] = []
    for (let i = 0; i < count; i++) {
      const span = i === 0 ? whole(0, 0) : { ...next(0, 0, END + i - 1), tokens: [tokens.at(-1)!] }
      const [records] = await submitAll([span])
      tokens.push(records![0]!.token!)
    }
    return tokens
  }

  it('feed the next step what the last one drew, for several sequences, ahead of every result', async () => {
    const expected = await oneByOne(6)
    const steps = [[whole(1, 3), whole(2, 4)]]
    for (let i = 0; i < 5; i++) steps.push([next(2, 4, END + i), next(1, 3, END + i)])
    const results = await submitAll(...steps)
    for (const which of [0, 1]) expect(results.map((records) => records[which]!.token)).toEqual(expected)
  })

  it('are void behind a stop id, and live again with a known token', async () => {
    const expected = await oneByOne(6)
    const stopIds = [511, expected[2]!]
    expect(expected.indexOf(stopIds[1]!)).toBe(2)
    const steps = [[whole(3, 5, { stopIds })]]
    for (let i = 0; i < 4; i++) steps.push([next(3, 5, END + i, { stopIds })])
    const ended = await submitAll(...steps)
    expect(ended.map(([record]) => record)).toEqual([
      { token: expected[0], logprobs: null },
      { token: expected[1], logprobs: null },
      { token: expected[2], logprobs: null },
      { token: null, logprobs: null, isVoid: true },
      { token: null, logprobs: null, isVoid: true },
    ])
    const again = await submitAll([whole(3, 6)], [next(3, 6, END)], [next(3, 6, END + 1)])
    expect(again.map(([record]) => record!.token)).toEqual(expected.slice(0, 3))
  })

  it('are void when nothing could be drawn', async () => {
    const allowed = new Uint32Array(Math.ceil(runtime.spec.vocabSize / 32))
    const [first, second] = await submitAll([whole(0, 0, { allowed })], [next(0, 0, END)])
    expect(first![0]).toEqual({ token: null, logprobs: null })
    expect(second![0]).toMatchObject({ isVoid: true })
  })

  it('cost no write, pass or submit of their own', async () => {
    await submitAll([whole(0, 0)])
    const before = gpu.counters.snapshot()
    await submitAll([next(0, 0, END)], [next(0, 0, END + 1)])
    expect(gpu.counters.since(before)).toMatchObject({
      uploads: 2,
      passes: 2,
      submits: 2,
      readbacks: 2,
      buffersCreated: 0,
      bindGroupsCreated: 0,
    })
  })

  it('leave room for an echo beside all steps in flight', async () => {
    const steps = [[whole(0, 0)], ...Array.from({ length: 7 }, (_, i) => [next(0, 0, END + i)])]
    const [results] = await Promise.all([submitAll(...steps), runtime.runner.echo()])
    expect(results).toHaveLength(8)
  })
})
