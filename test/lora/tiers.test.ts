/** The three tiers of adapters over a pool and files that do what the test says: budgets, order, failures, what stays. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HostLimits } from '../../src/lora/hostTier.ts'
import { AdapterRegistry, type RegistryLease } from '../../src/lora/registry.ts'
import { bareAdapter, failureOf, ScriptedStore, settle } from '../support/scriptedStore.ts'

/** A pool of so many slots and bytes. */
class FakePool {
  readonly maxSlots: number
  readonly residents = new Map<number, { name: string; bytes: number }>()
  freeBytes: number

  constructor(slots: number, bytes: number) {
    this.maxSlots = slots
    this.freeBytes = bytes
  }

  async load(name: string, { byteLength: bytes }: { byteLength: number }): Promise<number | null> {
    await null
    if (bytes > this.freeBytes) return null
    for (let slot = 0; slot < this.maxSlots; slot++) {
      if (this.residents.has(slot)) continue
      this.freeBytes -= bytes
      this.residents.set(slot, { name, bytes })
      await null
      return slot
    }
    return null
  }

  unload(slot: number): void {
    this.freeBytes += this.bytesOf(slot)
    this.residents.delete(slot)
  }

  bytesOf(slot: number): number {
    return this.residents.get(slot)!.bytes
  }
}

function open(limits: HostLimits, { slots = 2, bytes = 1000 } = {}) {
  const pool = new FakePool(slots, bytes)
  const registry = new AdapterRegistry(pool as never, ['base'], limits)
  const stores = new Map<string, ScriptedStore>()
  /** Registers adapters that came from files, of one byte each unless said otherwise. */
  const put = (digests: string, byteLength = 1): void => {
    for (const digest of digests) {
      const adapter = bareAdapter(digest, byteLength)
      const store = new ScriptedStore(adapter)
      stores.set(digest, store)
      registry.add(digest, store.name, adapter, { store, replace: true })
    }
  }
  const tiers = (): string =>
    registry
      .status()
      .map(({ name, tier, hostBytes }) => name + tier[0] + (hostBytes ? '+' : ''))
      .join(' ')
  const use = async (name: string): Promise<void> => {
    const lease = registry.lease(name)!
    await lease.ready
    lease.release()
  }
  return { pool, registry, stores, put, tiers, use, host: registry.host }
}

describe('host memory', () => {
  it('keeps what was used last of what came from files; what is on the GPU gives up its copy last', async () => {
    const { put, use, tiers, stores } = open({ maxAdapters: 3 })
    put('abc')
    await use('a')
    put('d')
    expect(tiers(), 'b was loaded first of those that nobody used').toBe('ag+ bs ch+ dh+')
    put('ef')
    expect(tiers()).toBe('ag+ bs cs ds eh+ fh+')
    await use('b')
    expect(tiers()).toBe('ag+ bg+ cs ds es fh+')
    await use('c')
    expect(tiers(), 'a made place on the GPU, and kept its copy while f had one').toBe('ah+ bg+ cg+ ds es fs')
    expect([stores.get('a')!.numReads, stores.get('b')!.numReads]).toEqual([0, 1])
  })

  it('keeps what somebody asked to keep after everything else', () => {
    const { put, registry, tiers, stores } = open({ maxAdapters: 2 })
    put('a')
    registry.add('a', 'files', bareAdapter('a'), { replace: true, pinned: true, store: stores.get('a')! })
    put('bcd')
    expect(tiers().split(' ').slice(1)).toEqual(['bs', 'cs', 'dh+'])
    expect(registry.status()[0]!.hostBytes).toBe(1)
  })

  it('keeps what is leased, wherever it is, and gives it up when the last lease ends', async () => {
    const { put, registry, tiers, host } = open({ maxAdapters: 1 })
    put('a')
    const leases = [registry.lease('a')!, registry.lease('a')!]
    await leases[0]!.ready
    put('b')
    expect(tiers()).toBe('ag+ bs')
    leases[0]!.release()
    expect(tiers()).toBe('ag+ bs')
    leases[1]!.release()
    const other = registry.lease('b')!
    await other.ready
    expect(tiers()).toBe('ag bg+')
    expect([host.size, host.bytes]).toEqual([1, 1])
  })

  it('keeps what was given in memory, until every name it was given under is gone', () => {
    const { put, registry, tiers, stores } = open({ maxAdapters: 2 })
    registry.add('a', 'memory', bareAdapter('a'))
    put('bcd')
    expect(tiers()).toBe('ah+ bs cs dh+')
    // The same bytes out of files, under another name: one of the two can be read again, but not for the other.
    registry.add('too', 'files', bareAdapter('a'), { store: new ScriptedStore(bareAdapter('a')) })
    put('e')
    expect(tiers()).toBe('ah+ bs cs ds tooh+ eh+')
    registry.remove('a')
    put('fg')
    expect(tiers()).toBe('bs cs ds toos es fh+ gh+')
    expect(stores.get('b')!.numReads).toBe(0)
  })

  it('refuses what was given in memory where that fills it, and takes what can be read again', () => {
    const { put, registry, host } = open({ maxBytes: 10 })
    registry.add('a', 'memory', bareAdapter('a', 6))
    expect(() => registry.add('b', 'memory', bareAdapter('b', 5))).toThrow(/take 6 of the 10 that --lora-host-memory/)
    put('cd', 4)
    expect(registry.list().map(({ name }) => name)).toEqual(['a', 'c', 'd'])
    expect(host.bytes).toBe(10)
  })
})

describe('reading again', () => {
  it('is shared by all who wait, and ends when none of them does', async () => {
    const { put, registry, stores, tiers, host } = open({ maxAdapters: 1 })
    put('ab')
    const store = stores.get('a')!
    store.isSlow = true
    const leases = [registry.lease('a')!, registry.lease('a')!]
    await settle()
    expect([store.numReads, store.pending.size, leases[0]!.isRead, host.numReads]).toEqual([1, 1, true, 1])
    leases[0]!.release()
    await settle()
    expect(store.pending.size).toBe(1)
    leases[1]!.release()
    await settle()
    expect([store.pending.size, host.numReads, host.bytes]).toEqual([0, 0, 0])
    expect(tiers()).toBe('as bs')
    // And again, for somebody new.
    const late = registry.lease('a')!
    await settle()
    store.finish()
    await late.ready
    expect([tiers(), late.isRead]).toEqual(['ag+ bs', false])
  })

  it('of somebody new does not suffer from one that was given up', async () => {
    const { put, registry, stores } = open({ maxAdapters: 1 })
    put('ab')
    const store = stores.get('a')!
    store.isSlow = true
    const gone = registry.lease('a')!
    await settle()
    gone.release()
    const lease = registry.lease('a')!
    await settle()
    store.finish()
    expect(await failureOf(lease.ready)).toBeNull()
    expect(lease.slot).not.toBeNull()
  })

  it('goes four at a time, the oldest first, ahead of the places on the GPU', async () => {
    const { put, registry, stores, host, tiers } = open({ maxAdapters: 6 }, { slots: 1 })
    put('abcdef')
    put('ghijkl')
    for (const store of stores.values()) store.isSlow = true
    const leases = [...'fedcba'].map((name) => registry.lease(name)!)
    await settle()
    expect([...'abcdef'].map((name) => stores.get(name)!.pending.size)).toEqual([0, 0, 1, 1, 1, 1])
    stores.get('e')!.finish()
    await settle()
    // The only place goes to what is there; the older one takes it when it comes.
    expect(tiers()).toMatch(/ eg\+ fs /)
    expect([stores.get('b')!.pending.size, host.numReads]).toEqual([1, 4])
    stores.get('f')!.finish()
    await settle()
    expect(tiers()).toMatch(/ eh\+ fg\+ /)
    for (const store of stores.values()) store.isSlow = false
    for (const store of stores.values()) store.finish()
    for (const lease of leases) {
      await lease.ready
      lease.pin()
      lease.release()
      await settle()
    }
    expect(host.size).toBeLessThanOrEqual(6)
  })

  it('goes on for what is needed next where leases fill host memory, one at a time', async () => {
    const { put, registry, tiers, host } = open({ maxAdapters: 2 }, { slots: 3 })
    put('abcdef')
    const leases: RegistryLease[] = []
    for (const name of 'abcde') leases.push(registry.lease(name)!)
    await settle()
    // Three have a place; d is next to have one, and e is not.
    expect(tiers()).toBe('ag+ bg+ cg+ dh+ es fs')
    expect(host.size).toBe(4)
    for (const lease of leases) lease.release()
    expect(host.size).toBe(2)
  })

  it.each([
    [
      'changed',
      'adapter_files_changed',
      'Adapter "a" is not in memory, and the files in files of a have changed since it was loaded. Load it again.',
    ],
    [
      'gone',
      'adapter_files_gone',
      'Adapter "a" is not in memory, and its files are gone from files of a. Load it again.',
    ],
    [
      'unreadable',
      'adapter_files_unreadable',
      'Adapter "a" is not in memory, and its files could not be read (too many open files). Load it again.',
    ],
    ['a bug', 'TypeError', 'undefined is not a function'],
  ] as const)(
    'that finds the files %s says so to who waits, and is tried again for the next',
    async (state, code, message) => {
      const { put, registry, stores, tiers, use, host } = open({ maxAdapters: 1 })
      put('ab')
      const store = stores.get('a')!
      store.state = state
      const leases = [registry.lease('a')!, registry.lease('a')!]
      for (const lease of leases) {
        expect(await failureOf(lease.ready)).toEqual({ code, message })
        lease.release()
      }
      await use('b')
      expect([tiers(), host.bytes, registry.status()[0]!.usage.readFailures]).toEqual(['as bg+', 1, 1])
      store.state = 'there'
      await use('a')
      expect(registry.status()[0]).toMatchObject({ tier: 'gpu', usage: { reads: 1, readBytes: 1, drops: 1 } })
    },
  )

  it('tries the files of every name that the bytes have', async () => {
    const { put, registry, stores, use } = open({ maxAdapters: 1 })
    put('a')
    const other = new ScriptedStore(bareAdapter('a'), 'a copy')
    registry.add('copy', other.name, bareAdapter('a'), { store: other })
    put('b')
    stores.get('a')!.state = 'gone'
    await use('a')
    expect(other.numReads).toBe(1)
    put('c')
    await use('b')
    await use('c')
    registry.remove('copy')
    const lease = registry.lease('a')!
    expect(await failureOf(lease.ready)).toMatchObject({ code: 'adapter_files_gone' })
    expect(other.numReads).toBe(1)
  })

  it('goes on for requests whose adapter was unloaded meanwhile', async () => {
    const { put, registry, stores, host, pool } = open({ maxAdapters: 1 })
    put('ab')
    stores.get('a')!.isSlow = true
    const lease = registry.lease('a')!
    await settle()
    const leaving = registry.unload('a')!
    stores.get('a')!.finish()
    await lease.ready
    lease.pin()
    expect(registry.status().at(-1)).toMatchObject({ name: 'a', state: 'leaving', tier: 'gpu' })
    lease.release()
    await leaving.done
    expect([registry.numVersions, pool.residents.size, host.size]).toEqual([1, 0, 0])
  })

  it('leaves nothing behind of an adapter that nobody wants any more while it is uploaded', async () => {
    const { put, registry, pool, host } = open({})
    put('a')
    const lease = registry.lease('a')!
    await null
    lease.release()
    registry.remove('a')
    await settle()
    expect([registry.numVersions, pool.residents.size, host.size]).toEqual([0, 0, 0])
  })

  it('holds bytes for who needs only them, however full it is', async () => {
    const { put, registry, host, tiers } = open({ maxAdapters: 1 })
    put('ab')
    const hold = registry.hold('a')!
    expect((await hold.bytes).digest).toBe('a')
    put('c')
    expect([tiers(), host.size]).toEqual(['ah+ bs cs', 1])
    hold.release()
    hold.release()
    put('d')
    expect(tiers()).toBe('as bs cs dh+')
    expect(registry.hold('nobody')).toBeNull()
  })

  it('ends when the model is closed', async () => {
    const { put, registry, stores } = open({ maxAdapters: 1 })
    put('ab')
    stores.get('a')!.isSlow = true
    const lease = registry.lease('a')!
    await settle()
    registry.close()
    expect(await failureOf(lease.ready)).toMatchObject({ code: 'adapters_closed' })
    await settle()
    expect(stores.get('a')!.pending.size).toBe(0)
  })
})

const action = fc.record({
  kind: fc.constantFrom(
    ...(['lease', 'lease', 'lease', 'pin', 'pin', 'pin', 'unpin', 'release', 'release', 'hold'] as const),
    ...(['add', 'add in memory', 'replace', 'remove', 'break', 'finish', 'finish'] as const),
  ),
  which: fc.nat(1000),
  settle: fc.boolean(),
})
const world = fc.record({
  slots: fc.integer({ min: 1, max: 3 }),
  capacity: fc.integer({ min: 4, max: 9 }),
  maxBytes: fc.integer({ min: 4, max: 12 }),
  maxAdapters: fc.integer({ min: 1, max: 5 }),
})

describe('whatever happens', () => {
  it('budgets hold, nobody is forgotten, who runs stays where it is, and nothing is left at the end', async () => {
    const seen = { reads: 0, failures: 0, evictions: 0, drops: 0, overfull: 0 }
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 160, size: 'max' }),
        world,
        async (actions, { slots, capacity, ...limits }) => {
          const pool = new FakePool(slots, capacity)
          const registry = new AdapterRegistry(pool as never, ['base'], limits)
          const { host } = registry
          const stores: ScriptedStore[] = []
          const leases: { lease: RegistryLease; slot: number | null; told: boolean }[] = []
          const holds: { release(): void }[] = []
          const NAMES = [...'abcdefgh']
          /** Sizes 1 to 4; two names share their bytes. */
          const adapterOf = (which: number) => bareAdapter(`bytes ${which % 7}`, 1 + (which % 4))

          const check = (): void => {
            expect(pool.residents.size).toBeLessThanOrEqual(slots)
            expect(pool.freeBytes).toBeGreaterThanOrEqual(0)
            expect(host.numReads).toBeLessThanOrEqual(4 + holds.length)
            const statuses = new Map(registry.status().map((status) => [status.digest, status]))
            const held = [...statuses.values()].filter(({ hostBytes }) => hostBytes > 0)
            // Bytes that are held may have lost their names.
            if (host.numReads + holds.length === 0) {
              expect(host.size).toBe(held.length)
              expect(host.bytes).toBe(held.reduce((sum, { bytes }) => sum + bytes, 0))
            }
            if (host.bytes > limits.maxBytes || host.size > limits.maxAdapters) {
              seen.overfull++
              // Only by what somebody needs: all that is there is leased, or nowhere else.
              const isNeeded = (digest: string): boolean =>
                holds.length > 0 ||
                leases.some(({ lease }) => lease.digest === digest) ||
                registry.status().some((status) => status.digest === digest && status.root === 'memory')
              for (const { digest } of held) expect(isNeeded(digest), digest).toBe(true)
            }
            for (const { lease, slot } of leases) if (slot !== null) expect(lease.slot).toBe(slot)
          }

          for (const { kind, which, settle: pause } of actions) {
            const name = NAMES[which % NAMES.length]!
            const one = leases[which % Math.max(1, leases.length)]
            if (kind === 'add' || kind === 'replace') {
              const adapter = adapterOf(kind === 'add' ? which : which >> 3)
              const store = new ScriptedStore(adapter)
              store.isSlow = which % 3 === 0
              stores.push(store)
              try {
                registry.add(name, 'files', adapter, { store, replace: kind === 'replace' })
              } catch (error) {
                expect(['adapter_exists', 'adapter_memory_full']).toContain((error as { code: string }).code)
              }
            } else if (kind === 'add in memory') {
              try {
                registry.add(name, 'memory', adapterOf(which))
              } catch (error) {
                expect(['adapter_exists', 'adapter_memory_full']).toContain((error as { code: string }).code)
              }
            } else if (kind === 'remove') registry.remove(name)
            else if (kind === 'break' && stores.length) {
              const store = stores[which % stores.length]!
              store.state = (['there', 'changed', 'gone', 'unreadable'] as const)[which % 4]!
            } else if (kind === 'finish') for (const store of stores) store.finish()
            else if (kind === 'lease') {
              const lease = registry.lease(name)
              if (lease) {
                const entry = { lease, slot: null, told: false }
                lease.ready.catch(() => {
                  entry.told = true
                })
                leases.push(entry)
              }
            } else if (kind === 'hold') {
              const hold = registry.hold(name)
              if (hold) holds.push(hold)
              if (holds.length > 2) holds.shift()!.release()
            } else if (kind === 'pin' && one?.slot === null && one.lease.slot !== null) {
              one.lease.pin()
              one.slot = one.lease.slot
            } else if (kind === 'unpin' && one && one.slot !== null) {
              one.lease.unpin()
              one.slot = null
            } else if (kind === 'release' && one) {
              one.lease.release()
              leases.splice(leases.indexOf(one), 1)
            }
            if (pause) await settle()
            check()
          }

          // Files answer from now on. As those who have a place go, everybody who was not told otherwise gets one.
          for (const hold of holds.splice(0)) hold.release()
          for (const store of stores) store.isSlow = false
          while (leases.length > 0) {
            for (const store of stores) store.finish()
            await settle()
            check()
            const next = leases.find(({ lease, told }) => told || lease.slot !== null)
            expect(next, 'nobody has a place, and nobody was told').toBeDefined()
            next!.lease.release()
            leases.splice(leases.indexOf(next!), 1)
          }
          await settle()
          check()
          for (const { usage } of registry.status()) {
            seen.reads += usage.reads
            seen.failures += usage.readFailures
            seen.drops += usage.drops
            seen.evictions += usage.arrivals
          }
          for (const { name } of registry.list()) registry.remove(name)
          await settle()
          expect([registry.numVersions, registry.status(), pool.residents.size, pool.freeBytes]).toEqual([
            0,
            [],
            0,
            capacity,
          ])
          expect([host.size, host.bytes, host.numReads]).toEqual([0, 0, 0])
        },
      ),
      { seed: 5, numRuns: 120 },
    )
    // The load is one that matters.
    for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(20)
  })
})
