import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { endTest, partTest } from '../../src/lora/modulePattern.ts'

const part = fc.constantFrom('a', 'b', 'ab', 'mlp', '')
const path = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'))
const names = fc.array(path, { maxLength: 4 })

describe('names in sets', () => {
  it('end a path as names compared one by one do', () => {
    fc.assert(
      fc.property(names, path, (list, whole) => {
        const given = list.filter((name) => name !== '')
        expect(endTest(given)(whole)).toBe(given.some((name) => whole.endsWith(name)))
      }),
      { seed: 3, numRuns: 2000 },
    )
  })

  it('are parts of a path as names compared one by one are', () => {
    fc.assert(
      fc.property(names, path, (list, whole) => {
        expect(partTest(list)(whole)).toBe(list.some((name) => `.${whole}.`.includes(`.${name}.`)))
      }),
      { seed: 4, numRuns: 2000 },
    )
  })
})
