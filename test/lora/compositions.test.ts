/** Compositions that come and go: shared, leased with their parts, dropped with them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AdapterWeight } from '../../src/lora/composition.ts'
import { Compositions } from '../../src/lora/compositions.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { AdapterRegistry, type RegistryLease } from '../../src/lora/registry.ts'
import { ScriptedStore } from '../support/scriptedStore.ts'
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

function open({ slots = 3, bytes = 1e9, limits = {} } = {}) {
  const free = Array.from({ length: slots }, (_, i) => slots - 1 - i)
  const loaded: string[] = []
  const pool = {
    load: async (name: string) => {
      const slot = free.pop() ?? null
      if (slot !== null) loaded.push(name)
      return slot
    },
    unload: (slot: number) => void free.push(slot),
    bytesOf: () => 1,
    freeBytes: bytes,
    maxSlots: slots,
    close: () => {},
  }
  const registry = new AdapterRegistry(pool as never, ['base'], limits)
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
    const one = (await compositions.lease(half('a', 'b')))!
    const other = (await compositions.lease(half('b', 'a')))!
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
    const next = (await compositions.lease(half('a', 'b')))!
    expect(next.slot).toBe(one.slot)
    expect(loaded).toHaveLength(1)
    next.release()
  })

  it('are nothing where one of the parts is not there, and then nothing is held', async () => {
    const { registry, compositions } = open()
    registry.add('a', 'a', adapter('A'))
    expect(await compositions.lease(half('a', 'gone'))).toBeNull()
    expect(registry.status()).toMatchObject([{ leases: 0 }])
    expect(compositions.size).toBe(0)
  })

  it('hold nothing when they are refused', async () => {
    const { registry, compositions } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('dora', 'd', { ...adapter('D'), invocation: [1] })
    for (const ask of [() => compositions.lease(half('a', 'dora')), () => compositions.check(half('dora', 'a'))]) {
      await expect(ask()).rejects.toThrow("The lora adapter 'dora' has an invocation")
    }
    await compositions.check(half('a', 'dora').slice(0, 1))
    expect(registry.status().map(({ leases }) => leases)).toEqual([0, 0])
    expect([compositions.size, registry.residentCount]).toEqual([0, 0])
  })

  it('are refused where the GPU could never hold them', async () => {
    const { registry, compositions } = open({ bytes: 500 })
    for (const name of 'abcd') registry.add(name, name, adapter(name))
    await expect(compositions.lease(half('a', 'b', 'c', 'd'))).rejects.toThrow(
      /takes \d+ bytes on the GPU, which has 500 for/,
    )
    expect(await compositions.lease(half('a', 'b'))).not.toBeNull()
  })

  it('outlive a part that is unloaded until their last lease ends, and the unload waits for it', async () => {
    const { registry, compositions, free } = open()
    registry.add('a', 'a', adapter('A'))
    registry.add('b', 'b', adapter('B'))
    const lease = (await compositions.lease(half('a', 'b')))!
    await lease.ready
    const leaving = registry.unload('a')!
    let isDone = false
    void leaving.done.then(() => {
      isDone = true
    })
    expect(leaving.leases).toBe(1)
    expect(await compositions.lease(half('a', 'b'))).toBeNull()
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
    const first = (await compositions.lease(half('a', 'b')))!
    await first.ready
    first.release()
    expect([compositions.size, registry.residentCount]).toEqual([1, 1])
    registry.add('a', 'a', adapter('A2'), { replace: true })
    expect([compositions.size, registry.residentCount]).toEqual([0, 0])
    const second = (await compositions.lease(half('a', 'b')))!
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

  it('that were let go before they arrived stay as any adapter does, until a part goes', async () => {
    const { registry, compositions, free } = open()
    registry.add('a', 'a', adapter('A'))
    const lease = await compositions.lease(half('a'))
    lease!.release()
    await settle()
    expect([compositions.size, registry.residentCount, free.length]).toEqual([1, 1, 2])
    registry.remove('a')
    expect([compositions.size, registry.residentCount, free.length]).toEqual([0, 0, 3])
  })

  it('that lose a part while they are on their way go when they arrive', async () => {
    const { registry, compositions, free } = open()
    registry.add('a', 'a', adapter('A'))
    const lease = await compositions.lease(half('a'))
    lease!.release()
    registry.remove('a')
    await settle()
    expect([compositions.size, registry.residentCount, registry.numVersions, free.length]).toEqual([0, 0, 0, 3])
  })

  it('read what is not in host memory, and say what became of it where it is gone', async () => {
    const { registry, compositions } = open({ limits: { maxAdapters: 1 } })
    const [a, b] = [new ScriptedStore(adapter('A')), new ScriptedStore(adapter('B'))]
    registry.add('a', 'a', adapter('A'), { store: a })
    registry.add('b', 'b', adapter('B'), { store: b })
    const lease = await compositions.lease(half('a', 'b'))
    await lease!.ready
    expect([a.numReads, b.numReads, registry.host.size]).toEqual([1, 1, 2])
    lease!.release()
    expect(registry.host.size).toBe(1)
    b.state = 'gone'
    a.state = 'gone'
    await expect(compositions.lease(half('a', 'b'))).rejects.toMatchObject({ code: 'adapter_files_gone' })
    expect(registry.status().map(({ leases }) => leases)).toEqual([0, 0])
  })

  it('give way as any adapter does, and are forgotten when they have gone', async () => {
    const { registry, compositions } = open({ slots: 2 })
    for (const name of 'abc') registry.add(name, name, adapter(name))
    for (const pair of [half('a', 'b'), half('b', 'c'), half('a', 'c'), half('a'), half('b')]) {
      const lease = (await compositions.lease(pair))!
      await lease.ready
      expect(registry.residentCount).toBeLessThanOrEqual(2)
      lease.release()
    }
    expect(compositions.size).toBeLessThanOrEqual(3)
    const plans = registry.planRoom('new', 1)
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
            const isMissing = !each.of.every((name) => registry.find(name))
            const lease = await compositions.lease(half(...each.of))
            expect(lease === null).toBe(isMissing)
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
