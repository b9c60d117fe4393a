import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Tokenizer } from '../../src/text/tokenizer.ts'
import { cpuMs } from '../support/cpuTime.ts'
import { goldens, KINDS, referenceTokenizer } from './reference.ts'

function stream(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens: boolean): string[] {
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens })
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.finish()]
}

describe.each(KINDS)('%s', (kind) => {
  const tokenizer = referenceTokenizer(kind)
  // A few ids past the end: models have padded vocabularies and may choose such a row.
  const randomIds = fc.array(fc.integer({ min: 0, max: tokenizer.vocabSize + 3 }), { maxLength: 60 })

  it('pushes join to the decoded text, for random ids', () => {
    fc.assert(
      fc.property(randomIds, fc.boolean(), (ids, skipSpecialTokens) => {
        expect(stream(tokenizer, ids, skipSpecialTokens).join('')).toBe(tokenizer.decode(ids, { skipSpecialTokens }))
      }),
      { seed: 3, numRuns: 400 },
    )
  })

  it('never gives out half a character, for real texts', () => {
    for (const { ids, decoded, decoded_skip_special } of goldens(kind)) {
      for (const piece of stream(tokenizer, ids, false)) {
        if (!decoded.includes('\ufffd')) expect(piece).not.toContain('\ufffd')
        expect(piece).not.toMatch(/\p{Surrogate}/u)
      }
      expect(stream(tokenizer, ids, false).join('')).toBe(decoded)
      expect(stream(tokenizer, ids, true).join('')).toBe(decoded_skip_special)
    }
  })

  it('after a prompt gives exactly what the prompt and the output decode to beyond the prompt', () => {
    fc.assert(
      fc.property(randomIds, randomIds, fc.boolean(), (prompt, output, skipSpecialTokens) => {
        const whole = tokenizer.detokenizer({ skipSpecialTokens })
        for (const id of prompt) whole.push(id)
        const primed = tokenizer.detokenizer({ skipSpecialTokens, prompt })
        for (const id of output) expect(primed.push(id)).toBe(whole.push(id))
        expect(primed.finish()).toBe(whole.finish())
      }),
      { seed: 5, numRuns: 400 },
    )
  })
})

describe('a stream', () => {
  it('holds a character back until its last byte', () => {
    const tokenizer = referenceTokenizer('gemma')
    const ids = tokenizer.encode('😀', { addSpecialTokens: false })
    expect(stream(tokenizer, ids, true)).toEqual(['', '', '', '😀', ''])
    expect(stream(tokenizer, ids.slice(0, 2), true)).toEqual(['', '', '\ufffd'])
  })

  it('keeps the first word’s space after a prompt and drops it at the start of a text', () => {
    const tokenizer = referenceTokenizer('llama2')
    const [the] = tokenizer.encode('the', { addSpecialTokens: false })
    const prompt = tokenizer.encode('is it')
    expect(tokenizer.detokenizer({ skipSpecialTokens: true, prompt }).push(the!)).toBe(' the')
    expect(tokenizer.detokenizer({ skipSpecialTokens: true }).push(the!)).toBe('the')
    // A prompt that shows nothing leaves the output at the start of the text.
    const bos = tokenizer.encode('')
    expect(tokenizer.detokenizer({ skipSpecialTokens: true, prompt: bos }).push(the!)).toBe('the')
    expect(tokenizer.detokenizer({ skipSpecialTokens: false, prompt: bos }).push(the!)).toBe(' the')
  })

  it('passes over a special token in the middle of a character', () => {
    const tokenizer = referenceTokenizer('gpt2')
    const ids = tokenizer.encode('ž', { addSpecialTokens: false })
    expect(ids.length).toBe(2)
    expect(stream(tokenizer, [ids[0]!, tokenizer.tokenId('<|eos|>')!, ids[1]!], true)).toEqual(['', '', 'ž', ''])
  })

  it('costs the same per token however long the text is', () => {
    const tokenizer = referenceTokenizer('llama2')
    const ids = tokenizer.encode('the lorikeet eats nectar. '.repeat(20_000))
    const detokenizer = tokenizer.detokenizer({ skipSpecialTokens: true })
    const started = cpuMs()
    let length = 0
    for (const id of ids) length += detokenizer.push(id).length
    expect(length).toBe(26 * 20_000)
    // Some 200,000 tokens: under a second when each costs its own bytes, hours if the text were decoded again.
    expect(cpuMs() - started).toBeLessThan(30_000)
  })
})
