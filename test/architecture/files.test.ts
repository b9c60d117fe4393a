/** The shape of files: one idea each, and each says what it is for. */
import { describe, expect, it } from 'vitest'
import { filesBelow, readText } from './projectFiles.ts'

const MOST_LINES = 400
/** A file that opens with one of these says its purpose before anything else. */
const COMMENT = /^(#![^\n]*\n)?(\/\/|\/\*)/

function numLines(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}

describe('files', () => {
  const sources = filesBelow('src', '.ts')
  const shaders = filesBelow('shaders', '.wgsl')

  it('are there to be looked at', () => {
    expect(sources.length).toBeGreaterThan(0)
    expect(shaders.length).toBeGreaterThan(0)
  })

  it('count their lines as an editor does', () => {
    expect(numLines('a\nb\n')).toBe(2)
    expect(numLines('a\nb')).toBe(2)
  })

  it(`of src and shaders have at most ${MOST_LINES} lines`, () => {
    const long = [...sources, ...shaders].filter((path) => numLines(readText(path)) > MOST_LINES)
    expect(long).toEqual([])
  })

  it('that are shaders open with a prose header', () => {
    expect(shaders.filter((path) => !readText(path).startsWith('//'))).toEqual([])
  })

  it('of src open with a comment, nine in ten', () => {
    const silent = sources.filter((path) => !COMMENT.test(readText(path)))
    expect(silent.length, `without a first comment: ${silent.join(', ')}`).toBeLessThanOrEqual(sources.length / 10)
  })
})
