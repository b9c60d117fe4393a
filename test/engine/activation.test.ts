import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { activationStart, splitAtActivation } from '../../src/engine/activation.ts'
import type { LogitsRow, Span } from '../../src/engine/batch.ts'

describe('activationStart', () => {
  it.each([
    [[1, 2, 3], null, 0],
    [[1, 2, 3], [1, 2], 0],
    [[1, 2, 1, 2], [1, 2], 2],
    [[1, 1, 1], [1, 1], 1],
    [[1, 2, 3], [3], 2],
    [[1, 2, 3], [3, 4], Number.POSITIVE_INFINITY],
    [[1, 2, 3], [2, 1], Number.POSITIVE_INFINITY],
    [[1], [1, 1], Number.POSITIVE_INFINITY],
  ])('of %j with the invocation %j is %j', (prompt, invocation, start) => {
    expect(activationStart(prompt, invocation)).toBe(start)
  })
})

describe('splitAtActivation', () => {
  const logits = (rows: readonly number[]): LogitsRow[] =>
    rows.map((row) => ({ row, want: { score: 100 + row }, topLogprobs: null }))
  const span: Span = { tokens: [5, 6, 7, 8], start: 10, blockTable: [3], slot: 2, logits: logits([0, 2, 3]) }

  it('leaves spans alone in which nothing begins', () => {
    for (const each of [span, { ...span, activeFrom: 10 }, { ...span, slot: null, activeFrom: 12 }]) {
      expect(splitAtActivation(each)).toEqual([each])
    }
    const fed: Span = { ...span, tokens: null, activeFrom: 4 }
    expect(splitAtActivation(fed)).toEqual([fed])
  })

  it('gives the base what comes before', () => {
    expect(splitAtActivation({ ...span, activeFrom: 14 })).toMatchObject([{ tokens: [5, 6, 7, 8], slot: null }])
    const [base, adapter, ...more] = splitAtActivation({ ...span, activeFrom: 12 })
    expect(more).toEqual([])
    expect(base).toMatchObject({ tokens: [5, 6], start: 10, slot: null, logits: logits([0]) })
    expect(adapter).toMatchObject({ tokens: [7, 8], start: 12, slot: 2 })
    expect(adapter!.logits.map(({ row, want }) => [row, want])).toEqual([
      [0, { score: 102 }],
      [1, { score: 103 }],
    ])
    expect(adapter!.blockTable).toBe(base!.blockTable)
  })

  it('loses no token and no wanted row, wherever it begins', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.uniqueArray(fc.nat(3)), (activeFrom, rows) => {
        const whole = { ...span, activeFrom, logits: logits(rows.sort()) }
        const parts = splitAtActivation(whole)
        expect(parts.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens)
        const wanted = parts.flatMap((part) => part.logits.map(({ row }) => part.start - span.start + row))
        expect(wanted).toEqual(rows)
        for (const { slot, start, tokens } of parts) {
          for (const position of tokens!.keys()) expect(slot !== null).toBe(start + position >= activeFrom)
        }
      }),
      { seed: 5, numRuns: 300 },
    )
  })
})
