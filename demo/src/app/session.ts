/** Which engine the page talks to, how far it is, and what there is to talk to. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { Api } from '../engine/api.ts'
import { ApiError, wordsOf } from '../engine/apiError.ts'
import type { Backend, CacheUsage } from '../engine/backend.ts'
import { type ModelBeside, modelsBeside } from '../engine/models.ts'
import type { PromptStyle } from '../engine/request.ts'
import { findServer, type ServerAddress, serverBackend } from '../engine/server.ts'
import { type LoadProgress, type OpenTab, tabBackend } from '../engine/tab.ts'
import type { Voice } from '../engine/types.ts'
import type { StatsFeed } from './statsFeed.ts'
import type { Advice } from './webgpu.ts'

export type Phase =
  | { readonly type: 'looking' }
  | { readonly type: 'loading'; readonly model: string; readonly progress: LoadProgress }
  | { readonly type: 'ready' }
  /** The server wants a key. */
  | { readonly type: 'locked'; readonly message: string | null }
  | { readonly type: 'noWebgpu'; readonly advice: Advice }
  | { readonly type: 'failed'; readonly message: string }

export interface SessionHost {
  readonly server: Omit<ServerAddress, 'apiKey'>
  readonly openTab: OpenTab
  /** Null when this browser can run the engine. */
  advice(): Promise<Advice | null>
}

export class Session {
  readonly phase: Signal<Phase> = signal<Phase>({ type: 'looking' })
  readonly backend: Signal<Backend | null> = signal<Backend | null>(null)
  readonly voices: Signal<readonly Voice[]> = signal<readonly Voice[]>([])
  readonly style: Signal<PromptStyle> = signal<PromptStyle>('dialogue')
  /** Several adapters in one request. */
  readonly takesBlends: Signal<boolean> = signal(false)
  /** Where else the engine could be. */
  readonly canSwitchTo: Signal<Backend['kind'] | null> = signal<Backend['kind'] | null>(null)
  /** What this browser keeps of models; null where it keeps nothing. */
  readonly kept: Signal<CacheUsage | null> = signal<CacheUsage | null>(null)
  readonly isReady: ReadonlySignal<boolean>
  readonly baseName: ReadonlySignal<string>
  readonly contextLength: ReadonlySignal<number>
  readonly #host: SessionHost
  readonly #feed: StatsFeed
  #apiKey = ''
  #isServerHere = false
  #models: readonly ModelBeside[] = []
  #api: Api | null = null
  #loading: AbortController | null = null

  constructor(host: SessionHost, feed: StatsFeed) {
    this.#host = host
    this.#feed = feed
    this.isReady = computed(() => this.phase.value.type === 'ready')
    const base = computed(() => this.voices.value.find(({ parent }) => parent === null))
    this.baseName = computed(() => base.value?.id ?? 'base')
    this.contextLength = computed(() => base.value?.contextLength ?? 1024)
  }

  get needsKey(): boolean {
    return this.#apiKey !== ''
  }

  get api(): Api | null {
    return this.#api
  }

  /** Finds an engine: the server that sent the page, else this tab. Never rejects: what goes wrong is the phase. */
  async start(): Promise<void> {
    await this.#guarded(async () => {
      this.phase.value = { type: 'looking' }
      const { server } = this.#host
      this.#models = await modelsBeside(server.base, (url) => server.fetch(url))
      const presence = await findServer(this.#address)
      this.#isServerHere = presence !== 'none'
      if (presence === 'locked') {
        this.phase.value = {
          type: 'locked',
          message: this.#apiKey === '' ? null : 'The server does not take this key.',
        }
      } else if (presence === 'here') {
        await this.#connect(serverBackend(this.#address))
      } else {
        await this.#openTab()
      }
    })
  }

  async giveKey(apiKey: string): Promise<void> {
    this.#apiKey = apiKey
    await this.start()
  }

  async switchTo(kind: Backend['kind']): Promise<void> {
    await this.#guarded(async () => {
      await this.#leave()
      if (kind === 'tab') await this.#openTab()
      else await this.#connect(serverBackend(this.#address))
    })
  }

  /** Gives up loading. */
  cancel(): void {
    this.#loading?.abort()
  }

  async refreshVoices(): Promise<void> {
    if (this.#api) this.voices.value = await this.#api.voices()
  }

  async clearCache(): Promise<void> {
    await this.backend.value?.cache?.clear()
    await this.#measureCache()
  }

  /** Asks the browser to keep it for good. Some ask the reader, and some refuse in silence. */
  async keepCache(): Promise<void> {
    await this.backend.value?.cache?.persist()
    await this.#measureCache()
  }

  get #address(): ServerAddress {
    return { ...this.#host.server, apiKey: this.#apiKey }
  }

  async #openTab(): Promise<void> {
    const [model] = this.#models
    if (!model) {
      throw new ApiError(
        'There is neither a lorikeet server nor a model beside this page. Start one with npx lorikeet serve, or build the page with npm run demo:build.',
      )
    }
    const advice = await this.#host.advice()
    if (advice) {
      this.phase.value = { type: 'noWebgpu', advice }
      return
    }
    const loading = new AbortController()
    this.#loading = loading
    const show = (progress: LoadProgress): void => {
      // Until the engine has asked for every file it does not know how much there is; the build's list does.
      const totalBytes = progress.totalBytes || Math.max(model.bytes, progress.loadedBytes)
      this.phase.value = { type: 'loading', model: model.name, progress: { ...progress, totalBytes } }
    }
    show({ phase: 'download', loadedBytes: 0, totalBytes: model.bytes, fromCache: false })
    const backend = await tabBackend(this.#host.openTab, model, this.#host.server.base, show, loading.signal)
    this.#loading = null
    await this.#connect(backend)
    // The first chorus is to be a chorus: nobody comes late because of an upload or a shader.
    void this.#api?.warmUp(this.voices.value)
    await this.#measureCache()
  }

  async #connect(backend: Backend): Promise<void> {
    const api = new Api(backend)
    const [voices, style] = [await api.voices(), await api.promptStyle()]
    this.#api = api
    this.voices.value = voices
    this.style.value = style
    this.backend.value = backend
    this.phase.value = { type: 'ready' }
    this.#feed.follow(api)
    void backend.lost.then((message) => {
      if (this.backend.value !== backend) return
      this.#forget()
      this.phase.value = { type: 'failed', message }
    })
    this.takesBlends.value = await api.takesBlends()
    this.canSwitchTo.value = await this.#otherKind(backend.kind)
  }

  async #otherKind(kind: Backend['kind']): Promise<Backend['kind'] | null> {
    if (kind === 'tab') return this.#isServerHere ? 'server' : null
    return this.#models.length > 0 && (await this.#host.advice()) === null ? 'tab' : null
  }

  async #leave(): Promise<void> {
    const backend = this.backend.value
    this.#forget()
    await backend?.close()
  }

  #forget(): void {
    this.#api = null
    this.#feed.follow(null)
    this.backend.value = null
    this.canSwitchTo.value = null
    this.kept.value = null
    this.voices.value = []
    this.takesBlends.value = false
  }

  async #measureCache(): Promise<void> {
    const cache = this.backend.value?.cache
    this.kept.value = cache ? await cache.usage().catch(() => null) : null
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const wasGivenUp = this.#loading?.signal.aborted ?? false
      this.#loading = null
      this.phase.value = { type: 'failed', message: wasGivenUp ? 'Loading was stopped.' : wordsOf(error) }
    }
  }
}
