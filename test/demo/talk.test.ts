/** The conversation and its state, against the real handler: no browser needed. */
import { signal } from '@preact/signals'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { PromptStyle } from '../../demo/src/engine/request.ts'
import { RenderPace } from '../../demo/src/talk/pace.ts'
import { Talk } from '../../demo/src/talk/talk.ts'
import { ChatTemplate } from '../../src/text/chatTemplate.ts'
import { type FakeHouse, fakeHouse } from '../api/support/fakeService.ts'
import { apiOf } from './support/backends.ts'

function talkOf(house: FakeHouse, style: PromptStyle = 'dialogue', contextLength = 256): Talk {
  const api = apiOf(house)
  const talk = new Talk({ api: () => api, style: signal(style), contextLength: signal(contextLength), onAsk: () => {} })
  talk.voice.value = 'org/tiny'
  return talk
}

const texts = (talk: Talk): string[] => talk.exchanges.value.flatMap(({ said, answer }) => [said, answer.text.text])
const promptOf = (house: FakeHouse): string => house.tokenizer.decode(house.engine.lastRequest.prompt)

describe('a talk', () => {
  it('brings an answer in the chosen voice, with what was said before', async () => {
    const house = fakeHouse()
    const talk = talkOf(house)
    house.says('Ahoy! 🦜')
    talk.voice.value = 'pirate'
    talk.systemPrompt.value = 'Be brief.'
    await talk.say('Hello')
    talk.voice.value = 'team/tutor'
    await talk.say('Again')
    expect(texts(talk)).toEqual(['Hello', 'Ahoy! 🦜', 'Again', 'Ahoy! 🦜'])
    expect(talk.exchanges.value.map(({ answer }) => answer.voice)).toEqual(['pirate', 'team/tutor'])
    for (const part of ['Be brief.', 'Hello', 'Ahoy! 🦜', 'Again']) expect(promptOf(house)).toContain(part)
    expect(house.engine.lastRequest.adapter?.name).toBe('team/tutor')
  })

  it('stops an answer, keeps what came, and frees the generation', async () => {
    const house = fakeHouse()
    const talk = talkOf(house)
    house.engine.script = () => ({ tokens: Array<number>(200).fill(50) })
    let count = 0
    house.engine.gate = async () => {
      if (++count === 5) talk.stop()
    }
    await talk.say('Hello')
    expect(talk.exchanges.value[0]!.answer.state.value).toEqual({ type: 'ended', how: 'stopped' })
    expect(talk.isAnswering.value).toBe(false)
    expect(house.engine.running).toEqual([])
  })

  it('shows what went wrong and leaves it out of what the model gets', async () => {
    const house = fakeHouse()
    const talk = talkOf(house)
    house.engine.script = () => ({ tokens: [50, 51], failAt: { index: 1, error: new Error('broken') } })
    await talk.say('First')
    expect(talk.exchanges.value[0]!.answer.state.value.type).toBe('failed')
    house.says('Fine.')
    await talk.say('Second')
    expect(promptOf(house)).not.toContain('First')
    expect(texts(talk).at(-1)).toBe('Fine.')
  })

  it('answers again and with other words, and forgets what came after', async () => {
    const house = fakeHouse()
    const talk = talkOf(house)
    for (const answer of ['one', 'two', 'three']) {
      house.says(answer)
      await talk.say(`say ${answer}`)
    }
    house.says('other')
    talk.voice.value = 'pirate'
    await talk.again(talk.exchanges.value[1]!.id)
    expect(texts(talk)).toEqual(['say one', 'one', 'say two', 'other'])
    expect(talk.exchanges.value[1]!.answer.voice).toBe('pirate')
    expect(promptOf(house)).not.toContain('three')
    await talk.again(talk.exchanges.value[0]!.id, 'begin anew')
    expect(texts(talk)).toEqual(['begin anew', 'other'])
    expect(promptOf(house)).not.toContain('say one')
  })

  it('of a passage goes on for ever: the model gets its end', async () => {
    const joins = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    const house = fakeHouse({ service: { template: ChatTemplate.compile(joins) } })
    const talk = talkOf(house, 'passage', 64)
    house.says('and so on and so on')
    for (let i = 0; i < 12; i++) await talk.say(`words ${i} `)
    expect(talk.exchanges.value.map(({ answer }) => answer.state.value)).toEqual(
      Array(12).fill({ type: 'ended', how: 'stop' }),
    )
    expect(house.engine.lastRequest.prompt).toHaveLength(32)
    expect(promptOf(house)).toMatch(/words 11 $/)
  })

  it('says nothing where there is nothing to say', async () => {
    const house = fakeHouse()
    const talk = talkOf(house)
    await talk.say('  ')
    expect(talk.exchanges.value).toEqual([])
  })
})

describe('the pace of rendering', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('renders at most once in 120 ms, and more seldom when rendering takes long', () => {
    let count = 0
    let costMs = 0
    const pace = new RenderPace(() => {
      count++
      vi.setSystemTime(Date.now())
      vi.advanceTimersByTime(costMs)
    })
    for (let i = 0; i < 10; i++) pace.ask()
    vi.advanceTimersByTime(119)
    expect(count).toBe(0)
    vi.advanceTimersByTime(1)
    expect(count).toBe(1)
    costMs = 30
    pace.ask()
    vi.advanceTimersByTime(120)
    expect(count).toBe(2)
    pace.ask()
    vi.advanceTimersByTime(359)
    expect(count).toBe(2)
    vi.advanceTimersByTime(1)
    expect(count).toBe(3)
    pace.ask()
    pace.stop()
    vi.advanceTimersByTime(10_000)
    expect(count).toBe(3)
  })
})
