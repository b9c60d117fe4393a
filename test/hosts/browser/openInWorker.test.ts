/** A model in a worker, seen from the page: opened, asked, told about adapters, lost, replaced and closed. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LorikeetError } from '../../../src/errors.ts'
import { openInWorker } from '../../../src/hosts/browser/page/openInWorker.ts'
import type { RemoteLorikeet } from '../../../src/hosts/browser/page/remoteLorikeet.ts'
import type { OpenData, SourceData } from '../../../src/hosts/browser/relay/protocol.ts'
import { ClosedError, WorkerLostError } from '../../../src/hosts/browser/relay/remoteError.ts'
import { Files } from '../../../src/hosts/browser/worker/files.ts'
import type { OpenHooks, OpenModel } from '../../../src/hosts/browser/worker/workerServer.ts'
import { memoryFolder } from '../../../src/weights/folder.ts'
import { FakeLocks } from '../../support/fakeLocks.ts'
import { endless, FakeWorkers, scriptedModel } from '../../support/fakeWorker.ts'

const MODEL = 'https://a.example/paper/'
const say = (words: string): OpenModel => scriptedModel(async () => new Response(words))

class Refused extends LorikeetError {
  readonly code = 'adapter_shape_mismatch'
  override readonly param = 'q_proj'
}

// What hangs here is a bug, not a slow device.
vi.setConfig({ testTimeout: 20_000 })

let locks: FakeLocks
const open: RemoteLorikeet[] = []

beforeEach(() => {
  locks = new FakeLocks()
  vi.stubGlobal('navigator', { locks: locks.context() })
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((bird) => bird.close()))
  vi.unstubAllGlobals()
})

/** Opened with workers whose model `make` makes. */
async function openWith(
  make: (options: OpenData, hooks: OpenHooks) => Promise<OpenModel> | OpenModel,
  options: Partial<Parameters<typeof openInWorker>[0]> = {},
): Promise<{ bird: RemoteLorikeet; workers: FakeWorkers }> {
  const workers = new FakeWorkers(locks, async (...args) => await make(...args))
  const bird = await openInWorker({ model: MODEL, worker: workers.start, ...options })
  open.push(bird)
  return { bird, workers }
}

describe('opening', () => {
  it('sends what can be sent, and brings names, device and progress', async () => {
    let sent: OpenData | null = null
    const seen: unknown[] = []
    const { bird } = await openWith(
      (data, { onProgress, log }) => {
        sent = data
        log('info', 'hello', { a: 1 })
        onProgress({ phase: 'weights', loadedBytes: 1, totalBytes: 2, fromCache: true })
        return say('x')
      },
      {
        servedModelNames: ['leaf'],
        sizes: { maxLoras: 3 },
        onProgress: (progress) => seen.push(progress),
        log: (...line) => seen.push(line),
      },
    )
    expect(sent).toMatchObject({ model: { type: 'address', url: MODEL }, adapters: [], cache: {} })
    expect(sent).toMatchObject({ servedModelNames: ['leaf'], sizes: { maxLoras: 3 } })
    expect(bird.modelNames).toEqual(['paper'])
    expect(bird.device).toMatchObject({ name: 'paper', isSoftware: true })
    expect(seen).toContainEqual({ phase: 'weights', loadedBytes: 1, totalBytes: 2, fromCache: true })
    await vi.waitFor(() => expect(seen).toContainEqual(['info', 'hello', { a: 1 }]))
  })

  it('throws what went wrong in the worker, and ends it', async () => {
    const workers = new FakeWorkers(locks, async () => {
      throw new Refused('of another base')
    })
    const opening = openInWorker({ model: MODEL, worker: workers.start })
    await expect(opening).rejects.toMatchObject({ code: 'adapter_shape_mismatch', param: 'q_proj', name: 'Refused' })
    expect(workers.last.isTerminated).toBe(true)
  })

  it('is ended by its signal, there too', async () => {
    const stop = new AbortController()
    let told: AbortSignal | null = null
    const workers = new FakeWorkers(locks, (_, { signal }) => {
      told = signal
      stop.abort()
      return new Promise(() => {})
    })
    const opening = openInWorker({ model: MODEL, worker: workers.start, signal: stop.signal })
    await expect(opening).rejects.toMatchObject({ name: 'AbortError' })
    await vi.waitFor(() => expect(told).toMatchObject({ aborted: true }))
    // It may put away what it has downloaded, and says when it has; one that says nothing is ended all the same.
    await vi.waitFor(() => expect(workers.last.isTerminated).toBe(true), 5000)
  })

  it('says so when the script cannot be started', async () => {
    const workers = new FakeWorkers(locks, async () => say('x'))
    const opening = openInWorker({ model: MODEL, worker: workers.start })
    workers.last.onerror!({ message: '', filename: '' } as ErrorEvent)
    await expect(opening).rejects.toMatchObject({ code: 'worker_lost' })
    await expect(opening).rejects.toThrow(/script could not be loaded/)
  })

  it('says so when the worker dies while it opens', async () => {
    const workers = new FakeWorkers(locks, () => {
      setImmediate(() => workers.last.die())
      return new Promise(() => {})
    })
    const opening = openInWorker({ model: MODEL, worker: workers.start })
    await expect(opening).rejects.toBeInstanceOf(WorkerLostError)
  })
})

describe('sources', () => {
  /** What the worker reads at `path` of the source it was sent. */
  async function readThere(source: SourceData, path: string): Promise<string> {
    const files = await Files.open(null, () => {})
    return await files.load(source, async (folder) => {
      const file = await folder.open(path)
      try {
        return new TextDecoder().decode(await file.read(1, file.size - 1))
      } finally {
        await file.close()
      }
    })
  }

  it('of every kind can be read in the worker', async () => {
    const read: Record<string, string> = {}
    const loadAdapter: OpenModel['calls']['loadAdapter'] = async ([name, source]) => {
      read[name] = await readThere(source, name === 'pair' ? 'adapter_config.json' : 'deep/a.txt')
      return {} as never
    }
    const { bird } = await openWith(() => scriptedModel(async () => new Response('x'), { loadAdapter }))
    const picked = new File(['!picked'], 'a.txt')
    Object.defineProperty(picked, 'webkitRelativePath', { value: 'chosen/deep/a.txt' })
    await bird.adapters.load('picked', [picked])
    await bird.adapters.load('pair', { config: '{"r":8}', weights: new Blob(['w']) })
    await bird.adapters.load('own', memoryFolder('own', { 'deep/a.txt': '!of the page' }))
    expect(read).toEqual({ picked: 'picked', pair: '"r":8}', own: 'of the page' })
    const missing = bird.adapters.load('own', memoryFolder('own', {}))
    await expect(missing).rejects.toMatchObject({ code: 'file_not_found', name: 'SourceError' })
  })
})

describe('a worker that dies', () => {
  it('fails what is under way, and the next use starts another with the same adapters', async () => {
    const opened: OpenData[] = []
    const loaded: string[] = []
    const { bird, workers } = await openWith(
      (data) => {
        opened.push(data)
        const number = opened.length
        return scriptedModel(
          async (request) =>
            request.url.endsWith('/hang') ? new Promise<never>(() => {}) : new Response(endless(`worker ${number}`)),
          {
            loadAdapter: async ([name]) => {
              loaded.push(`${number} ${name}`)
              return {} as never
            },
            unloadAdapter: async () => true,
          },
        )
      },
      { adapters: [{ name: 'first', source: 'https://a.example/first' }] },
    )
    await bird.adapters.load('second', 'https://a.example/second', { pinned: true })
    await bird.adapters.load('third', 'https://a.example/third')
    await bird.adapters.unload('third')
    const hanging = bird.fetch('http://lorikeet/hang')
    const reader = (await bird.fetch('http://lorikeet/v1')).body!.getReader()
    await reader.read()
    const { lost } = bird

    workers.last.die()

    await expect(hanging).rejects.toBeInstanceOf(WorkerLostError)
    await expect(reader.read()).rejects.toMatchObject({ code: 'worker_lost', status: 503 })
    expect(await lost).toBeInstanceOf(WorkerLostError)

    const [one, two] = await Promise.all([bird.fetch('http://lorikeet/v1'), bird.fetch('http://lorikeet/v1')])
    const words = await Promise.all([one, two].map(async ({ body }) => (await body!.getReader().read()).value))
    expect(words.map((each) => new TextDecoder().decode(each))).toEqual(['worker 2', 'worker 2'])
    expect(workers.started).toHaveLength(2)
    expect(opened.map(({ adapters }) => adapters.map(({ name }) => name))).toEqual([['first'], []])
    expect(loaded).toEqual(['1 second', '1 third', '2 first', '2 second'])
  })

  it('is replaced without an adapter that is no longer there', async () => {
    const lines: string[] = []
    let numOpened = 0
    const { bird, workers } = await openWith(
      () => {
        const isFirst = numOpened++ === 0
        return scriptedModel(async () => new Response('alive'), {
          loadAdapter: async ([name]) => {
            if (!isFirst && name === 'gone') throw new Refused('the file was removed')
            return {} as never
          },
        })
      },
      { log: (level, message) => lines.push(`${level} ${message}`) },
    )
    await bird.adapters.load('gone', 'https://a.example/gone')
    workers.last.die()
    await bird.lost
    expect(await (await bird.fetch('http://lorikeet/')).text()).toBe('alive')
    expect(lines).toEqual(['warn adapter gone could not be loaded again: the file was removed'])
  })

  it('is tried again after a replacement that failed', async () => {
    let isBroken = false
    const { bird, workers } = await openWith(() => {
      if (isBroken) throw new Refused('no network')
      return say('back')
    })
    workers.last.die()
    await bird.lost
    isBroken = true
    await expect(bird.fetch('http://lorikeet/')).rejects.toMatchObject({ message: 'no network' })
    isBroken = false
    expect(await (await bird.fetch('http://lorikeet/')).text()).toBe('back')
  })
})

describe('adapters', () => {
  it('are loaded, checked, listed and unloaded in the worker; refusals keep their code', async () => {
    const asked: unknown[] = []
    const { bird } = await openWith(() =>
      scriptedModel(async () => new Response('x'), {
        loadAdapter: async (args) => {
          asked.push(args)
          if (args[0] === 'bad') throw new Refused('of another base')
          return { name: args[0] } as never
        },
        checkAdapter: async (args) => {
          asked.push(args)
          return { rank: 8 } as never
        },
        unloadAdapter: async ([name]) => name === 'a',
        listAdapters: async () => [{ name: 'a' }] as never,
        adapterStatus: async () => [{ name: 'a', tier: 'gpu' }] as never,
      }),
    )
    const source = { config: '{}', weights: new Uint8Array([1, 2]) }
    expect(await bird.adapters.load('a', source, { pinned: true })).toEqual({ name: 'a' })
    expect(asked[0]).toEqual(['a', { type: 'adapter', files: source }, { pinned: true }])
    expect(await bird.adapters.check(new URL('https://a.example/b'))).toEqual({ rank: 8 })
    await expect(bird.adapters.load('bad', source)).rejects.toMatchObject({ code: 'adapter_shape_mismatch' })
    expect(await bird.adapters.list()).toEqual([{ name: 'a' }])
    expect(await bird.adapters.status()).toEqual([{ name: 'a', tier: 'gpu' }])
    expect(await bird.adapters.unload('a')).toBe(true)
    expect(await bird.adapters.unload('b')).toBe(false)
  })
})

describe('closing', () => {
  it('closes in the worker, ends it, and refuses what comes after', async () => {
    let closed = 0
    const { bird, workers } = await openWith(() =>
      scriptedModel(async () => new Response(endless('x')), {
        close: async () => {
          closed++
        },
      }),
    )
    const reader = (await bird.fetch('http://lorikeet/')).body!.getReader()
    await reader.read()
    await bird.close()
    await bird.close()
    expect(closed).toBe(1)
    expect(workers.last.isTerminated).toBe(true)
    await expect(reader.read()).rejects.toBeInstanceOf(ClosedError)
    await expect(bird.fetch('http://lorikeet/')).rejects.toBeInstanceOf(ClosedError)
  })

  it('ends a worker that does not answer any more', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    try {
      const { bird, workers } = await openWith(() =>
        scriptedModel(async () => new Response('x'), { close: () => new Promise(() => {}) }),
      )
      const closing = bird.close()
      await vi.runAllTimersAsync()
      await closing
      expect(workers.last.isTerminated).toBe(true)
    } finally {
      vi.useRealTimers()
    }
  })
})
