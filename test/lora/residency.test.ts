import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AdapterNameError } from '../../src/lora/names.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { AdapterRegistry } from '../../src/lora/registry.ts'
import { type AdapterRoom, type Hold, Residency } from '../../src/lora/residency.ts'
import { AdapterVersion } from '../../src/lora/version.ts'

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

/** A lease whose adapter has come and is pinned. */
async function pinned(residency: Residency, which: AdapterVersion): Promise<Hold> {
  const hold = residency.acquire(which)
  await hold.ready
  hold.pin()
  return hold
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

  it('tells of what was given up while it was on its way when it is there, unless somebody wants it again', async () => {
    const pool = new FakePool(2)
    const residency = new Residency(pool)
    const told: (number | null)[] = []
    residency.onUnleased(({ slot }) => told.push(slot))
    const one = version('one')
    residency.acquire(one).release()
    expect(told).toEqual([])
    await settle()
    expect([pool.loads, told]).toEqual([['one'], [0]])
    residency.evict(one)
    residency.acquire(one).release()
    const again = residency.acquire(one)
    await again.ready
    await settle()
    expect([again.slot, told]).toEqual([0, [0]])
    again.release()
    expect(told).toEqual([0, 0])
  })

  it('evicts the least recently used of what nothing leases', async () => {
    const residency = new Residency(new FakePool(2))
    const [one, two, three] = [version('one'), version('two'), version('three')]
    for (const each of [one, two, one]) {
      const hold = residency.acquire(each)
      await hold.ready
      hold.release()
    }
    await residency.acquire(three).ready
    expect([one.slot !== null, two.slot !== null, three.slot !== null]).toEqual([true, false, true])
  })

  it('waits while all are pinned, in order, and goes on when one is unpinned', async () => {
    const residency = new Residency(new FakePool(1))
    const [one, two, three] = [version('one'), version('two'), version('three')]
    const first = await pinned(residency, one)
    const arrivals: string[] = []
    const second = residency.acquire(two)
    void second.ready.then(() => arrivals.push('two'))
    void residency.acquire(three).ready.then(() => arrivals.push('three'))
    await settle()
    expect(arrivals).toEqual([])
    first.release()
    await settle()
    expect(arrivals).toEqual(['two'])
    second.pin()
    second.unpin()
    await settle()
    expect(arrivals, 'the older lease keeps its place').toEqual(['two'])
    second.release()
    await settle()
    expect(arrivals).toEqual(['two', 'three'])
  })

  it('evicts what only younger leases wait for, at the moment it is unpinned, and brings it back in its turn', async () => {
    const pool = new FakePool(1)
    const residency = new Residency(pool)
    const [one, two] = [version('one'), version('two')]
    const running = await pinned(residency, one)
    const second = residency.acquire(two)
    const younger = residency.acquire(one)
    await settle()
    expect([one.slot, younger.slot, second.slot]).toEqual([0, 0, null])
    running.release()
    expect(younger.slot, 'gone before anybody can pin it again').toBeNull()
    await second.ready
    second.pin()
    second.release()
    await younger.ready
    expect([one.slot, two.slot]).toEqual([0, null])
    expect(pool.loads).toEqual(['one', 'two', 'one'])
  })

  it('does not let a younger lease take the place of one that waits to run', async () => {
    const residency = new Residency(new FakePool(1))
    const [one, two] = [version('one'), version('two')]
    const older = residency.acquire(one)
    await older.ready
    const younger = residency.acquire(two)
    await settle()
    expect([older.slot, younger.slot]).toEqual([0, null])
    older.release()
    await younger.ready
    expect(one.slot).toBeNull()
  })

  it('forgets a version that nobody waits for any more', async () => {
    const pool = new FakePool(1)
    const residency = new Residency(pool)
    const running = await pinned(residency, version('one'))
    const gone = residency.acquire(version('two'))
    const stays = residency.acquire(version('three'))
    await settle()
    gone.release()
    await gone.ready
    running.release()
    await stays.ready
    expect(pool.loads).toEqual(['one', 'three'])
  })

  it('tells those who wait when an upload fails, and goes on with the next', async () => {
    const pool = new FakePool(1)
    pool.broken = 'two'
    const residency = new Residency(pool)
    const [two, three] = [version('two'), version('three')]
    const failing = residency.acquire(two)
    const { ready } = residency.acquire(three)
    await expect(failing.ready).rejects.toThrow('broken')
    await ready
    expect([two.slot, three.slot]).toEqual([null, 0])
    failing.release()
    pool.broken = ''
    await settle()
    expect(two.slot).toBeNull()
  })

  it('never moves what is pinned, never exceeds the pool, and serves the oldest first, whatever happens', async () => {
    const action = fc.record({
      kind: fc.constantFrom('acquire', 'acquire', 'pin', 'pin', 'unpin', 'release', 'release'),
      which: fc.nat(30),
      settle: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 150 }), fc.integer({ min: 1, max: 3 }), async (actions, slots) => {
        const pool = new FakePool(slots)
        const residency = new Residency(pool)
        const versions = Array.from({ length: 6 }, (_, i) => version(`a${i}`))
        const leases: { hold: Hold; of: AdapterVersion; slot: number | null }[] = []
        for (const { kind, which, settle: pause } of actions) {
          const of = versions[which % 6]!
          const lease = leases[which % Math.max(1, leases.length)]
          if (kind === 'acquire') leases.push({ hold: residency.acquire(of), of, slot: null })
          else if (kind === 'pin' && lease?.slot === null && lease.hold.slot !== null) {
            lease.hold.pin()
            lease.slot = lease.hold.slot
          } else if (kind === 'unpin' && lease && lease.slot !== null) {
            lease.hold.unpin()
            lease.slot = null
          } else if (kind === 'release' && lease) {
            lease.hold.release()
            leases.splice(leases.indexOf(lease), 1)
          }
          if (pause) await settle()
          for (const { hold, slot } of leases) if (slot !== null) expect(hold.slot).toBe(slot)
          expect(residency.size).toBeLessThanOrEqual(slots)
          for (const one of versions) if (one.slot !== null) expect(pool.resident.get(one.slot)).toBe(one.name)
          // Who waits, waits for what is pinned or older. Leases stand in the order of their age.
          await settle()
          const oldest = leases.find(({ hold }) => hold.slot === null)
          const older = leases.slice(0, leases.indexOf(oldest!))
          const inTheWay = versions.filter(
            (one) =>
              leases.some(({ of: v, slot }) => v === one && slot !== null) || older.some(({ of: v }) => v === one),
          )
          if (oldest) expect(inTheWay.length).toBeGreaterThanOrEqual(slots)
        }
        // As those who have a place go, everybody gets one.
        while (leases.length > 0) {
          const next = leases.find(({ hold }) => hold.slot !== null)
          expect(next, 'nobody has a place').toBeDefined()
          next!.hold.release()
          next!.hold.release()
          leases.splice(leases.indexOf(next!), 1)
          await settle()
        }
      }),
      { seed: 11, numRuns: 200 },
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
    expect(pool.resident.size).toBe(0)
    expect(adapters.remove('one')).toBe(false)
    adapters.add('one', 'a', adapter('x'))
    lease.release() // again: not another's
    expect(adapters.lease('one')).not.toBeNull()
    adapters.add('alias', 'a', adapter('x'))
    expect(pool.loads).toHaveLength(1)
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
