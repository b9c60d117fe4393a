/** The adapters of the engine, and the one that is about to join them. */
import { type Signal, signal } from '@preact/signals'
import type { Session } from '../app/session.ts'
import { ApiError, wordsOf } from '../engine/apiError.ts'
import type { AdapterJson, AdapterSource, CheckReport } from '../engine/types.ts'

/** An adapter that was brought and is not on the shelf yet. */
export interface Candidate {
  readonly source: AdapterSource
  readonly name: string
  readonly state:
    | { readonly type: 'checking' }
    | { readonly type: 'fits'; readonly report: CheckReport }
    | { readonly type: 'refused'; readonly message: string; readonly param: string | null }
    | { readonly type: 'adding'; readonly report: CheckReport }
}

export class Shelf {
  readonly adapters: Signal<readonly AdapterJson[]> = signal<readonly AdapterJson[]>([])
  readonly candidate: Signal<Candidate | null> = signal<Candidate | null>(null)
  /** What the last act came to, in words: said aloud to those who do not see the list change. */
  readonly notice: Signal<{ readonly text: string; readonly isProblem: boolean } | null> = signal<{
    readonly text: string
    readonly isProblem: boolean
  } | null>(null)
  /** Adapters that are being changed. */
  readonly busy: Signal<ReadonlySet<string>> = signal<ReadonlySet<string>>(new Set())
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** Brings the list up to date. A server that does not answer now is asked again soon. */
  async refresh(): Promise<void> {
    const { api } = this.#session
    if (!api) return
    const adapters = await api.adapters().catch(() => null)
    if (adapters) this.adapters.value = adapters
  }

  /** Checks what was brought; the report or the refusal is the candidate's state. */
  async consider(source: AdapterSource, name: string = nameFor(source)): Promise<void> {
    const backend = this.#session.backend.value
    if (!backend) return
    const candidate: Candidate = { source, name, state: { type: 'checking' } }
    this.candidate.value = candidate
    this.notice.value = null
    const settle = (state: Candidate['state']): void => {
      if (this.candidate.value === candidate) this.candidate.value = { ...candidate, state }
    }
    try {
      if (!backend.sources.includes(source.type)) throw new ApiError(WRONG_PLACE[backend.kind])
      settle({ type: 'fits', report: await backend.check(source, name) })
    } catch (error) {
      const param = error instanceof ApiError ? error.param : null
      settle({ type: 'refused', message: wordsOf(error), param })
    }
  }

  rename(name: string): void {
    const candidate = this.candidate.value
    if (candidate) this.candidate.value = { ...candidate, name }
  }

  dismiss(): void {
    this.candidate.value = null
  }

  /** Puts the candidate on the shelf. */
  async add(pinned: boolean): Promise<void> {
    const backend = this.#session.backend.value
    const candidate = this.candidate.value
    if (!backend || candidate?.state.type !== 'fits') return
    const { source, name, state } = candidate
    this.candidate.value = { ...candidate, state: { type: 'adding', report: state.report } }
    try {
      await backend.load(source, name, pinned ? { pinned } : {})
      this.candidate.value = null
      this.#say(`${name} is on the shelf.`)
      await this.#changed()
    } catch (error) {
      const param = error instanceof ApiError ? error.param : null
      this.candidate.value = { ...candidate, state: { type: 'refused', message: wordsOf(error), param } }
    }
  }

  async unload(name: string): Promise<void> {
    await this.#change(name, `${name} was taken off the shelf.`, (backend) => backend.unload(name))
  }

  async pin(name: string, root: string, pinned: boolean): Promise<void> {
    const outcome = pinned ? `${name} stays on the GPU.` : `${name} may leave the GPU.`
    await this.#change(name, outcome, (backend) => backend.pin(name, root, pinned))
  }

  async #change(
    name: string,
    outcome: string,
    work: (backend: NonNullable<Session['backend']['value']>) => Promise<void>,
  ): Promise<void> {
    const backend = this.#session.backend.value
    if (!backend) return
    this.busy.value = new Set([...this.busy.value, name])
    try {
      await work(backend)
      this.#say(outcome)
    } catch (error) {
      this.notice.value = { text: wordsOf(error), isProblem: true }
    } finally {
      this.busy.value = new Set([...this.busy.value].filter((other) => other !== name))
      await this.#changed()
    }
  }

  async #changed(): Promise<void> {
    await Promise.all([this.refresh(), this.#session.refreshVoices().catch(() => undefined)])
  }

  #say(text: string): void {
    this.notice.value = { text, isProblem: false }
  }
}

const WRONG_PLACE = {
  server:
    'This server reads adapters from its own disk. Give it a path there, or run the model in this tab to try files of this machine.',
  tab: 'A tab knows no paths. Drop the folder here, choose it, or give an address.',
} as const

/** The last part of where it comes from, as a name may be. */
export function nameFor(source: AdapterSource): string {
  const text = source.type === 'files' ? source.name : source.type === 'url' ? source.url : source.path
  const last =
    text
      .split(/[?#]/)[0]!
      .replace(/[\\/]+$/, '')
      .split(/[\\/]/)
      .at(-1) ?? ''
  const name = last
    .replace(/\.(safetensors|bin|pt|nemo)$/, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '')
  // What every adapter's files are called says nothing of this one.
  return /^(adapter_(model|config))?$/.test(name) ? 'adapter' : name.slice(0, 128)
}
