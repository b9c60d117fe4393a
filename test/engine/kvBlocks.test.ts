import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FreeList } from '../../src/engine/freeList.ts'
import { KvBlocks } from '../../src/engine/kvBlocks.ts'
import { InvariantError } from '../../src/errors.ts'

describe('FreeList', () => {
  it('gives first what was there first, or what came in front', () => {
    const free = new FreeList(3)
    expect([free.shift(), free.shift()]).toEqual([0, 1])
    free.push(1)
    free.push(0)
    expect([free.shift(), free.shift(), free.shift()]).toEqual([2, 1, 0])
    expect(free.size).toBe(0)
    free.push(1)
    free.unshift(2)
    expect(free.shift()).toBe(2)
  })

  it('refuses to give what it lacks or to take what it has', () => {
    const free = new FreeList(1)
    expect(() => free.push(0)).toThrow(InvariantError)
    free.shift()
    expect(() => free.shift()).toThrow(InvariantError)
    expect(() => free.remove(0)).toThrow(InvariantError)
  })

  it('does what an array does', () => {
    const operation = fc.record({ kind: fc.constantFrom('shift', 'push', 'unshift', 'remove'), id: fc.nat(6) })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const free = new FreeList(7)
        const model = [0, 1, 2, 3, 4, 5, 6]
        for (const { kind, id } of operations) {
          if (kind === 'shift' && model.length > 0) expect(free.shift()).toBe(model.shift())
          if (kind === 'push' && !model.includes(id)) {
            free.push(id)
            model.push(id)
          }
          if (kind === 'unshift' && !model.includes(id)) {
            free.unshift(id)
            model.unshift(id)
          }
          if (kind === 'remove' && model.includes(id)) {
            free.remove(id)
            model.splice(model.indexOf(id), 1)
          }
          expect(free.size).toBe(model.length)
          for (let other = 0; other < 7; other++) expect(free.has(other)).toBe(model.includes(other))
        }
      }),
      { seed: 7, numRuns: 200 },
    )
  })
})

describe('KvBlocks', () => {
  it('counts blocks and what they hold', () => {
    const blocks = new KvBlocks(5, 16)
    expect(blocks.numTokens).toBe(80)
    expect([0, 1, 16, 17].map((numTokens) => blocks.blocksFor(numTokens))).toEqual([0, 1, 1, 2])
    expect(blocks.usage).toBe(0)
    const table = blocks.allocate(2)
    expect(blocks.usage).toBeCloseTo(0.4)
    expect(blocks.canAllocate(3)).toBe(true)
    expect(blocks.canAllocate(4)).toBe(false)
    blocks.checkIntegrity([table])
  })

  it('reuses first what nobody can find, then the end of what has been free longest', () => {
    const blocks = new KvBlocks(5, 16)
    const table = blocks.allocate(3)
    table.forEach((block, i) => {
      blocks.enter(block, `address ${i}`)
    })
    const unknown = blocks.allocate(2)
    blocks.free(table)
    blocks.free(unknown)
    expect(blocks.allocate(5)).toEqual([...unknown, ...table.toReversed()])
  })

  it('finds a block by its address, owned or free, until it is taken for something else', () => {
    const blocks = new KvBlocks(2, 16)
    const [block] = blocks.allocate(1) as [number]
    expect(blocks.find('here')).toBeNull()
    blocks.enter(block, 'here')
    expect(blocks.find('here')).toBe(block)
    blocks.free([block])
    expect(blocks.find('here')).toBe(block)

    blocks.share([block])
    blocks.share([block])
    blocks.checkIntegrity([[block], [block]])
    expect(blocks.numFree).toBe(1)
    blocks.free([block])
    expect(blocks.numFree).toBe(1)
    blocks.free([block])
    expect(blocks.numFree).toBe(2)

    blocks.checkIntegrity([blocks.allocate(2)])
    expect(blocks.find('here')).toBeNull()
  })

  it('keeps the first of two blocks with the same content', () => {
    const blocks = new KvBlocks(2, 16)
    const [one, other] = blocks.allocate(2) as [number, number]
    blocks.enter(one, 'here')
    blocks.enter(other, 'here')
    expect(blocks.find('here')).toBe(one)
    blocks.checkIntegrity([[one, other]])
  })

  it('refuses to give more than there is, and to take back what nobody owns', () => {
    const blocks = new KvBlocks(2, 16)
    expect(() => blocks.allocate(3)).toThrow(InvariantError)
    const table = blocks.allocate(1)
    blocks.free(table)
    expect(() => blocks.free(table)).toThrow(InvariantError)
  })

  it('notices a leaked block, a second owner, and a block that stands twice in a table', () => {
    const blocks = new KvBlocks(4, 16)
    const [one, other] = [blocks.allocate(2), blocks.allocate(1)]
    blocks.checkIntegrity([one, other])
    expect(() => blocks.checkIntegrity([one])).toThrow('is booked for 1 owners and has 0')
    expect(() => blocks.checkIntegrity([one, other, other])).toThrow('is booked for 1 owners and has 2')
    expect(() => blocks.checkIntegrity([one, other, [3]])).toThrow('is booked for 0 owners and has 1')
    expect(() => blocks.checkIntegrity([[...one, one[0]!], other])).toThrow('stands twice')
  })
})
