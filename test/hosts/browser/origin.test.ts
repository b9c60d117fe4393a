/** A service worker's answers: from the worker of the tab that leads, and in so many words when there is none. */
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { openInWorker } from '../../../src/hosts/browser/page/openInWorker.ts'
import { type ConnectMessage, OriginRelay } from '../../../src/hosts/browser/service/originRelay.ts'
import { OriginServer } from '../../../src/hosts/browser/service/serveOrigin.ts'
import type { OpenModel } from '../../../src/hosts/browser/worker/workerServer.ts'
import { type FakeContext, FakeLocks } from '../../support/fakeLocks.ts'
import { endless, FakeWorkers, scriptedModel } from '../../support/fakeWorker.ts'

// What hangs here is a bug, not a slow device.
vi.setConfig({ testTimeout: 20_000 })

let locks: FakeLocks
let tabs: Tab[]

beforeEach(() => {
  locks = new FakeLocks()
  tabs = []
})

/** A tab with a page that serves its origin with a model that `make` makes. */
class Tab extends EventTarget {
  readonly server: OriginServer
  readonly workers: FakeWorkers
  readonly #context: FakeContext = locks.context()
  numOpened = 0

  constructor(make: () => OpenModel | Promise<OpenModel>) {
    super()
    this.workers = new FakeWorkers(locks, async () => await make())
    const open = async (): ReturnType<typeof openInWorker> => {
      this.numOpened++
      vi.stubGlobal('navigator', { locks: this.#context })
      const opening = openInWorker({ model: 'https://a.example/', worker: this.workers.start })
      vi.unstubAllGlobals()
      return await opening
    }
    const surroundings = { serviceWorker: this as unknown as ServiceWorkerContainer, locks: this.#context }
    this.server = new OriginServer({ open }, surroundings as unknown as Navigator)
    tabs.push(this)
  }

  startMessages(): void {}

  /** The whole tab, with its worker. */
  kill(): void {
    tabs = tabs.filter((tab) => tab !== this)
    for (const worker of this.workers.started) worker.die()
    this.#context.die()
  }
}

/** A service worker of the origin, from its start until it is stopped. */
function serviceWorker(patienceMs = 5000): { relay: OriginRelay; stop(): void; ask(path?: string): Promise<Response> } {
  const context = locks.context()
  const relay = new OriginRelay({
    locks: context,
    patienceMs,
    askAgainMs: 5,
    askTabs: async () =>
      tabs.map((tab) => {
        const { port1, port2 } = new MessageChannel()
        const data: ConnectMessage = { type: 'lorikeet:connect', port: port2 }
        setImmediate(() => tab.dispatchEvent(new MessageEvent('message', { data })))
        return port1
      }),
  })
  const ask = (path = '/v1/models'): Promise<Response> => {
    return relay.answer(new Request(`https://a.example${path}`), path).response
  }
  return { relay, stop: () => context.die(), ask }
}

const saying = (words: string) => (): OpenModel =>
  scriptedModel(async (request) => new Response(`${words} ${new URL(request.url).pathname}`))

const events = (first: string, onCancel?: () => void): Response =>
  new Response(endless(first, onCancel), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } })

describe('a service worker', () => {
  it('answers from the worker of the tab that leads, again and again', async () => {
    new Tab(saying('one'))
    new Tab(saying('two'))
    const { relay, ask } = serviceWorker()
    expect(await (await ask('/v1/a')).text()).toBe('one /v1/a')
    const { response, done } = relay.answer(new Request('https://a.example/v1/b'), '/v1/b')
    expect(await (await response).text()).toBe('one /v1/b')
    await done
    expect(tabs.map(({ numOpened }) => numOpened)).toEqual([1, 0])
  })

  it('says at once that no tab serves', async () => {
    const response = await serviceWorker().ask()
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect(await response.json()).toMatchObject({
      error: { type: 'ServiceUnavailableError', code: 503, message: expect.stringContaining('No open tab') },
    })
  })

  it('waits for a model that is being opened, but not for ever', async () => {
    let opened = (_: OpenModel): void => {}
    new Tab(() => new Promise((resolve) => (opened = resolve)))
    const impatient = await serviceWorker(1).ask()
    expect(impatient.status).toBe(503)
    expect((await impatient.json()).error.message).toContain('still being opened')
    const asked = serviceWorker().ask()
    setTimeout(() => opened(saying('late')()), 30)
    expect(await (await asked).text()).toBe('late /v1/models')
  })

  it('ends what a closed tab computed with words, and takes the next', async () => {
    const first = new Tab(() =>
      scriptedModel(async ({ url }) => {
        if (url.endsWith('/events')) return events('data: 1\n\n')
        return url.endsWith('/json') ? new Response(endless('{"a":')) : await new Promise<never>(() => {})
      }),
    )
    const second = new Tab(saying('second'))
    const { ask } = serviceWorker()
    const stream = (await ask('/v1/events')).body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await stream.read()).value).toBe('data: 1\n\n')
    const half = (await ask('/v1/json')).body!.getReader()
    await half.read()
    const waiting = ask('/v1/hang')

    first.kill()

    const [, event, end] = /^data: (.*)\n\ndata: (.*)\n\n$/.exec((await stream.read()).value!)!
    expect(JSON.parse(event!)).toMatchObject({ error: { type: 'ServiceUnavailableError', code: 503 } })
    expect(end).toBe('[DONE]')
    expect((await stream.read()).done).toBe(true)
    await expect(half.read()).rejects.toMatchObject({ code: 'tab_closed' })
    const refused = await waiting
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])

    expect(await (await ask()).text()).toBe('second /v1/models')
    expect(second.server.isLeading).toBe(true)
  })

  it('finds the tab again after it was stopped, and what it had begun has ended', async () => {
    let cancelled = (): void => {}
    const ended = new Promise<void>((resolve) => {
      cancelled = resolve
    })
    new Tab(() =>
      scriptedModel(async ({ url }) =>
        url.endsWith('/events') ? events('data: 1\n\n', () => cancelled()) : new Response('still here'),
      ),
    )
    const before = serviceWorker()
    const reader = (await before.ask('/v1/events')).body!.getReader()
    await reader.read()
    before.stop()
    await ended
    expect(await (await serviceWorker().ask()).text()).toBe('still here')
  })

  it('is answered by the next worker when one dies and the tab lives on', async () => {
    const tab = new Tab(saying('alive'))
    const { ask } = serviceWorker()
    await (await ask()).text()
    tab.workers.last.die()
    await (await tab.server.leading).lost
    await vi.waitFor(async () => expect(await (await ask()).text()).toBe('alive /v1/models'))
    expect(tab.workers.started).toHaveLength(2)
  })

  it('frees the generation when the page leaves', async () => {
    let cancelled = (): void => {}
    const ended = new Promise<void>((resolve) => {
      cancelled = resolve
    })
    new Tab(() => scriptedModel(async () => events('data: 1\n\n', () => cancelled())))
    const { relay } = serviceWorker()
    const { response, done } = relay.answer(new Request('https://a.example/v1/x'), '/v1/x')
    await (await response).body!.cancel()
    await Promise.all([ended, done])
  })

  it('passes refusals of the API on as they are', async () => {
    const body = { error: { message: 'no', type: 'NotFoundError', param: 'model', code: 404 } }
    new Tab(() => scriptedModel(async () => Response.json(body, { status: 404 })))
    const response = await serviceWorker().ask()
    expect([response.status, await response.json()]).toEqual([404, body])
  })
})

describe('tabs in line', () => {
  it('hand over when the first leaves, and when it cannot open its model', async () => {
    const broken = new Tab(() => {
      throw new Error('no GPU')
    })
    const second = new Tab(saying('second'))
    const third = new Tab(saying('third'))
    await expect(broken.server.leading).rejects.toThrow('no GPU')
    await second.server.leading
    expect(third.server.isLeading).toBe(false)
    await second.server.close()
    expect(second.workers.last.isTerminated).toBe(true)
    const bird = await third.server.leading
    expect(await (await bird.fetch('http://lorikeet/x')).text()).toBe('third /x')
  })

  it('leave the line when they are closed before their turn', async () => {
    const first = new Tab(saying('first'))
    const second = new Tab(saying('second'))
    await first.server.leading
    await second.server.close()
    await expect(second.server.leading).rejects.toMatchObject({ name: 'AbortError' })
    await first.server.close()
    expect(second.numOpened).toBe(0)
  })
})
