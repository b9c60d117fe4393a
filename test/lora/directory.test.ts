/** The watched directory without a disk and without waiting: what is there, what becomes of it, what is said. */
import { beforeEach, describe, expect, it } from 'vitest'
import { LoraDirectory, type Subfolder, type Subfolders } from '../../src/lora/directory.ts'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import type { HostLimits } from '../../src/lora/hostTier.ts'
import { AdapterLoader } from '../../src/lora/loader.ts'
import { AdapterRegistry } from '../../src/lora/registry.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { SourceError } from '../../src/weights/source.ts'
import { adapterFolder, BOTH_Q, loraTensors, Q_CONFIG, TINY } from './makeAdapter.ts'

/** A directory in memory; a folder's stamp is its version. */
class FakeDirectory implements Subfolders {
  readonly name = '/adapters'
  readonly folders = new Map<string, { folder: Folder; stamp: string | null }>()
  broken: Error | null = null
  /** Called when a folder is read. */
  onRead: (name: string) => void = () => {}
  #version = 0

  put(name: string, folder: Folder): void {
    this.folders.set(name, { folder, stamp: String(++this.#version) })
  }

  async list(): Promise<readonly Subfolder[]> {
    if (this.broken) throw this.broken
    return Promise.all([...this.folders.keys()].map(async (name) => (await this.look(name))!))
  }

  async look(name: string): Promise<Subfolder | null> {
    const found = this.folders.get(name)
    if (!found) return null
    return { name, stamp: found.stamp, problem: found.stamp === null ? `${name} may not be read` : null }
  }

  folder(name: string): Folder {
    const { folder } = this.folders.get(name)!
    return {
      ...folder,
      name: `/adapters/${name}`,
      open: (path) => {
        this.onRead(name)
        return folder.open(path)
      },
    }
  }
}

/** Adapters of rank `rank` differ in their bytes. */
const valid = (rank = 2): Folder => adapterFolder({ ...Q_CONFIG, r: rank }, loraTensors(BOTH_Q, rank))
const invalid = (): Folder => memoryFolder('made', { 'adapter_config.json': '{"peft_type": "LORA"}' })

let directory: FakeDirectory
let registry: AdapterRegistry
let loader: AdapterLoader
let watched: LoraDirectory
let lines: string[]

beforeEach(() => {
  directory = new FakeDirectory()
  const pool = { freeBytes: 1e9, maxSlots: 4, load: async () => 0, unload: () => {}, close: () => {} }
  registry = new AdapterRegistry(pool as never, ['base'])
  loader = new AdapterLoader({ registry, spec: TINY, maxRank: 64 })
  lines = []
  watched = new LoraDirectory({
    subfolders: directory,
    loader,
    registry,
    log: (level, message) => level !== 'debug' && lines.push(`${level}: ${message}`),
  })
})

const names = (): string[] => registry.list().map(({ name }) => name)
/** So many looks. */
const scan = async (times = 2): Promise<void> => {
  for (let i = 0; i < times; i++) await watched.scan()
}

describe('at the start', () => {
  it('serves what is there at once, and says what it skips', async () => {
    directory.put('pirate', valid())
    directory.put('broken', invalid())
    directory.put('base', valid())
    directory.put('.hidden', valid())
    await watched.open()
    expect(registry.list()).toMatchObject([{ name: 'pirate', root: '/adapters/pirate', origin: 'directory' }])
    expect(lines).toHaveLength(4)
    expect(lines).toContain('warn: skipped base in /adapters: "base" is the name of the base model.')
    expect(lines.at(-1)).toBe('info: 1 adapters from /adapters')
  })

  it('fails when the directory cannot be listed', async () => {
    directory.broken = new SourceError('file_not_found', '/adapters', '/adapters does not exist.')
    await expect(watched.open()).rejects.toThrow('/adapters does not exist.')
  })
})

describe('a folder that', () => {
  it('appears is served when two looks in a row found it the same', async () => {
    await watched.open()
    directory.put('pirate', valid())
    await scan(1)
    expect(names()).toEqual([])
    await scan(1)
    expect(names()).toEqual(['pirate'])
    expect(lines.at(-1)).toBe('info: adapter pirate is served')
  })

  it('is still being copied is left alone, without a word', async () => {
    await watched.open()
    lines.length = 0
    for (let i = 0; i < 5; i++) {
      directory.put('pirate', i < 4 ? invalid() : valid())
      await scan(1)
    }
    expect([names(), lines]).toEqual([[], []])
    await scan(1)
    expect(names()).toEqual(['pirate'])
  })

  it('changes while it is read is not taken for what it was, nor for what it becomes', async () => {
    await watched.open()
    lines.length = 0
    directory.put('pirate', valid(2))
    directory.put('other', valid(2))
    directory.onRead = () => {
      directory.onRead = () => {}
      directory.put('pirate', valid(4))
      directory.put('other', invalid())
    }
    await scan(2)
    expect([names(), lines]).toEqual([[], []])
    await scan(2)
    expect(registry.status()).toMatchObject([{ name: 'pirate', rank: 4 }])
  })

  it('changes is replaced in one stroke; a touch that changes nothing is nothing', async () => {
    directory.put('pirate', valid(2))
    await watched.open()
    const lease = registry.lease('pirate')!
    directory.put('pirate', valid(4))
    await scan()
    expect(registry.find('pirate')!.digest).not.toBe(lease.digest)
    expect(registry.status().map(({ state, rank }) => [state, rank])).toEqual([
      ['loaded', 4],
      ['leaving', 2],
    ])
    expect(lines.at(-1)).toBe('info: adapter pirate was replaced')
    lease.release()
    directory.put('pirate', valid(4))
    await scan()
    expect(registry.status()).toHaveLength(1)
    expect(lines.at(-1)).toBe('info: adapter pirate is as it was')
  })

  it('becomes invalid keeps the adapter it was, says so once, and is tried again when it changes', async () => {
    directory.put('pirate', valid(2))
    await watched.open()
    lines.length = 0
    directory.put('pirate', invalid())
    await scan(6)
    expect(registry.status()).toMatchObject([{ name: 'pirate', rank: 2 }])
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^warn: skipped pirate in \/adapters; it is served as it was before: /)
    directory.put('pirate', valid(4))
    await scan()
    expect(registry.status()).toMatchObject([{ name: 'pirate', rank: 4 }])
  })

  it('is not for this base is tried again only when it changes', async () => {
    let reads = 0
    directory.onRead = () => {
      reads++
    }
    directory.put('pirate', invalid())
    await watched.open()
    await scan(1)
    const before = reads
    await scan(10)
    expect(reads).toBe(before)
    expect(lines.filter((line) => line.startsWith('warn'))).toHaveLength(1)
  })

  it('goes away takes its name with it, while requests finish', async () => {
    directory.put('pirate', valid())
    await watched.open()
    const lease = registry.lease('pirate')!
    directory.folders.delete('pirate')
    await scan(1)
    expect([names(), registry.lease('pirate')]).toEqual([[], null])
    expect(registry.status()).toMatchObject([{ name: 'pirate', state: 'leaving', leases: 1 }])
    lease.release()
    expect(registry.status()).toEqual([])
  })

  it('may not be looked into keeps its adapter, and is said once', async () => {
    directory.put('pirate', valid())
    await watched.open()
    lines.length = 0
    const found = directory.folders.get('pirate')!
    const { stamp } = found
    found.stamp = null
    await scan(4)
    expect([names(), lines.length]).toEqual([['pirate'], 1])
    expect(lines[0]).toContain('pirate may not be read')
    found.stamp = stamp
    await scan(3)
    expect([names(), lines.length]).toEqual([['pirate'], 1])
  })

  it('cannot be read for a moment is tried again though it did not change', async () => {
    await watched.open()
    const folder = valid()
    let isBroken = true
    directory.put('pirate', {
      ...folder,
      open: async (path) => {
        if (isBroken) throw new SourceError('file_unreadable', path, 'too many open files')
        return folder.open(path)
      },
    })
    await scan(5)
    expect(lines.filter((line) => line.includes('too many open files'))).toHaveLength(1)
    isBroken = false
    await scan(1)
    expect(names()).toEqual(['pirate'])
  })
})

describe('beside requests', () => {
  it('an adapter that was unloaded and still lies there comes back at the next look', async () => {
    directory.put('pirate', valid())
    await watched.open()
    await scan(1)
    await loader.unload('pirate')
    expect(names()).toEqual([])
    await scan(1)
    expect(names()).toEqual(['pirate'])
  })

  it('a name that somebody else brought is left to them, until they let go', async () => {
    await loader.load('pirate', valid(4))
    directory.put('pirate', valid(2))
    await watched.open()
    await scan(3)
    expect(registry.status()).toMatchObject([{ rank: 4, origin: 'program' }])
    expect(lines.filter((line) => line.includes('the name belongs to the adapter from made'))).toHaveLength(1)
    directory.folders.delete('pirate')
    await scan(1)
    expect(names()).toEqual(['pirate'])
    directory.put('pirate', valid(2))
    await scan(2)
    await loader.unload('pirate')
    await scan(1)
    expect(registry.status()).toMatchObject([{ rank: 2, origin: 'directory' }])
  })

  it('the last change wins where a request replaced what came from the folder', async () => {
    directory.put('pirate', valid(2))
    await watched.open()
    await loader.load('pirate', valid(4), { replace: true, origin: 'request' })
    await scan(3)
    expect(registry.status()).toMatchObject([{ rank: 4 }])
    directory.put('pirate', valid(8))
    await scan()
    expect(registry.status()).toMatchObject([{ rank: 8, origin: 'directory' }])
  })
})

describe('the directory itself', () => {
  it('that cannot be listed for a while takes nothing away, and is said once', async () => {
    directory.put('pirate', valid())
    await watched.open()
    lines.length = 0
    directory.broken = new SourceError('file_unreadable', '/adapters', 'stale handle')
    await scan(5)
    expect([names(), lines]).toEqual([
      ['pirate'],
      ['warn: the adapter directory cannot be read, its adapters stay: stale handle'],
    ])
    directory.broken = null
    directory.folders.delete('pirate')
    await scan(1)
    expect(names()).toEqual([])
  })

  it('is looked at twice an interval, so that a folder is served within one', async () => {
    interface Wait {
      readonly ms: number
      readonly go: () => void
    }
    // The watcher's waits, each handed to whoever asked for the next.
    let hand: (wait: Wait) => void
    let next = new Promise<Wait>((resolve) => {
      hand = resolve
    })
    let numWaits = 0
    const clock = {
      wait: (ms: number, signal: AbortSignal) =>
        new Promise<void>((resolve) => {
          numWaits++
          hand({ ms, go: resolve })
          signal.addEventListener('abort', () => resolve())
        }),
    }
    await watched.open()
    watched.watch(1000, clock)
    let elapsed = 0
    directory.put('pirate', valid())
    let wait = await next
    while (!names().includes('pirate')) {
      next = new Promise<Wait>((resolve) => {
        hand = resolve
      })
      elapsed += wait.ms
      expect(elapsed).toBeLessThanOrEqual(1000)
      wait.go()
      wait = await next
    }
    expect(elapsed).toBe(1000)
    const before = numWaits
    await watched.close()
    directory.put('tutor', valid())
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    expect([names(), numWaits]).toEqual([['pirate'], before])
  })
})

it('refuses by the loader what would never fit, with its reason', async () => {
  const pool = { freeBytes: 10, maxSlots: 4, load: async () => 0, unload: () => {}, close: () => {} }
  const small = new AdapterLoader({ registry: new AdapterRegistry(pool as never, []), spec: TINY, maxRank: 64 })
  const failing = small.load('pirate', valid())
  await expect(failing).rejects.toThrow(AdapterRefusedError)
  await expect(failing).rejects.toMatchObject({ code: 'adapter_too_large' })
})

describe('host memory', () => {
  const open = (limits: HostLimits) => {
    const pool = { freeBytes: 1e9, maxSlots: 4, load: async () => 0, unload: () => {} }
    const registry = new AdapterRegistry(pool as never, [], limits)
    return { registry, loader: new AdapterLoader({ registry, spec: TINY, maxRank: 64 }) }
  }

  it('that is full of what was given in memory refuses more, by number', async () => {
    const { loader, registry } = open({ maxAdapters: 1 })
    await loader.load('one', valid(2))
    await loader.load('same', valid(2))
    await expect(loader.load('two', valid(4))).rejects.toMatchObject({ code: 'adapter_memory_full', status: 409 })
    await loader.unload('one')
    await loader.unload('same')
    await loader.load('two', valid(4))
    expect(registry.list().map(({ name }) => name)).toEqual(['two'])
  })

  it('that is full of what was given in memory refuses more, by bytes', async () => {
    const { loader, registry } = open({})
    await loader.load('one', valid(2))
    const small = open({ maxBytes: registry.host.bytes * 2 - 1 })
    await small.loader.load('one', valid(2))
    await expect(small.loader.load('two', valid(4))).rejects.toThrow(
      /^The adapter takes \d+ bytes, and those that were given in memory take/,
    )
    await expect(small.loader.load('huge', valid(12))).rejects.toMatchObject({ code: 'adapter_too_large' })
    expect(small.registry.numVersions).toBe(1)
  })

  it('that is full of what came from files gives the oldest up, and reads it again when it is used', async () => {
    const { loader, registry } = open({ maxAdapters: 2 })
    const reads: string[] = []
    const onDisk = (name: string, rank: number): Folder => {
      const { isInMemory: _, ...folder } = valid(rank)
      const open = (path: string) => {
        reads.push(`${name}/${path}`)
        return folder.open(path)
      }
      return { ...folder, name, open }
    }
    for (const [i, name] of ['one', 'two', 'three'].entries()) await loader.load(name, onDisk(name, 2 * i + 2))
    const tiers = () => registry.status().map(({ tier, hostBytes }) => [tier, hostBytes > 0])
    expect(tiers()).toEqual([
      ['store', false],
      ['host', true],
      ['host', true],
    ])
    reads.length = 0
    const lease = registry.lease('one')!
    expect([lease.slot, lease.isRead]).toEqual([null, true])
    await lease.ready
    expect(reads).toEqual(['one/adapter_config.json', 'one/adapter_model.safetensors'])
    expect(tiers()[0]).toEqual(['gpu', true])
    expect(registry.host.size).toBe(2)
  })
})
