/** Compositions that come and go: shared, leased with their parts, dropped with them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AdapterWeight } from '../../src/lora/composition.ts'
import { Compositions } from '../../src/lora/compositions.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { AdapterRegistry, type RegistryLease } from '../../src/lora/registry.ts'
import { TINY } from './makeAdapter.ts'

function adapter(digest: string): NormalAdapter {
  const { hiddenSize } = TINY
  const tensor = (shape: readonly [number, number]) => {
    return { dtype: 'F32', shape, bytes: new Uint8Array(shape[0] * shape[1] * 4) } as const
  }
  const a = tensor([2, hiddenSize])
  const b = tensor([hiddenSize, 2])
  return { digest, modules: [{ layer: 0, projection: 'q', rank: 2, scale: 1, a, b }], maxRank: 2, byteLength: 128 }
}

function open({ slots = 3, bytes = 1e9 } = {}) {
  const free = Array.from({ length: slots }, (_, i) => slots - 1 - i)
  const loaded: string[] = []
  const pool = {
    load: async (name: string) => {
      const slot = free.pop() ?? null
      if (slot !== null) loaded.push(name)
      return slot
    },
    unload: (slot: number) => void free.push(slot),
    freeBytes: bytes,
    maxSlots: slots,
    close: () => {},
  }
  const registry = new AdapterRegistry(pool as never, ['base'])
  const compositions = new Compositions({ registry, spec: TINY, maxRank: 8 })
  return { registry, compositions, free, loaded }
}

const settle = async () => {
  for (let i = 0; i < 40; i++) await null
}
const half = (...names: readonly string[]): AdapterWeight[] => names.map((name) => ({ name, scale: 0.5 }))

describe('Compositions', () => {
  it('are made once for all who ask for the same, in whatever order', async () => {
    const { registry, compositions, loaded } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('b', 'b', adapter('B'))
    const one = compositions.lease(half('a', 'b'))!
    const other = compositions.lease(half('b', 'a'))!
    await Promise.all([one.ready, other.ready])
    expect(loaded).toEqual(['a:0.5+b:0.5'])
    expect([one.slot, one.digest]).toEqual([other.slot, other.digest])
    expect(compositions.size).toBe(1)
    // Its parts are leased by each of them, and need not be on the GPU for it.
    expect(registry.status()).toMatchObject([
      { name: 'a', leases: 2, requests: 2, tier: 'host' },
      { name: 'b', leases: 2, requests: 2, tier: 'host' },
    ])
    one.release()
    one.release()
    other.release()
    expect(registry.status().map(({ leases }) => leases)).toEqual([0, 0])
    // It stays where it is for the next.
    const next = compositions.lease(half('a', 'b'))!
    expect(next.slot).toBe(one.slot)
    expect(loaded).toHaveLength(1)
    next.release()
  })

  it('are nothing where one of the parts is not there, and then nothing is held', () => {
    const { registry, compositions } = open()
    registry.add('a', 'a', adapter('A'))
    expect(compositions.lease(half('a', 'gone'))).toBeNull()
    expect(registry.status()).toMatchObject([{ leases: 0 }])
    expect(compositions.size).toBe(0)
  })

  it('hold nothing when they are refused', () => {
    const { registry, compositions } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('dora', 'd', { ...adapter('D'), invocation: [1] })
    for (const ask of [() => compositions.lease(half('a', 'dora')), () => compositions.check(half('dora', 'a'))]) {
      expect(ask).toThrow("The lora adapter 'dora' has an invocation")
    }
    expect(() => compositions.check(half('a', 'dora').slice(0, 1))).not.toThrow()
    expect(registry.status().map(({ leases }) => leases)).toEqual([0, 0])
    expect([compositions.size, registry.residentCount]).toEqual([0, 0])
  })

  it('are refused where the GPU could never hold them', () => {
    const { registry, compositions } = open({ bytes: 500 })
    for (const name of 'abcd') registry.add(name, name, adapter(name))
    expect(() => compositions.lease(half('a', 'b', 'c', 'd'))).toThrow(/takes \d+ bytes on the GPU, which has 500 for/)
    expect(compositions.lease(half('a', 'b'))).not.toBeNull()
  })

  it('outlive a part that is unloaded until their last lease ends, and the unload waits for it', async () => {
    const { registry, compositions, free } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('b', 'b', adapter('B'))
    const lease = compositions.lease(half('a', 'b'))!
    await lease.ready
    const leaving = registry.unload('a')!
    let isDone = false
    void leaving.done.then(() => {
      isDone = true
    })
    expect(leaving.leases).toBe(1)
    expect(compositions.lease(half('a', 'b'))).toBeNull()
    expect(registry.holds('A')).toBe(true)
    await settle()
    expect([isDone, lease.slot]).toEqual([false, 0])
    lease.release()
    await settle()
    expect(isDone).toBe(true)
    expect([compositions.size, registry.residentCount, free.length]).toEqual([0, 0, 3])
    expect([registry.holds('A'), registry.holds('B')]).toEqual([false, true])
  })

  it('go with a part that is unloaded or replaced when nobody leases them', async () => {
    const { registry, compositions } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('b', 'b', adapter('B'))
    const first = compositions.lease(half('a', 'b'))!
    await first.ready
    first.release()
    expect([compositions.size, registry.residentCount]).toEqual([1, 1])
    registry.add('a', 'a', adapter('A2'), { replace: true })
    expect([compositions.size, registry.residentCount]).toEqual([0, 0])
    const second = compositions.lease(half('a', 'b'))!
    expect(second.digest).not.toBe(first.digest)
    await second.ready
    second.release()
    // The same bytes under another name: they can still be asked for.
    registry.add('again', 'a', adapter('A2'))
    registry.remove('a')
    expect(compositions.size).toBe(1)
    registry.remove('again')
    expect([compositions.size, registry.residentCount]).toEqual([0, 0])
  })

  it('go when they were let go before they arrived', async () => {
    const { registry, compositions, free } = open()
    registry.add('a', 'a', adapter('A'))
    compositions.lease(half('a'))!.release()
    await settle()
    expect([compositions.size, registry.residentCount, free.length]).toEqual([0, 0, 3])
  })

  it('give way as any adapter does, and are forgotten when they have gone', async () => {
    const { registry, compositions } = open({ slots: 2 })
    for (const name of 'abc') registry.add(name, name, adapter(name))
    for (const pair of [half('a', 'b'), half('b', 'c'), half('a', 'c'), half('a'), half('b')]) {
      const lease = compositions.lease(pair)!
      await lease.ready
      expect(registry.residentCount).toBeLessThanOrEqual(2)
      lease.release()
    }
    expect(compositions.size).toBeLessThanOrEqual(3)
    const plans = registry.planRoom(adapter('new'), () => 1)
    expect(plans).toEqual({ evicts: [['a:0.5']], waits: false })
  })

  it('leave nothing behind, whatever comes in whatever order', async () => {
    const names = ['a', 'b', 'c']
    const action = fc.oneof(
      fc.record({
        kind: fc.constant('lease' as const),
        of: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1 }),
      }),
      fc.record({ kind: fc.constant('release' as const), of: fc.nat(5) }),
      fc.record({ kind: fc.constant('replace' as const), of: fc.constantFrom(...names) }),
      fc.record({ kind: fc.constant('unload' as const), of: fc.constantFrom(...names) }),
      fc.record({ kind: fc.constant('wait' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const { registry, compositions, free } = open({ slots: 2 })
        let made = 0
        const leases: RegistryLease[] = []
        for (const each of actions) {
          if (each.kind === 'lease') {
            const lease = compositions.lease(half(...each.of))
            expect(lease === null).toBe(!each.of.every((name) => registry.find(name)))
            if (lease) leases.push(lease)
          } else if (each.kind === 'release') leases.splice(each.of, 1)[0]?.release()
          else if (each.kind === 'replace') registry.add(each.of, '', adapter(`${each.of}${made++}`), { replace: true })
          else if (each.kind === 'unload') registry.remove(each.of)
          else await settle()
          expect(registry.residentCount + free.length).toBeLessThanOrEqual(2)
        }
        for (const lease of leases) lease.release()
        for (const name of names) registry.remove(name)
        await settle()
        expect([compositions.size, registry.numVersions, registry.residentCount]).toEqual([0, 0, 0])
        expect(registry.status()).toEqual([])
        expect(free).toHaveLength(2)
      }),
      { numRuns: 300 },
    )
  })
})
