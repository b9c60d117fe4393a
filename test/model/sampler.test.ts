/** Single draws of the sampler against an exact sort, and the edges of each parameter, with every crew. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SamplingParams } from '../../src/engine/batch.ts'
import { keptTokens, type ReferenceRow, sampleReference } from '../support/reference/sample.ts'
import { CREWS, few, GREEDY, maskOf, noise, SamplerBench, type SamplerRow, VOCAB } from '../support/samplerBench.ts'

function referenceOf({ logits, params, position = 0, banned, allowed }: SamplerRow): ReferenceRow {
  return {
    logits: Array.from(logits),
    params: { ...GREEDY, ...params },
    position,
    ...(banned ? { banned } : {}),
    ...(allowed ? { allowed } : {}),
  }
}

describe.each(CREWS)('sampler in $name', (crew) => {
  let bench: SamplerBench
  beforeAll(async () => {
    bench = await SamplerBench.open(crew)
  })
  afterAll(() => bench.close())

  const tokens = async (rows: readonly SamplerRow[]) => (await bench.run(rows)).map(({ token }) => token)

  it('takes the likeliest token, the lowest id of several, and never a banned one', async () => {
    const logits = noise(1)
    const best = logits.indexOf(Math.max(...logits))
    const tie = [...logits]
    tie[2500] = tie[best] = tie[77] = 20
    const [first, second] = [77, best, 2500].sort((one, other) => one - other)
    const rows = [
      { logits },
      { logits: tie },
      { logits: tie, banned: [first!] },
      { logits: logits.map((x) => -1e30 + x) },
      { logits: few(-3, -0, 0, -1) },
    ]
    expect((await tokens(rows)).toSpliced(3, 1)).toEqual([best, first, second, 1])
  })

  it('keeps what it drew for the next step, marks what ended a sequence, and is void behind that', async () => {
    const ENDED = 0x80000000
    const keep = (register: number, stopIds: readonly number[] = []) => ({ keep: { register, stopIds } })
    const likes = (id: number) => ({ logits: few(...Array.from({ length: id }, () => 0), 9) })
    const nothing = { logits: few(1), allowed: maskOf([]) }
    await bench.run([
      { ...likes(3), ...keep(2) },
      { ...likes(4), ...keep(0, [7, 4]) },
      { ...likes(5), ...keep(1, [4, 6]), banned: [6] },
      { ...likes(6) },
      { ...nothing, ...keep(3) },
    ])
    const first = await bench.registers(4)
    expect(first.slice(0, 3)).toEqual([ENDED + 4, 5, 3])
    expect(first[3]! >= ENDED).toBe(true)
    const second = await bench.run([
      { ...likes(8), fedBy: 0, ...keep(0) },
      { ...likes(9), fedBy: 1, ...keep(1) },
      { ...likes(9), fedBy: 3, ...keep(3), banned: [1] },
      { ...likes(7), ...keep(2, [7]), score: 11 },
    ])
    expect(second.map(({ token, isVoid = false }) => [token, isVoid])).toEqual([
      [null, true],
      [9, false],
      [null, true],
      [11, false],
    ])
    expect(await bench.registers(4)).toEqual([ENDED + 4, 9, 3, first[3]])
    await bench.run([{ ...likes(8), ...keep(0) }])
    expect(await bench.registers(1)).toEqual([8])
  })

  it('draws the token an exact sort draws, for every filter and their mixtures', async () => {
    const rows: SamplerRow[] = []
    for (let i = 0; i < 210; i++) {
      rows.push({
        logits: noise(100 + i, [0.5, 3, 8][i % 3]),
        position: i * 7,
        banned: i % 10 ? [] : [0, 3, 2502],
        params: {
          temperature: [0.3, 0.8, 1, 1.7][i % 4]!,
          topK: [0, 1, 7, 50, 2502, 2503, 4000][i % 7]!,
          topP: [1, 0.95, 0.5, 0.1, 0][i % 5]!,
          minP: [0, 0, 0.05, 1][(i >> 2) % 4]!,
          seed: (i * 2654435761) >>> 0,
        },
      })
    }
    let different = 0
    for (const [i, token] of (await tokens(rows)).entries()) {
      const row = referenceOf(rows[i]!)
      if (token === sampleReference(row)) continue
      different++
      // f32 sums may put one more or one fewer token at the edge of the kept mass, nothing else.
      const { params } = row
      const wider = { ...params, topP: Math.min(1, params.topP + 1e-5), minP: params.minP * 0.99999 }
      expect(keptTokens({ ...row, params: wider }).map(({ id }) => id)).toContain(token)
    }
    expect(different).toBeLessThanOrEqual(2)
  })

  it('breaks ties at the edge of top-k and top-p by the lower id', async () => {
    const logits = Array.from({ length: VOCAB }, (_, id) => (id % 3 === 0 ? 2 : id % 3 === 1 ? 1 : -3))
    const drawn = async (params: Partial<SamplingParams>) =>
      new Set(
        await tokens(
          Array.from({ length: 200 }, (_, i) => ({
            logits,
            position: i,
            params: { temperature: 1, seed: 5, ...params },
          })),
        ),
      )
    expect(await drawn({ topK: 3 })).toEqual(new Set([0, 3, 6]))
    // The mass of the 1200 likeliest is known only once the place among equals is: 835 of the first kind, then 365.
    for (const params of [{ topP: 0.004 }, { topK: 1200, topP: 0.004 }, { topK: 12, topP: 0.3 }]) {
      const kept = keptTokens(referenceOf({ logits, params: { temperature: 1, ...params } })).map(({ id }) => id)
      expect(kept.length).toBeLessThan(16)
      expect(await drawn(params)).toEqual(new Set(kept))
    }
  })

  it('keeps the likeliest alone at each filter’s narrow end, and everything at its wide end', async () => {
    const logits = noise(7)
    const best = logits.indexOf(Math.max(...logits))
    const draws = (params: Partial<SamplingParams>) =>
      tokens(Array.from({ length: 40 }, (_, i) => ({ logits, position: i, params: { seed: 3, ...params } })))
    const narrow = [
      { temperature: 0 },
      { temperature: 0, topK: 40, topP: 0.5, minP: 0.1 },
      { temperature: 9.9e-6 },
      { temperature: 1e-5 },
      { temperature: 5, topK: 1 },
      { temperature: 5, topP: 0 },
      { temperature: 5, topP: 1e-30 },
      { temperature: 5, minP: 1 },
    ]
    for (const params of narrow) expect(new Set(await draws(params))).toEqual(new Set([best]))
    const all = await draws({ temperature: 5 })
    expect(new Set(all).size).toBeGreaterThan(30)
    for (const params of [{ topK: VOCAB }, { topK: 0xffffffff }, { topP: 1 }, { minP: 0 }]) {
      expect(await draws({ temperature: 5, ...params })).toEqual(all)
    }
    // At the end of f32 every token is as likely as any other.
    expect(new Set(await draws({ temperature: Number.MAX_VALUE })).size).toBeGreaterThan(35)
  })

  it('draws the one token that is left by mask, bans or filters', async () => {
    const logits = noise(8)
    const others = Array.from({ length: VOCAB }, (_, id) => id).filter((id) => id !== 1234)
    const rows = [0, 0.7, 2].flatMap((temperature) => [
      { logits, params: { temperature }, allowed: maskOf([1234]) },
      { logits, params: { temperature, topK: 5, topP: 0.9 }, allowed: maskOf([1234]) },
      { logits, params: { temperature, topP: 0.9 }, allowed: maskOf([1233, 1234, 2502]), banned: [2502, 1233] },
      { logits: logits.map((x, id) => (id === 1234 ? -50 : -Infinity + x)), params: { temperature } },
    ])
    expect(await tokens(rows)).toEqual(rows.map(() => 1234))
    const nothing = [
      { logits, allowed: maskOf([]) },
      { logits, allowed: maskOf([1, 2]), banned: [2, 1], params: { temperature: 1 } },
      { logits: few().map(() => -Infinity) },
    ]
    expect(await tokens(nothing)).toEqual([null, null, null])
    const excluding = others.slice(0, 300).map((id) => ({ id, bias: -100 }))
    const [token] = await tokens([
      { logits, allowed: maskOf([...others.slice(0, 300), 1234]), params: { logitBias: excluding } },
    ])
    expect(token).toBe(1234)
  })

  it('biases logits: +100 decides, -100 bans, and what lies between moves the draw', async () => {
    const logits = noise(9)
    const best = logits.indexOf(Math.max(...logits))
    const second = logits.indexOf(Math.max(...logits.filter((_, id) => id !== best)))
    const gap = logits[best]! - logits[second]!
    const biased = (temperature: number, ...logitBias: { id: number; bias: number }[]): SamplerRow => ({
      logits,
      params: { temperature, logitBias: logitBias.sort((one, other) => one.id - other.id) },
    })
    const rows = [
      biased(0, { id: 2502, bias: 100 }),
      biased(1, { id: 0, bias: 100 }),
      biased(0, { id: best, bias: -100 }),
      biased(0, { id: best, bias: -gap * 1.01 }),
      biased(0, { id: best, bias: -gap * 0.99 }),
      biased(0, { id: second, bias: 100 }, { id: best, bias: 100 }),
      biased(0, { id: 2047, bias: 60 }, { id: 2048, bias: 61 }),
    ]
    expect(await tokens(rows)).toEqual([2502, 0, second, second, best, best, 2048])
    const whole = Array.from({ length: 300 }, (_, i) => ({ id: i * 8, bias: 50 + (i % 7) / 10 }))
    const row = { logits, params: { temperature: 0.6, logitBias: whole, seed: 11 }, position: 3 }
    expect(await tokens([row])).toEqual([sampleReference(referenceOf(row))])
  })

  it('adjusts some rows of a step, more than fit a round, and leaves their neighbours alone', async () => {
    const rows: SamplerRow[] = Array.from({ length: 40 }, (_, i) => ({
      logits: noise(300 + i),
      position: i,
      params: { temperature: 0.9, topP: 0.9, seed: i },
      ...(i % 5 === 0 ? { score: 40 + i } : i % 2 ? { banned: [i], allowed: maskOf([i, 70 + i, 900, 2400 + i]) } : {}),
    }))
    expect(rows.filter(({ allowed }) => allowed).length).toBe(16)
    for (const i of [2, 4, 12, 36]) rows[i] = { ...rows[i]!, banned: [1, 2, 3] }
    const drawn = await tokens(rows)
    for (const [i, row] of rows.entries()) {
      expect(drawn[i], `row ${i}`).toBe(row.score ?? sampleReference(referenceOf(row)))
    }
  })

  it('gives no token where a logit is NaN or infinite, and leaves its neighbours alone', async () => {
    const good = noise(4)
    const best = good.indexOf(Math.max(...good))
    const bits = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]!
    // The last two: NaNs with other bits, of either sign.
    const faults = [Number.NaN, Infinity, bits(0xffc00000), bits(0x7fffffff)]
    const broken = (fault: number, at: number) => good.with(at, fault)
    for (const fault of faults) {
      const rows: SamplerRow[] = [
        { logits: good },
        { logits: broken(fault, 2502) },
        { logits: broken(fault, 0), params: { temperature: 1, topP: 0.9, topK: 7 } },
        { logits: broken(fault, 1200), banned: [5], params: { temperature: 1 } },
        { logits: broken(fault, 1200), allowed: maskOf([7, 1201]) },
        { logits: broken(fault, 900), score: 8, top: 3 },
        { logits: good, score: 8, top: 3 },
        { logits: good },
      ]
      expect(await tokens(rows)).toEqual([best, null, null, null, null, null, 8, best])
    }
  })

  it('reports log probabilities and ranks of the raw distribution, also of adjusted and scored tokens', async () => {
    const logits = noise(19)
    logits[200] = logits[100]!
    const order = logits.map((_, id) => id).sort((one, other) => logits[other]! - logits[one]! || one - other)
    const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0))
    const allowed = maskOf([order[1]!, order[9]!])
    const [sampled, adjusted, scored, five, none] = await bench.run([
      { logits, top: 20, params: { temperature: 0.5, topK: 1 } },
      { logits, top: 20, params: { temperature: 0, logitBias: [{ id: order[1]!, bias: -100 }] }, allowed },
      { logits, top: 0, score: 200 },
      { logits, top: 5 },
      { logits },
    ])
    expect(sampled).toMatchObject({ token: order[0], logprobs: { rank: 1 } })
    expect(adjusted).toMatchObject({ token: order[9], logprobs: { rank: 10 } })
    for (const { logprobs } of [sampled!, adjusted!]) {
      expect(logprobs!.top.map(({ token }) => token)).toEqual(order.slice(0, 20))
      for (const { token, logprob } of logprobs!.top) expect(logprob).toBeCloseTo(logits[token]! - logSum, 4)
    }
    expect(five!.logprobs!.top).toEqual(sampled!.logprobs!.top.slice(0, 5))
    expect(scored).toMatchObject({
      token: 200,
      logprobs: { rank: 1 + logits.filter((x) => x > logits[200]!).length, top: [] },
    })
    expect(scored!.logprobs!.logprob).toBeCloseTo(logits[200]! - logSum, 4)
    expect(none!.logprobs).toBeNull()
  })

  it('lists the likeliest in order where they are equal, all in one lane, or fewer than asked for', async () => {
    const equal = few().map(() => 1)
    // Every 256th token is in the same lane, whatever the crew.
    const crowded = few().map((_, id) => (id % 256 === 3 ? 5 + id / 256 : -1))
    const three = few().map((_, id) => ([5, 900, 2000].includes(id) ? id : -Infinity))
    const [first, second, third] = await bench.run([
      { logits: equal, top: 20 },
      { logits: crowded, top: 20 },
      { logits: three, top: 20 },
    ])
    const listed = (record: typeof first) => record!.logprobs!.top.map(({ token }) => token)
    expect(listed(first)).toEqual(Array.from({ length: 20 }, (_, id) => id))
    expect(listed(second)).toEqual([
      ...[9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((i) => 3 + 256 * i),
      ...[0, 1, 2, 4, 5, 6, 7, 8, 9, 10],
    ])
    expect(listed(third)).toEqual([2000, 900, 5])
  })
})
