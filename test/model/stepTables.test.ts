import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import stepShader from '../../shaders/step.wgsl' with { type: 'text' }
import { RUN_ROWS, runsOf, StepTables } from '../../src/model/stepTables.ts'

describe('runsOf', () => {
  it('has every row once, in order, and never rows of two spans', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 12 }), (spans) => {
        const { runs, singles } = runsOf(spans)
        const all = [...runs, ...singles].toSorted((one, other) => one.rowStart - other.rowStart)
        const spanOf = spans.flatMap((rows, span) => Array<number>(rows).fill(span))
        let next = 0
        for (const { rowStart, rowCount } of all) {
          expect(rowStart).toBe(next)
          expect(new Set(spanOf.slice(rowStart, rowStart + rowCount)).size).toBe(1)
          next += rowCount
        }
        expect(next).toBe(spanOf.length)
        for (const { rowCount } of runs) expect(rowCount > 1 && rowCount <= RUN_ROWS).toBe(true)
        for (const { rowCount } of singles) expect(rowCount).toBe(1)
        // No more pieces than it takes.
        expect(all.length).toBe(spans.reduce((sum, rows) => sum + Math.ceil(rows / RUN_ROWS), 0))
      }),
    )
  })
})

describe('StepTables', () => {
  it('says where runs and single rows are, as step.wgsl reads it', () => {
    const { runs, singles } = runsOf([3, 1, 10, 1])
    const tables = new StepTables(128)
    tables.begin({ rows: 15, tiles: 0, logits: 0, splits: 1, runs: runs.length, singles: singles.length })
    for (let row = 0; row < 15; row++) tables.addRow({ token: 0, position: row, blockTable: 0, slot: null })
    for (const run of [...runs, ...singles]) tables.addRun(run)
    const words = [...tables.words.slice(0, tables.length)]
    const list = (word: number): number[][] =>
      Array.from({ length: words[word + 2]! }, (_, i) => words.slice(words[word]! + 2 * i, words[word]! + 2 * i + 2))
    expect(list(10)).toEqual([[0, 3], [4, 8], [12, 2]]) // biome-ignore format: a row each
    expect(list(11)).toEqual([[3, 1], [14, 1]]) // biome-ignore format: a row each
    expect(stepShader).toContain('const STEP_RUN_WORDS = 2u;')
    expect(stepShader).toContain('step_words[runs + 2u]')
  })

  it('is not done before every announced run was added', () => {
    const tables = new StepTables(64)
    tables.begin({ rows: 2, tiles: 0, logits: 0, splits: 1, runs: 1 })
    for (let row = 0; row < 2; row++) tables.addRow({ token: 0, position: row, blockTable: 0, slot: null })
    expect(() => tables.length).toThrow('not what its header says')
    tables.addRun({ rowStart: 0, rowCount: 2 })
    expect(tables.length).toBe(16 + 2 * 4 + 2)
  })
})
