/** Files kept in OPFS: downloaded once, read while they come, resumed, shared by tabs, there without a network, in bounds. */
import fc from 'fast-check'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { CachedFolder, type CachePlace, type FileProgress } from '../../../src/hosts/browser/cache/cachedFolder.ts'
import { ModelCache } from '../../../src/hosts/browser/cache/modelCache.ts'
import { CacheFullError } from '../../../src/hosts/browser/cache/place.ts'
import { FakeDirectory, type FakeDisk } from '../../support/fakeFileSystem.ts'
import { type FakeContext, FakeLocks } from '../../support/fakeLocks.ts'
import { FileServer } from '../../support/fileServer.ts'

// What hangs here is a bug, not a slow device.
vi.setConfig({ testTimeout: 20_000 })

const SIZE = 1000

let server: FileServer
let disk: FakeDisk
let root: FakeDirectory
let locks: FakeLocks

beforeEach(() => {
  server = new FileServer()
  disk = { capacity: Number.POSITIVE_INFINITY }
  root = new FakeDirectory('', disk)
  locks = new FakeLocks()
})

/** A tab of this browser. */
function place(context: FakeContext = locks.context(), more: Partial<CachePlace> = {}): CachePlace {
  return {
    root: root.handle,
    locks: context,
    fetch: server.fetch,
    estimate: async () => ({}),
    isOnline: () => true,
    backoffMs: 0,
    checkpointBytes: 100,
    ...more,
  }
}

async function open(more: Partial<CachePlace> = {}, seen: FileProgress[] = []): Promise<CachedFolder> {
  return await CachedFolder.open(server.base, place(undefined, more), (progress) => seen.push(progress))
}

async function readAll(folder: CachedFolder, path: string): Promise<Uint8Array> {
  const source = await folder.open(path)
  try {
    return await source.read(0, source.size)
  } finally {
    await source.close()
  }
}

/** Reads a file in a visit of its own. */
async function visit(path: string, more: Partial<CachePlace> = {}): Promise<Uint8Array> {
  const folder = await open(more)
  try {
    return await readAll(folder, path)
  } finally {
    await folder.complete()
  }
}

describe('a folder at an address', () => {
  it('is downloaded once, and then asked only whether it has changed', async () => {
    const bytes = server.put('a/model.bin', SIZE)
    expect(await visit('a/model.bin')).toEqual(bytes)
    expect(server.takeRequests()).toEqual(['GET a/model.bin bytes=0-'])
    expect(await visit('a/model.bin')).toEqual(bytes)
    expect(server.takeRequests()).toEqual(['HEAD a/model.bin'])
  })

  it('is there without a network, also what is known not to be there', async () => {
    const bytes = server.put('a', SIZE)
    await visit('a')
    await expect(visit('b')).rejects.toMatchObject({ code: 'file_not_found' })
    server.takeRequests()
    server.isOnline = false
    const folder = await open()
    expect(await readAll(folder, 'a')).toEqual(bytes)
    await expect(folder.open('b')).rejects.toMatchObject({ code: 'file_not_found' })
    // The first question that gets no answer is the last.
    expect(server.takeRequests()).toEqual(['HEAD a'])
    await expect(folder.open('never seen')).rejects.toMatchObject({ code: 'file_unreadable' })
    await folder.complete()
    await visit('a', { isOnline: () => false })
    expect(server.takeRequests().filter((line) => line.startsWith('HEAD'))).toEqual([])
  })

  it('does not wait for an address that does not answer', async () => {
    const bytes = server.put('a', SIZE)
    await visit('a')
    const silent: CachePlace['fetch'] = (_, { signal }) =>
      new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)))
    expect(await visit('a', { fetch: silent, revalidateMs: 1 })).toEqual(bytes)
  })

  it('fetches a file that has changed, or has come to be, and forgets one that has gone', async () => {
    server.put('a', SIZE)
    await visit('a')
    await expect(visit('b')).rejects.toMatchObject({ code: 'file_not_found' })
    const next = server.put('a', SIZE - 1, 2)
    const made = server.put('b', 5)
    expect(await visit('a')).toEqual(next)
    expect(await visit('b')).toEqual(made)
    expect(root.bytes).toBeLessThan(SIZE + 1000) // the old bytes are gone
    server.files.delete('a')
    await expect(visit('a')).rejects.toMatchObject({ code: 'file_not_found' })
    server.isOnline = false
    await expect(visit('a')).rejects.toMatchObject({ code: 'file_not_found' })
  })

  it('takes tags of compressed answers for what they are', async () => {
    const bytes = server.put('a', SIZE)
    await visit('a')
    for (const etag of ['W/"a-1"', '"a-1-gzip"']) {
      server.files.set('a', { bytes: bytes as Uint8Array<ArrayBuffer>, etag })
      server.takeRequests()
      expect(await visit('a')).toEqual(bytes)
      expect(server.takeRequests()).toEqual(['HEAD a'])
    }
  })

  it('can be read while it comes, and is never ahead of what has come', async () => {
    const bytes = server.put('a', SIZE)
    let go = (): void => {}
    let held = new Promise<void>((resolve) => {
      go = resolve
    })
    server.onPiece = (_, sent) => (sent >= 500 ? held : undefined)
    const folder = await open()
    const source = await folder.open('a')
    expect(source.size).toBe(SIZE)
    expect(await source.read(100, 300)).toEqual(bytes.subarray(100, 400))
    let isThere = false
    const late = source.read(450, 100).then((read) => {
      isThere = true
      return read
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(isThere).toBe(false)
    held = Promise.resolve()
    go()
    expect(await late).toEqual(bytes.subarray(450, 550))
    await folder.complete()
    expect(await source.read(0, SIZE)).toEqual(bytes) // the download is over; this comes from disk
    await source.close()
  })

  it('tells its progress in bytes', async () => {
    server.put('a', 20)
    const seen: FileProgress[] = []
    const folder = await open({}, seen)
    await readAll(folder, 'a')
    await folder.complete()
    expect(seen.map(({ loadedBytes, totalBytes }) => [loadedBytes, totalBytes])).toEqual([
      [7, 20],
      [14, 20],
      [20, 20],
    ])
  })

  it('takes a file whole from a server without ranges', async () => {
    const bytes = server.put('a', SIZE)
    server.answersRanges = false
    expect(await visit('a')).toEqual(bytes)
    server.isOnline = false
    expect(await visit('a')).toEqual(bytes)
  })

  it('keeps an empty file', async () => {
    server.put('a', 0)
    expect(await visit('a')).toHaveLength(0)
    server.isOnline = false
    expect(await visit('a')).toHaveLength(0)
  })

  it('refuses paths that leave it', async () => {
    const folder = await open()
    await expect(folder.open('../a')).rejects.toMatchObject({ code: 'path_refused' })
    await folder.complete()
  })

  it('reads the right bytes, whatever breaks off when and whatever is read in which order', async () => {
    const breaks = fc.array(fc.nat(400), { maxLength: 6 })
    const reads = fc.array(fc.tuple(fc.nat(SIZE), fc.nat(SIZE)), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(breaks, reads, fc.integer({ min: 1, max: 90 }), async (after, wanted, pieceBytes) => {
        root = new FakeDirectory('', disk)
        server.pieceBytes = pieceBytes
        const bytes = server.put('a', SIZE)
        const left = [...after]
        server.onPiece = (_, sent) => {
          if (left[0] === undefined || sent < left[0]) return
          left.shift()
          throw new TypeError('network error')
        }
        const folder = await open({ retries: 10 })
        const source = await folder.open('a')
        await Promise.all(
          wanted.map(async ([one, other]) => {
            const [from, to] = [Math.min(one, other), Math.max(one, other)]
            expect(await source.read(from, to - from)).toEqual(bytes.subarray(from, to))
          }),
        )
        await source.close()
        await folder.complete()
        server.onPiece = () => {}
        server.takeRequests()
        expect(await visit('a')).toEqual(bytes)
        expect(server.takeRequests()).toEqual(['HEAD a'])
      }),
      { numRuns: 50 },
    )
  })
})

describe('a download that is cut off', () => {
  /** Lets `bytes` come, then calls `cut`, and waits for nothing more. */
  function cutAfter(bytes: number, cut: () => void): void {
    server.onPiece = (_, sent) => {
      if (sent < bytes) return
      server.onPiece = () => {}
      cut()
      throw new TypeError('network error')
    }
  }

  it('goes on from where it was when its loading was given up', async () => {
    const bytes = server.put('a', SIZE)
    const folder = await open()
    const stop = new AbortController()
    cutAfter(350, () => stop.abort())
    const source = await folder.open('a')
    await expect(source.read(0, SIZE, stop.signal)).rejects.toMatchObject({ name: 'AbortError' })
    await source.close()
    await folder.abandon()
    const [kept] = await new ModelCache(async () => root.handle, null).list()
    expect(kept).toMatchObject({ isComplete: false, totalBytes: SIZE })
    server.takeRequests()
    expect(await visit('a')).toEqual(bytes)
    expect(server.takeRequests()).toEqual([`GET a bytes=${kept!.bytes}-`])
    expect(kept!.bytes).toBeGreaterThanOrEqual(350)
  })

  it('goes on from the last checkpoint when its tab was closed', async () => {
    const bytes = server.put('a', SIZE)
    const tab = locks.context()
    const folder = await CachedFolder.open(server.base, place(tab))
    const closed = new Promise<void>((resolve) => {
      server.onPiece = (_, sent) => {
        if (sent < 350) return
        resolve()
        return new Promise<void>(() => {})
      }
    })
    await folder.open('a')
    await closed
    tab.die()
    root.closeWriters()
    server.onPiece = () => {}
    server.takeRequests()
    expect(await visit('a')).toEqual(bytes)
    const [line] = server.takeRequests()
    // A checkpoint each 100 bytes, at the end of a piece of 7.
    expect(line).toBe('GET a bytes=315-')
  })

  it('begins anew when the file is another by then', async () => {
    server.put('a', SIZE)
    const folder = await open()
    cutAfter(350, () => void folder.abandon())
    await folder.open('a').catch(() => {})
    await folder.abandon()
    const next = server.put('a', SIZE, 2)
    server.takeRequests()
    expect(await visit('a')).toEqual(next)
    expect(server.takeRequests().map((line) => line.replace(/=\d+/, '=n'))).toEqual([
      'GET a bytes=n-',
      'GET a bytes=n-',
    ])
  })

  it('is an error when the file changes under its reader, and no mixture', async () => {
    server.put('a', SIZE)
    cutAfter(350, () => server.put('a', SIZE, 2))
    const folder = await open()
    const source = await folder.open('a')
    await expect(source.read(0, SIZE)).rejects.toMatchObject({ code: 'file_unreadable' })
    await source.close()
    await folder.abandon()
    const next = server.files.get('a')!.bytes
    expect(await visit('a')).toEqual(next)
  })

  it('is an error after as many tries as it may have', async () => {
    server.put('a', SIZE)
    server.onPiece = () => {
      throw new TypeError('network error')
    }
    await expect(visit('a', { retries: 2 })).rejects.toThrow(/3 tries/)
    expect(server.takeRequests()).toHaveLength(3)
  })

  it('ends when its reader is aborted', async () => {
    server.put('a', SIZE)
    server.onPiece = () => new Promise(() => {})
    const folder = await open()
    const source = await folder.open('a')
    const stop = new AbortController()
    const reading = source.read(0, 10, stop.signal)
    stop.abort()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await source.close()
  })
})

describe('several tabs', () => {
  it('download a file once, and the others wait', async () => {
    const bytes = server.put('a', SIZE)
    const seen: FileProgress[] = []
    const [one, two] = [await open(), await open({}, seen)]
    const reads = await Promise.all([readAll(one, 'a'), readAll(two, 'a')])
    expect(reads).toEqual([bytes, bytes])
    expect(server.takeRequests().filter((line) => line.startsWith('GET'))).toEqual(['GET a bytes=0-'])
    expect(seen).toEqual([{ phase: 'wait', file: 'a', loadedBytes: 0, totalBytes: 0 }])
    await Promise.all([one.complete(), two.complete()])
  })

  it('take a download over from one that was closed', async () => {
    const bytes = server.put('a', SIZE)
    const tab = locks.context()
    const first = await CachedFolder.open(server.base, place(tab))
    const closed = new Promise<void>((resolve) => {
      server.onPiece = (_, sent) => {
        if (sent < 350) return
        resolve()
        return new Promise<void>(() => {})
      }
    })
    await first.open('a')
    const reading = visit('a')
    await closed
    server.onPiece = () => {}
    root.closeWriters()
    tab.die()
    expect(await reading).toEqual(bytes)
  })

  it('share a download within one', async () => {
    const bytes = server.put('a', SIZE)
    const folder = await open()
    expect(await folder.has('a')).toBe(true)
    expect(await Promise.all([readAll(folder, 'a'), readAll(folder, 'a')])).toEqual([bytes, bytes])
    expect(server.takeRequests()).toEqual(['GET a bytes=0-'])
    await folder.complete()
  })
})

describe('room', () => {
  const MIB = 1 << 20
  /** A browser that gives this origin so many bytes beyond what is always left free. */
  const roomFor = (bytes: number): Partial<CachePlace> => ({
    estimate: async () => ({ usage: root.bytes, quota: bytes + MIB }),
  })

  async function keep(url: string, path: string, more: Partial<CachePlace>): Promise<CachedFolder> {
    server.takeRequests()
    const fetch: CachePlace['fetch'] = (address, init) => server.fetch(server.base + address.slice(url.length), init)
    const folder = await CachedFolder.open(url, { ...place(), ...more, fetch })
    await readAll(folder, path)
    return folder
  }

  it('is made by letting go of what was used longest ago, and nothing that is in use', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1000 })
    try {
      server.put('big', 4000)
      const more = roomFor(14_000)
      const inUse = await keep('https://a.example/0/', 'big', more)
      for (const name of ['1', '2']) {
        vi.advanceTimersByTime(1000)
        await (await keep(`https://a.example/${name}/`, 'big', more)).complete()
      }
      vi.advanceTimersByTime(1000)
      await (await keep('https://a.example/3/', 'big', more)).complete()
      await inUse.complete()
      const cache = new ModelCache(async () => root.handle, locks.context())
      expect((await cache.list()).map(({ url }) => url)).toEqual([
        'https://a.example/3/',
        'https://a.example/2/',
        'https://a.example/0/',
      ])
    } finally {
      vi.useRealTimers()
    }
  })

  it('that cannot be made is an error with the bytes, before any is fetched', async () => {
    server.put('a', SIZE)
    const error = await visit('a', roomFor(400)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CacheFullError)
    expect(error).toMatchObject({ code: 'cache_full', status: 507, neededBytes: SIZE })
    expect((error as CacheFullError).availableBytes).toBeLessThanOrEqual(400)
    expect((error as Error).message).toContain('https://files.example/model/a')
  })

  it('that runs out on the way is the same error, and what has come is kept', async () => {
    server.put('a', SIZE)
    const folder = await open()
    const source = await folder.open('a')
    disk.capacity = root.bytes + 300
    await expect(source.read(0, SIZE)).rejects.toBeInstanceOf(CacheFullError)
    await source.close()
    await folder.abandon()
    disk.capacity = Number.POSITIVE_INFINITY
    server.takeRequests()
    await visit('a')
    expect(server.takeRequests()[0]).toMatch(/^GET a bytes=[1-9]/)
  })
})

describe('what is kept', () => {
  it('is listed, counted and cleared, all or one', async () => {
    const cache = new ModelCache(async () => root.handle, locks.context())
    expect(await cache.list()).toEqual([])
    server.put('a', SIZE)
    await visit('a')
    const other = 'https://b.example/m'
    const fetch: CachePlace['fetch'] = (_, init) => server.fetch(`${server.base}a`, init)
    const first = await CachedFolder.open(`${other}?signature=1`, { ...place(), fetch })
    await readAll(first, 'x')
    await first.complete()
    const folder = await CachedFolder.open(`${other}/?signature=2`, { ...place(), fetch })
    const list = await cache.list()
    expect(list).toHaveLength(2)
    expect(list).toContainEqual(
      expect.objectContaining({ url: server.base, bytes: SIZE, totalBytes: SIZE, isComplete: true }),
    )
    expect(await cache.usage()).toMatchObject({ bytes: 2 * SIZE })
    expect(await cache.clear()).toBe(SIZE) // the other is being read
    await folder.complete()
    expect(await cache.clear('https://c.example/')).toBe(0)
    expect(await cache.clear(new URL(other))).toBe(SIZE)
    expect(await cache.list()).toEqual([])
  })
})
