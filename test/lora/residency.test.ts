import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { AdapterNameError, AdapterRegistry } from '../../src/lora/registry.ts'
import { type AdapterRoom, AdapterVersion, Residency } from '../../src/lora/residency.ts'

const adapter = (digest: string): NormalAdapter => ({ digest, modules: [], maxRank: 8, byteLength: 1 })
const version = (name: string) => new AdapterVersion(name, adapter(name))

/** A pool of so many slots, each as large as any adapter. */
class FakePool implements AdapterRoom {
  readonly resident = new Map<number, string>()
  readonly loads: string[] = []
  readonly #slots: number
  broken = ''
  constructor(slots: number) {
    this.#slots = slots
  }
  async load(name: string): Promise<number | null> {
    await null
    if (name === this.broken) throw new Error('broken')
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.resident.has(slot)) continue
      this.resident.set(slot, name)
      this.loads.push(name)
      return slot
    }
    return null
  }
  unload(slot: number): void {
    expect(this.resident.delete(slot)).toBe(true)
  }
  close(): void {}
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await null
}

describe('Residency', () => {
  it('brings an adapter in once, however many lease it', async () => {
    const pool = new FakePool(2)
    const residency = new Residency(pool)
    const one = version('one')
    await Promise.all([residency.acquire(one).ready, residency.acquire(one).ready])
    expect(one.slot).toBe(0)
    expect(pool.loads).toEqual(['one'])
  })

  it('evicts the least recently used that nothing leases', async () => {
    const pool = new FakePool(2)
    const residency = new Residency(pool)
    const [one, two, three] = [version('one'), version('two'), version('three')]
    for (const each of [one, two, one]) {
      await residency.acquire(each).ready
      residency.release(each)
    }
    await residency.acquire(three).ready
    expect([one.slot !== null, two.slot !== null, three.slot !== null]).toEqual([true, false, true])
  })

  it('waits while all are leased, in order, and goes on when a lease ends', async () => {
    const pool = new FakePool(1)
    const residency = new Residency(pool)
    const [one, two, three] = [version('one'), version('two'), version('three')]
    await residency.acquire(one).ready
    const arrivals: string[] = []
    void residency.acquire(two).ready.then(() => arrivals.push('two'))
    void residency.acquire(three).ready.then(() => arrivals.push('three'))
    await settle()
    expect(arrivals).toEqual([])
    residency.release(one)
    await settle()
    expect(arrivals).toEqual(['two'])
    residency.release(two)
    await settle()
    expect(arrivals).toEqual(['two', 'three'])
  })

  it('tells those who wait when an upload fails, and goes on with the next', async () => {
    const pool = new FakePool(1)
    pool.broken = 'two'
    const residency = new Residency(pool)
    const [two, three] = [version('two'), version('three')]
    const failing = residency.acquire(two).ready
    const ready = residency.acquire(three).ready
    await expect(failing).rejects.toThrow('broken')
    await ready
    expect([two.slot, three.slot]).toEqual([null, 0])
  })

  it('never evicts what is leased and never exceeds the pool, whatever happens', async () => {
    const step = fc.record({ which: fc.nat({ max: 7 }), release: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
        const pool = new FakePool(3)
        const residency = new Residency(pool)
        const versions = Array.from({ length: 8 }, (_, i) => version(`a${i}`))
        for (const { which, release } of steps) {
          const each = versions[which]!
          const before = versions
            .filter(({ leases, slot }) => leases > 0 && slot !== null)
            .map((one) => [one, one.slot] as const)
          if (!release) residency.acquire(each)
          else if (each.leases > 0) residency.release(each)
          await settle()
          for (const [one, slot] of before) if (one.leases > 0) expect(one.slot).toBe(slot)
          expect(residency.size).toBeLessThanOrEqual(3)
          for (const one of versions) if (one.slot !== null) expect(pool.resident.get(one.slot)).toBe(one.name)
        }
        // Everything that is still leased gets its turn once the others have gone.
        for (const each of versions) {
          while (each.leases > 0) residency.release(each)
          await settle()
        }
        const last = versions[0]!
        await residency.acquire(last).ready
        expect(last.slot).not.toBeNull()
      }),
      { seed: 11, numRuns: 150 },
    )
  })
})

describe('AdapterRegistry', () => {
  const registry = (slots = 2) => {
    const pool = new FakePool(slots)
    return { pool, adapters: new AdapterRegistry(pool as never, ['base']) }
  }

  it('stores the same bytes under two names once', async () => {
    const { pool, adapters } = registry()
    adapters.add('one', 'a', adapter('same'))
    adapters.add('two', 'b', adapter('same'))
    const [one, two] = [adapters.lease('one')!, adapters.lease('two')!]
    await Promise.all([one.ready, two.ready])
    expect(one.slot).toBe(two.slot)
    expect(pool.loads).toHaveLength(1)
  })

  it('takes a name away at once and the bytes when the last request ends', async () => {
    const { pool, adapters } = registry()
    adapters.add('one', 'a', adapter('x'))
    const lease = adapters.lease('one')!
    await lease.ready
    expect(adapters.remove('one')).toBe(true)
    expect(adapters.lease('one')).toBeNull()
    expect(adapters.list()).toEqual([])
    expect(pool.resident.size).toBe(1)
    lease.release()
    lease.release()
    expect(pool.resident.size).toBe(0)
    expect(adapters.remove('one')).toBe(false)
  })

  it('lets running requests finish on the version they leased', async () => {
    const { adapters } = registry()
    adapters.add('voice', 'a', adapter('old'))
    const old = adapters.lease('voice')!
    adapters.remove('voice')
    adapters.add('voice', 'b', adapter('new'))
    const young = adapters.lease('voice')!
    await Promise.all([old.ready, young.ready])
    expect([old.digest, young.digest]).toEqual(['old', 'new'])
    expect(old.slot).not.toBe(young.slot)
  })

  it.each([
    ['', 400],
    ['.hidden', 400],
    ['a:b', 400],
    ['ü', 400],
    ['x'.repeat(129), 400],
    ['base', 409],
    ['taken', 409],
  ])('refuses the name %j', (name, status) => {
    const { adapters } = registry()
    adapters.add('taken', 'a', adapter('x'))
    const refused = (() => {
      try {
        adapters.add(name, 'b', adapter('y'))
      } catch (error) {
        return error
      }
    })()
    expect(refused).toBeInstanceOf(AdapterNameError)
    expect(refused).toMatchObject({ status, param: 'lora_name' })
  })
})
