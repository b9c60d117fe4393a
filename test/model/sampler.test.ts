/** The sampler against exact references, on a device with subgroups and on one without. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SamplingParams } from '../../src/engine/batch.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { Tracked } from '../../src/gpu/ledger.ts'
import { openGpu } from '../../src/gpu/open.node.ts'
import { RECORD_BYTES, readRecord, type SampledRecord, Sampler } from '../../src/model/sampler.ts'
import { StepTables } from '../../src/model/stepTables.ts'
import { keptTokens, sampleReference } from '../support/reference/sample.ts'

/** Not a multiple of anything. */
const VOCAB = 509
const MAX_LOGITS = 512

interface Row {
  readonly logits: readonly number[]
  readonly params?: Partial<SamplingParams>
  readonly position?: number
  readonly banned?: readonly number[]
  readonly score?: number
  readonly top?: number
}

const greedy: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/** Deterministic logits of about a normal spread. */
function noise(seed: number, spread = 3): number[] {
  let state = seed >>> 0
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state >>> 8) / 2 ** 24
  }
  return Array.from({ length: VOCAB }, () => Math.fround(spread * (uniform() + uniform() + uniform() - 1.5)))
}

describe.each([
  ['subgroups', {}],
  ['no subgroups', { subgroups: false }],
])('sampler on a device with %s', (_name, wish) => {
  let gpu: Gpu
  let sampler: Sampler
  let step: Tracked
  let logits: Tracked
  const tables = new StepTables(64 * 1024)

  beforeAll(async () => {
    gpu = await openGpu(wish)
    ;[step, logits] = (await gpu.allocateAll([
      { label: 'step', purpose: 'tables', byteLength: tables.words.byteLength },
      { label: 'logits', purpose: 'activations', byteLength: MAX_LOGITS * VOCAB * 4 },
    ])) as [Tracked, Tracked]
    sampler = await Sampler.create(gpu, { step, logits, vocabSize: VOCAB, maxLogits: MAX_LOGITS })
  })
  afterAll(() => {
    sampler.close()
    step.destroy()
    logits.destroy()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  async function run(rows: readonly Row[]): Promise<SampledRecord[]> {
    await gpu.upload(logits, 0, new Uint8Array(Float32Array.from(rows.flatMap((row) => row.logits)).buffer))
    tables.begin({ rows: 0, tiles: 0, logits: rows.length, splits: 1 })
    for (const { params, position = 0, banned = [], score = null, top = null } of rows) {
      const list = tables.addList(banned)
      tables.addLogits({
        row: 0,
        score,
        topLogprobs: top,
        ...greedy,
        ...params,
        position,
        banned: list,
        numBanned: banned.length,
      })
    }
    gpu.write(step, 0, tables.words, tables.length)
    const recorder = gpu.recorder()
    sampler.record(recorder, rows.length, true)
    recorder.submit()
    const bytes = await gpu.readback(sampler.records, 0, rows.length * RECORD_BYTES)
    return rows.map(({ top = null }, i) => readRecord(bytes, i, top))
  }

  it('takes the likeliest token, the lowest id of several, and never a banned one', async () => {
    const logits = noise(1)
    const best = logits.indexOf(Math.max(...logits))
    const tie = [...logits]
    tie[500] = tie[best] = tie[77] = 20
    const records = await run([
      { logits },
      { logits: tie },
      { logits: tie, banned: [77] },
      { logits: logits.map((x) => -1e30 + x) },
    ])
    const lowest = [77, best, 500].sort((one, other) => one - other)
    expect(records.map(({ token }) => token).slice(0, 3)).toEqual([
      best,
      77 === lowest[0] ? 77 : lowest[0],
      lowest.find((id) => id !== 77),
    ])
  })

  it('draws the token an exact sort draws, for every filter and their mixtures', async () => {
    const rows: Row[] = []
    for (let i = 0; i < 240; i++) {
      rows.push({
        logits: noise(100 + i, [0.5, 3, 8][i % 3]),
        position: i * 7,
        banned: i % 5 ? [] : [0, 3, 508],
        params: {
          temperature: [0.3, 0.8, 1, 1.7][i % 4]!,
          topK: [0, 1, 7, 50, 508, 509, 4000][i % 7]!,
          topP: [1, 0.95, 0.5, 0.1, 0][i % 5]!,
          minP: [0, 0, 0.05, 1][i % 4]!,
          seed: (i * 2654435761) >>> 0,
        },
      })
    }
    const records = await run(rows)
    let different = 0
    for (const [i, { token }] of records.entries()) {
      const { logits, params, position, banned } = rows[i]!
      const full = { ...greedy, ...params }
      if (token === sampleReference(logits, full, position!, banned)) continue
      different++
      // f32 sums may put one more or one fewer token at the edge of the kept mass, nothing else.
      expect(
        keptTokens(logits, { ...full, topP: Math.min(1, full.topP + 1e-5) }, banned).map(({ id }) => id),
      ).toContain(token)
    }
    expect(different).toBeLessThanOrEqual(2)
  })

  it('breaks ties at the edge of top-k and top-p by the lower id', async () => {
    const logits = Array.from({ length: VOCAB }, (_, id) => (id % 3 === 0 ? 2 : id % 3 === 1 ? 1 : -3))
    const draws = (params: Partial<SamplingParams>) =>
      run(
        Array.from({ length: 400 }, (_, i) => ({
          logits,
          position: i,
          params: { temperature: 1, seed: 5, ...params },
        })),
      )
    // Ids 0, 3, 6 are the three lowest of the likeliest.
    const topK = (await draws({ topK: 3 })).map(({ token }) => token)
    expect(new Set(topK)).toEqual(new Set([0, 3, 6]))
    const kept = keptTokens(logits, { ...greedy, temperature: 1, topP: 0.02 }).map(({ id }) => id)
    const topP = (await draws({ topP: 0.02 })).map(({ token }) => token)
    expect(new Set(topP)).toEqual(new Set(kept))
  })

  it('draws from the exact distribution (chi-square)', async () => {
    const logits = Array.from({ length: VOCAB }, (_, id) => (id < 12 ? Math.fround(Math.cos(id) * 2) : -30))
    const params = { ...greedy, temperature: 0.9, topK: 10, topP: 0.97, seed: 123 }
    const kept = keptTokens(logits, params)
    const counts = new Map<number, number>()
    const draws = 8192
    for (let done = 0; done < draws; done += MAX_LOGITS) {
      for (const { token } of await run(
        Array.from({ length: MAX_LOGITS }, (_, i) => ({ logits, params, position: done + i })),
      )) {
        counts.set(token!, (counts.get(token!) ?? 0) + 1)
      }
    }
    expect([...counts.keys()].sort()).toEqual(kept.map(({ id }) => id).sort())
    const chiSquare = kept.reduce((sum, { id, probability }) => {
      const expected = probability * draws
      return sum + (counts.get(id)! - expected) ** 2 / expected
    }, 0)
    // 27.9 is the 99.9 % point for 9 degrees of freedom; a shift of 10 % of one common token's mass exceeds it surely.
    expect(kept.length).toBeLessThanOrEqual(10)
    expect(chiSquare).toBeLessThan(27.9)
  })

  it('reports log probabilities and ranks of the raw distribution, also of scored tokens', async () => {
    const logits = noise(9)
    logits[200] = logits[100]!
    const order = logits.map((_, id) => id).sort((one, other) => logits[other]! - logits[one]! || one - other)
    const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0))
    const [sampled, scored, none] = await run([
      { logits, top: 20, params: { temperature: 0.5, topK: 1 }, banned: [order[0]!] },
      { logits, top: 0, score: 200 },
      { logits },
    ])
    expect(sampled!.token).toBe(order[1])
    expect(sampled!.logprobs!.rank).toBe(2)
    expect(sampled!.logprobs!.top.map(({ token }) => token)).toEqual(order.slice(0, 20))
    for (const { token, logprob } of sampled!.logprobs!.top) expect(logprob).toBeCloseTo(logits[token]! - logSum, 4)
    expect(scored).toMatchObject({
      token: 200,
      logprobs: { rank: 1 + logits.filter((x) => x > logits[200]!).length, top: [] },
    })
    expect(scored!.logprobs!.logprob).toBeCloseTo(logits[200]! - logSum, 4)
    expect(none!.logprobs).toBeNull()
  })

  it('gives no token where the logits hold NaN or all are banned, and leaves its neighbours alone', async () => {
    const good = noise(4)
    const broken = [...good]
    broken[300] = Number.NaN
    const records = await run([
      { logits: good },
      { logits: broken },
      { logits: broken, params: { temperature: 1 } },
      { logits: good },
    ])
    const best = good.indexOf(Math.max(...good))
    expect(records.map(({ token }) => token)).toEqual([best, null, null, best])
    const only = Array.from({ length: VOCAB }, (_, id) => (id === 17 ? 1 : Number.NEGATIVE_INFINITY))
    const [one, nothing] = await run([
      { logits: only, params: { temperature: 1, topP: 0.5, topK: 3 } },
      { logits: only, banned: [17], params: { temperature: 1 } },
    ])
    expect([one!.token, nothing!.token]).toEqual([17, null])
  })
})
