/** The chorus: all voices at once, one after another where connections are few, and all of them stopped by one word. */
import { signal } from '@preact/signals'
import { describe, expect, it } from 'vitest'
import { blendParts, Chorus } from '../../demo/src/chorus/chorus.ts'
import { RateMeter } from '../../demo/src/chorus/rate.ts'
import type { Voice } from '../../demo/src/engine/types.ts'
import { type FakeHouse, fakeHouse } from '../api/support/fakeService.ts'
import { apiOf } from './support/backends.ts'

async function chorusOf(house: FakeHouse, maxStreams = Number.POSITIVE_INFINITY): Promise<Chorus> {
  const api = apiOf(house)
  const voices = signal<readonly Voice[]>(await api.voices())
  const chorus = new Chorus({
    api: () => api,
    voices,
    style: signal('dialogue'),
    maxStreams: () => maxStreams,
    onAsk: () => {},
  })
  chorus.prompt.value = 'Hello'
  return chorus
}

describe('a chorus', () => {
  it('asks every voice at once, and each has its own words and figures', async () => {
    const house = fakeHouse()
    const said = new Map([
      ['pirate', 'Ahoy'],
      ['team/tutor', 'Indeed'],
    ])
    house.engine.script = ({ adapter }) => ({
      tokens: house.tokenizer.encode(said.get(adapter?.name ?? '') ?? 'Yes', { addSpecialTokens: false }),
    })
    let mostAtOnce = 0
    house.engine.gate = async () => {
      mostAtOnce = Math.max(mostAtOnce, house.engine.running.length)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const chorus = await chorusOf(house)
    await chorus.sing()
    expect(chorus.answers.value.map(({ voice, text }) => [voice, text.text])).toEqual([
      ['org/tiny', 'Yes'],
      ['pirate', 'Ahoy'],
      ['team/tutor', 'Indeed'],
    ])
    expect(mostAtOnce).toBe(3)
    expect(chorus.answers.value.every(({ firstMs }) => firstMs.value !== null)).toBe(true)
    expect(chorus.answers.value.map(({ state }) => state.value)).toEqual(Array(3).fill({ type: 'ended', how: 'stop' }))
    const counts = chorus.answers.value.map(({ numTokens }) => numTokens.value)
    expect(chorus.numTokens.value).toBe(counts.reduce((sum, count) => sum + count))
    expect(chorus.isRunning.value).toBe(false)
  })

  it('asks no more at once than the browser has connections', async () => {
    const house = fakeHouse()
    house.says('one two three')
    let mostAtOnce = 0
    house.engine.gate = async () => {
      mostAtOnce = Math.max(mostAtOnce, house.engine.running.length)
    }
    const chorus = await chorusOf(house, 2)
    await chorus.sing()
    expect(mostAtOnce).toBeLessThanOrEqual(2)
    expect(chorus.answers.value.map(({ text }) => text.text)).toEqual(Array(3).fill('one two three'))
  })

  it('stops all voices, the waiting ones too, and frees what they held', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: Array<number>(200).fill(50) })
    const chorus = await chorusOf(house, 2)
    let count = 0
    house.engine.gate = async () => {
      if (++count === 9) chorus.stop()
    }
    await chorus.sing()
    expect(chorus.answers.value.map(({ state }) => state.value)).toEqual(
      Array(3).fill({ type: 'ended', how: 'stopped' }),
    )
    expect(house.engine.running).toEqual([])
    expect(house.leases).toEqual([])
  })

  it('leaves out who is silent, and shows what one voice failed with beside the others', async () => {
    const house = fakeHouse()
    house.engine.script = ({ adapter }) =>
      adapter ? { tokens: [50], failAt: { index: 0, error: new Error('broken') } } : { tokens: [50] }
    const chorus = await chorusOf(house)
    chorus.toggle('team/tutor')
    await chorus.sing()
    expect(chorus.answers.value.map(({ voice, state }) => [voice, state.value.type])).toEqual([
      ['org/tiny', 'ended'],
      ['pirate', 'failed'],
    ])
    chorus.toggle('team/tutor')
    expect(chorus.singers.value).toHaveLength(3)
  })

  it('is of eight at first, and of as many as are called', async () => {
    const voices = Array.from({ length: 12 }, (_, i) => ({
      id: `v${i}`,
      parent: i === 0 ? null : 'v0',
      contextLength: 9,
    }))
    const chorus = new Chorus({
      api: () => null,
      voices: signal(voices),
      style: signal('dialogue'),
      maxStreams: () => 1,
      onAsk: () => {},
    })
    expect(chorus.singers.value).toHaveLength(8)
    chorus.toggle('v11')
    chorus.toggle('v3')
    expect(chorus.singers.value.map(({ id }) => id)).toEqual(['v0', 'v1', 'v2', 'v4', 'v5', 'v6', 'v7', 'v11'])
    chorus.toggle('v3')
    expect(chorus.sings('v3')).toBe(true)
  })

  it('draws a new seed for each run unless one was set, the same for all voices', async () => {
    const house = fakeHouse()
    const chorus = await chorusOf(house)
    chorus.drawsSeed.value = false
    chorus.seed.value = 42
    await chorus.sing()
    expect(chorus.answers.value.map(({ ask }) => ask.seed)).toEqual([42, 42, 42])
    chorus.drawsSeed.value = true
    await chorus.sing()
    const seeds = new Set(chorus.answers.value.map(({ ask }) => ask.seed))
    expect(seeds.size).toBe(1)
    expect(chorus.seed.value).toBe([...seeds][0])
  })

  it('asks for a blend of the base with both parts, or with one at either end', async () => {
    const chorus = await chorusOf(fakeHouse())
    chorus.blend.value = { first: 'pirate', second: 'team/tutor', balance: 0.25 }
    expect(chorus.asks().at(-1)).toMatchObject({
      voice: 'pirate × team/tutor',
      ask: {
        model: 'org/tiny',
        blend: [
          { name: 'pirate', scale: 0.75 },
          { name: 'team/tutor', scale: 0.25 },
        ],
      },
    })
    expect(blendParts({ first: 'a', second: 'b', balance: 0 })).toEqual([{ name: 'a', scale: 1 }])
    expect(blendParts({ first: 'a', second: 'b', balance: 1 })).toEqual([{ name: 'b', scale: 1 }])
  })
})

describe('a rate', () => {
  it('is that of the last two seconds, sinks when nothing comes, and averages over the whole', () => {
    const meter = new RateMeter()
    expect(meter.now(0)).toBe(0)
    for (let i = 0; i <= 40; i++) meter.add(i + 1, i * 100)
    expect(meter.now(4000)).toBeCloseTo(10)
    expect(meter.now(5000)).toBeLessThan(7)
    expect(meter.now(9000)).toBe(0)
    expect(meter.average).toBeCloseTo(10)
  })

  it('of a single piece is none', () => {
    const meter = new RateMeter()
    meter.add(1, 5)
    expect([meter.average, meter.now(6)]).toEqual([0, 0])
  })
})
