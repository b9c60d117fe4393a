/** Names over versions: replacing, unloading while in use, and what is said about it all. */
import { describe, expect, it } from 'vitest'
import { AdapterExistsError, AdapterNameError, TooManyPinnedError } from '../../src/lora/names.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { AdapterRegistry } from '../../src/lora/registry.ts'

const adapter = (digest: string): NormalAdapter => ({ digest, modules: [], maxRank: 8, byteLength: 100 })

/** A pool of so many slots, each as large as any adapter. */
function fakePool(slots: number) {
  const free = Array.from({ length: slots }, (_, i) => slots - 1 - i)
  return {
    free,
    load: async () => free.pop() ?? null,
    unload: (slot: number) => void free.push(slot),
    freeBytes: 1e9,
    maxSlots: slots,
    close: () => {},
  }
}

function open(slots = 2) {
  const pool = fakePool(slots)
  return { pool, registry: new AdapterRegistry(pool as never, ['base']) }
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await null
}

describe('replacing', () => {
  it('moves the name at once; old leases keep the old bytes until they end', async () => {
    const { pool, registry } = open()
    registry.add('voice', 'a', adapter('old'))
    const old = registry.lease('voice')!
    await old.ready
    registry.add('voice', 'b', adapter('new'), { replace: true })
    const young = registry.lease('voice')!
    await young.ready
    expect([old.digest, young.digest]).toEqual(['old', 'new'])
    expect(old.slot).not.toBe(young.slot)
    expect(registry.list().map(({ root, digest }) => [root, digest])).toEqual([['b', 'new']])
    expect(registry.status().map(({ digest, state, leases }) => [digest, state, leases])).toEqual([
      ['new', 'loaded', 1],
      ['old', 'leaving', 1],
    ])
    old.release()
    expect(registry.status()).toHaveLength(1)
    expect(pool.free).toHaveLength(1)
  })

  it('by the same bytes leaves them where they are', async () => {
    const { registry } = open()
    registry.add('voice', 'a', adapter('same'))
    const lease = registry.lease('voice')!
    await lease.ready
    lease.release()
    registry.add('voice', 'b', adapter('same'), { replace: true })
    const [status] = registry.status()
    expect(status).toMatchObject({ root: 'b', tier: 'gpu', requests: 1, leases: 0, state: 'loaded' })
    expect(registry.lease('voice')!.slot).toBe(lease.slot)
  })

  it('must be asked for, and never takes a name of the base', () => {
    const { registry } = open()
    registry.add('voice', 'a', adapter('x'))
    expect(() => registry.add('voice', 'b', adapter('y'))).toThrow(AdapterExistsError)
    expect(() => registry.add('base', 'b', adapter('y'), { replace: true })).toThrow(AdapterNameError)
    expect(registry.find('voice')).toMatchObject({ root: 'a', origin: 'program' })
  })
})

describe('unloading', () => {
  it('takes the name at once, and is done when the last lease under it has ended', async () => {
    const { pool, registry } = open()
    registry.add('voice', 'a', adapter('x'))
    const leases = [registry.lease('voice')!, registry.lease('voice')!]
    await leases[0]!.ready
    const leaving = registry.unload('voice')!
    let isDone = false
    void leaving.done.then(() => {
      isDone = true
    })
    expect(leaving).toMatchObject({ leases: 2, record: { name: 'voice' } })
    expect([registry.find('voice'), registry.lease('voice'), registry.list()]).toEqual([null, null, []])
    leases[0]!.release()
    await settle()
    expect([isDone, pool.free.length]).toEqual([false, 1])
    leases[1]!.release()
    await settle()
    expect([isDone, pool.free.length]).toEqual([true, 2])
    expect(registry.status()).toEqual([])
    expect(registry.unload('voice')).toBeNull()
  })

  it('waits for nobody who holds the same bytes by another name', async () => {
    const { pool, registry } = open()
    registry.add('one', 'a', adapter('same'))
    registry.add('two', 'b', adapter('same'))
    const lease = registry.lease('two')!
    await lease.ready
    const leaving = registry.unload('one')!
    await leaving.done
    expect(leaving.leases).toBe(0)
    expect(pool.free).toHaveLength(1)
    registry.unload('two')
    lease.release()
    expect(pool.free).toHaveLength(2)
  })

  it('lets the name be given again while the old bytes are in use', async () => {
    const { registry } = open()
    registry.add('voice', 'a', adapter('old'))
    const old = registry.lease('voice')!
    const leaving = registry.unload('voice')!
    registry.add('voice', 'b', adapter('new'))
    expect(registry.lease('voice')!.digest).toBe('new')
    old.release()
    await leaving.done
    expect(registry.find('voice')!.digest).toBe('new')
  })
})

describe('the books', () => {
  it('count generations by name, hits, misses and evictions by bytes', async () => {
    const { registry } = open(1)
    registry.add('one', 'a', adapter('x'))
    registry.add('two', 'b', adapter('y'))
    for (const name of ['one', 'one', 'two', 'one']) {
      const lease = registry.lease(name)!
      await lease.ready
      await settle()
      lease.release()
    }
    const [one, two] = registry.status()
    expect(one).toMatchObject({ tier: 'gpu', requests: 3, evictions: 1, usage: { hits: 1, misses: 2, arrivals: 2 } })
    expect(two).toMatchObject({ tier: 'host', requests: 1, evictions: 1, usage: { hits: 0, misses: 1, arrivals: 1 } })
    expect(one!.usage.lastArrivalMs).toBeGreaterThanOrEqual(0)
    expect(one!.usage.lastArrivalAt).toBeGreaterThan(1_600_000_000)
  })

  it('count an arrival once, however many wait for it', async () => {
    const { registry } = open()
    registry.add('one', 'a', adapter('x'))
    const leases = [1, 2, 3].map(() => registry.lease('one')!)
    await Promise.all(leases.map(({ ready }) => ready))
    await settle()
    expect(registry.status()[0]!.usage).toMatchObject({ hits: 0, misses: 3, arrivals: 1 })
  })
})

describe('pinning', () => {
  it('brings it to the GPU at once, and lets the others leave first', async () => {
    const { registry } = open(2)
    registry.add('kept', 'a', adapter('k'), { pinned: true })
    await settle()
    const tiers = () => registry.status().map(({ name, tier }) => `${name} ${tier}`)
    expect(tiers()).toEqual(['kept gpu'])
    for (const name of ['one', 'two', 'one', 'two']) {
      if (!registry.find(name)) registry.add(name, name, adapter(name))
      const lease = registry.lease(name)!
      await lease.ready
      lease.release()
      expect(tiers()[0]).toBe('kept gpu')
    }
  })

  it('keeps nobody out: where nothing else can leave, it does', async () => {
    const { registry } = open(2)
    registry.add('kept', 'a', adapter('k'), { pinned: true })
    registry.add('one', 'b', adapter('x'))
    registry.add('two', 'c', adapter('y'))
    const one = registry.lease('one')!
    await one.ready
    one.pin()
    const two = registry.lease('two')!
    await two.ready
    expect([one.slot, two.slot].every((slot) => slot !== null)).toBe(true)
    expect(registry.status()[0]).toMatchObject({ name: 'kept', tier: 'host' })
  })

  it('of every place is refused; of the same bytes twice is one', () => {
    const { registry } = open(2)
    registry.add('one', 'a', adapter('x'), { pinned: true })
    registry.add('same', 'a', adapter('x'), { pinned: true })
    expect(() => registry.add('two', 'b', adapter('y'), { pinned: true })).toThrow(TooManyPinnedError)
    expect(registry.find('two')).toBeNull()
    // What replaces a pinned adapter is pinned in its place.
    expect(registry.add('one', 'b', adapter('z'), { replace: true, pinned: false }).pinned).toBe(false)
    expect(registry.add('same', 'b', adapter('y'), { replace: true }).pinned).toBe(true)
  })

  it('ends with the name', async () => {
    const { pool, registry } = open(2)
    registry.add('kept', 'a', adapter('k'), { pinned: true })
    await settle()
    registry.unload('kept')
    expect(pool.free).toHaveLength(2)
    // Also when it has not arrived yet.
    registry.add('kept', 'a', adapter('k'), { pinned: true })
    registry.unload('kept')
    await settle()
    expect(pool.free).toHaveLength(2)
    registry.add('kept', 'a', adapter('k'))
    registry.add('one', 'b', adapter('x'))
    registry.add('two', 'c', adapter('y'))
    for (const name of ['kept', 'one', 'two']) {
      const lease = registry.lease(name)!
      await lease.ready
      lease.release()
    }
    expect(registry.status().map(({ tier }) => tier)).toEqual(['host', 'gpu', 'gpu'])
  })
})
