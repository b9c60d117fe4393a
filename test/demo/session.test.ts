/** Which engine the page finds, and what it says while it looks. */
import { afterEach, describe, expect, it } from 'vitest'
import { Session } from '../../demo/src/app/session.ts'
import { StatsFeed } from '../../demo/src/app/statsFeed.ts'
import { browserFacts, webgpuAdvice } from '../../demo/src/app/webgpu.ts'
import type { LoadProgress, OpenTab, TabBird } from '../../demo/src/engine/tab.ts'
import { type FakeHouse, fakeHouse } from '../api/support/fakeService.ts'

const MODELS = {
  models: [
    {
      name: 'tiny',
      path: 'models/tiny/',
      bytes: 1000,
      adapters: [{ name: 'pirate', path: 'models/tiny/adapters/pirate/' }],
    },
  ],
}

interface Place {
  /** A lorikeet answers on the page's origin. */
  readonly house?: FakeHouse
  readonly models?: object | null
  readonly hasWebgpu?: boolean
}

const feeds: StatsFeed[] = []
afterEach(() => {
  for (const feed of feeds.splice(0)) feed.follow(null)
})

/** A worker's bird over a house: what it was opened with, and a way to lose it. */
function fakeTab() {
  const house = fakeHouse()
  const opened: Parameters<OpenTab>[0][] = []
  const loaded: unknown[] = []
  let lose: (error: Error) => void = () => {}
  let isClosed = false
  let kept = { bytes: 500, isPersisted: false }
  const open: OpenTab = async (options) => {
    opened.push(options)
    options.onProgress({ phase: 'download', file: 'config.json', loadedBytes: 40, totalBytes: 0, fromCache: false })
    const bird: TabBird = {
      fetch: (input, init) => house.handler(new Request(input, init)),
      modelNames: ['tiny'],
      device: { name: 'fake', isSoftware: true },
      adapters: {
        load: async (...args) => loaded.push(args),
        unload: async () => true,
        check: () => Promise.reject(Object.assign(new Error('r is 9'), { status: 400, param: 'r' })),
      },
      cache: {
        usage: async () => kept,
        clear: async () => {
          kept = { ...kept, bytes: 0 }
        },
        persist: async () => {
          kept = { ...kept, isPersisted: true }
        },
      },
      lost: new Promise((resolve) => {
        lose = resolve
      }),
      close: async () => {
        isClosed = true
      },
    }
    return bird
  }
  return { house, opened, loaded, open, lose: (error: Error) => lose(error), isClosed: () => isClosed }
}

function sessionAt({ house, models = MODELS, hasWebgpu = true }: Place, tab = fakeTab()) {
  const feed = new StatsFeed()
  feeds.push(feed)
  const phases: string[] = []
  const progress: LoadProgress[] = []
  const session = new Session(
    {
      server: {
        base: 'http://page/sub/',
        protocol: 'h2',
        async fetch(input, init) {
          const url = new URL(input)
          if (url.pathname === '/sub/models/models.json' && models) return Response.json(models)
          if (!house) return new Response('<h1>not found</h1>', { status: 404 })
          return await house.handler(new Request(new URL(url.pathname.replace('/sub/', '/'), url), init))
        },
      },
      openTab: tab.open,
      advice: async () => (hasWebgpu ? null : { problem: 'none', steps: [] }),
    },
    feed,
  )
  session.phase.subscribe((phase) => {
    phases.push(phase.type)
    if (phase.type === 'loading') progress.push(phase.progress)
  })
  return { session, tab, phases, progress }
}

describe('the session', () => {
  it('takes the server that sent the page, and could move into the tab', async () => {
    const house = fakeHouse()
    const { session, tab } = sessionAt({ house })
    await session.start()
    expect(session.phase.value.type).toBe('ready')
    expect(session.backend.value).toMatchObject({ kind: 'server', address: 'http://page/sub' })
    expect(session.canSwitchTo.value).toBe('tab')
    expect(session.baseName.value).toBe('org/tiny')
    expect(session.takesBlends.value).toBe(true)
    await session.switchTo('tab')
    expect(session.backend.value?.kind).toBe('tab')
    expect(session.canSwitchTo.value).toBe('server')
    await session.switchTo('server')
    expect(tab.isClosed()).toBe(true)
    expect(session.backend.value?.kind).toBe('server')
  })

  it('cannot move into a tab without WebGPU or without a model beside the page', async () => {
    for (const place of [{ hasWebgpu: false }, { models: null }]) {
      const { session } = sessionAt({ house: fakeHouse(), ...place })
      await session.start()
      expect(session.canSwitchTo.value).toBeNull()
    }
  })

  it('opens the model beside a static page by itself, and says how far it is', async () => {
    const { session, tab, phases, progress } = sessionAt({})
    await session.start()
    expect(phases.slice(1)).toEqual(['looking', 'loading', 'loading', 'ready'])
    expect(tab.opened[0]!.model.href).toBe('http://page/sub/models/tiny/')
    expect(tab.opened[0]!.adapters.map(({ name, source }) => [name, source.href])).toEqual([
      ['pirate', 'http://page/sub/models/tiny/adapters/pirate/'],
    ])
    // The whole is known from the list before the engine knows it.
    expect(progress.at(-1)).toMatchObject({ loadedBytes: 40, totalBytes: 1000, file: 'config.json' })
    expect(session.backend.value).toMatchObject({ kind: 'tab', address: null, maxStreams: Number.POSITIVE_INFINITY })
    expect(session.canSwitchTo.value).toBeNull()
    expect(session.kept.value).toEqual({ bytes: 500, isPersisted: false })
    await session.keepCache()
    expect(session.kept.value).toEqual({ bytes: 500, isPersisted: true })
    // Each voice has done a little before it is asked.
    const done = () => tab.house.engine.generations.map(({ request }) => [request.adapter?.name, request.maxTokens])
    await expect.poll(done, { interval: 1 }).toEqual([
      [undefined, 1],
      ['pirate', 1],
      ['team/tutor', 1],
    ])
    await session.clearCache()
    expect(session.kept.value?.bytes).toBe(0)
  })

  it('loads files and addresses into the tab, pins them from where they came, and passes on refusals', async () => {
    const { session, tab } = sessionAt({})
    await session.start()
    const backend = session.backend.value!
    const files = [new File([], 'adapter_config.json')]
    await backend.load({ type: 'files', name: 'cook', files }, 'cook')
    await backend.load({ type: 'url', url: '../voices/tutor/' }, 'tutor')
    await backend.pin('cook', '', true)
    await backend.pin('pirate', '', false)
    expect(tab.loaded).toEqual([
      ['cook', files, {}],
      ['tutor', new URL('http://page/voices/tutor/'), {}],
      ['cook', files, { pinned: true, replace: true }],
      ['pirate', new URL('http://page/sub/models/tiny/adapters/pirate/'), { pinned: false, replace: true }],
    ])
    await expect(backend.pin('nobody', '', true)).rejects.toThrow('not known')
    await expect(backend.check({ type: 'files', name: 'x', files }, 'x')).rejects.toMatchObject({
      message: 'r is 9',
      status: 400,
      param: 'r',
    })
    await expect(backend.check({ type: 'path', path: '/x' }, 'x')).rejects.toThrow('knows no paths')
    await expect(backend.check({ type: 'url', url: 'http://[' }, 'x')).rejects.toThrow('is not an address')
  })

  it('says what is missing', async () => {
    const alone = sessionAt({ models: null })
    await alone.session.start()
    expect(alone.session.phase.value).toMatchObject({
      type: 'failed',
      message: /neither a lorikeet server nor a model/,
    })
    const without = sessionAt({ hasWebgpu: false })
    await without.session.start()
    expect(without.session.phase.value).toMatchObject({ type: 'noWebgpu', advice: { problem: 'none' } })
  })

  it('asks for a key, and says when it is the wrong one', async () => {
    const { session } = sessionAt({ house: fakeHouse({ apiKeys: ['right'] }) })
    await session.start()
    expect(session.phase.value).toEqual({ type: 'locked', message: null })
    await session.giveKey('wrong')
    expect(session.phase.value).toEqual({ type: 'locked', message: 'The server does not take this key.' })
    await session.giveKey('right')
    expect(session.phase.value.type).toBe('ready')
    expect(session.needsKey).toBe(true)
  })

  it('notices when the engine in the tab is gone, and can begin again', async () => {
    const { session, tab } = sessionAt({})
    await session.start()
    tab.lose(new Error('The device was lost.'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(session.phase.value).toEqual({ type: 'failed', message: 'The device was lost.' })
    expect(session.api).toBeNull()
    await session.start()
    expect(session.phase.value.type).toBe('ready')
  })

  it('can be told to stop loading', async () => {
    const tab = fakeTab()
    const open: OpenTab = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const { session } = sessionAt({}, { ...tab, open })
    const starting = session.start()
    while (session.phase.value.type !== 'loading') await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    session.cancel()
    await starting
    expect(session.phase.value).toEqual({ type: 'failed', message: 'Loading was stopped.' })
  })
})

describe('advice', () => {
  const CHROME = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
  const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
  const SAFARI = 'Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15'
  const facts = { hasApi: false, hasAdapter: false, isSecure: true }

  it('is none where all is well', () => {
    expect(webgpuAdvice({ hasApi: true, hasAdapter: true, isSecure: true, userAgent: CHROME })).toBeNull()
  })

  it.each([
    [CHROME, 'enable-unsafe-webgpu'],
    [FIREFOX, 'about:config'],
    [SAFARI, 'Safari has it from version 26'],
    ['Lynx', 'A current Chrome'],
  ])('is the browser’s own: %s', (userAgent, words) => {
    expect(webgpuAdvice({ ...facts, userAgent })?.steps.join(' ')).toContain(words)
  })

  it('tells a browser without WebGPU from one without a device, and from a page that may not use it', () => {
    expect(webgpuAdvice({ ...facts, hasApi: true, userAgent: CHROME })?.steps.join(' ')).toContain('chrome://gpu')
    expect(webgpuAdvice({ ...facts, isSecure: false, userAgent: CHROME })?.problem).toContain('plain http')
  })

  it('goes by what the browser gives', async () => {
    const userAgent = CHROME
    const gives = (adapter: object | null) => ({ gpu: { requestAdapter: async () => adapter }, userAgent })
    expect(await browserFacts({ userAgent }, true)).toMatchObject({ hasApi: false, hasAdapter: false })
    expect(await browserFacts(gives(null), true)).toMatchObject({ hasApi: true, hasAdapter: false })
    expect(await browserFacts(gives({}), true)).toMatchObject({ hasApi: true, hasAdapter: true })
    const fails = { gpu: { requestAdapter: () => Promise.reject(new Error('no')) }, userAgent }
    expect(await browserFacts(fails, false)).toMatchObject({ hasApi: true, hasAdapter: false, isSecure: false })
  })
})
