/** lorikeet's API as the page uses it, over any backend. Refusals are thrown with the server's own words. */
import { ApiError, apiErrorOf, type ErrorBody } from './apiError.ts'
import type { Backend } from './backend.ts'
import { type Ask, type PromptStyle, streamingRequestOf, type Turn } from './request.ts'
import { serverSentData } from './sse.ts'
import type { AdapterJson, Stats, Voice } from './types.ts'

/** A piece of an answer. */
export interface Piece {
  readonly text: string
  /** Tokens of the answer so far, where the server counts them. */
  readonly numTokens: number | null
  readonly finishReason: string | null
}

interface ModelJson {
  readonly id: string
  readonly parent: string | null
  readonly max_model_len: number | null
  readonly owned_by: string
}

interface StreamEvent {
  readonly error?: ErrorBody
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null }
    readonly text?: string
    readonly finish_reason: string | null
  }[]
  readonly usage?: { readonly completion_tokens: number } | null
}

/** Words that no template contains. */
const PROBE: readonly Turn[] = [
  { role: 'user', content: 'Qua' },
  { role: 'assistant', content: 'Zebu' },
  { role: 'user', content: 'Vex' },
]

export class Api {
  readonly #backend: Pick<Backend, 'fetch'>

  constructor(backend: Pick<Backend, 'fetch'>) {
    this.#backend = backend
  }

  async voices(): Promise<readonly Voice[]> {
    const { data } = await this.#json<{ data: readonly ModelJson[] }>('v1/models')
    // A base may have several names: one is enough.
    const firstBase = data.find(({ parent }) => parent === null)
    return data
      .filter((model) => model.parent !== null || model === firstBase)
      .map(({ id, parent, max_model_len }) => ({ id, parent, contextLength: max_model_len }))
  }

  async adapters(): Promise<readonly AdapterJson[]> {
    return (await this.#json<{ data: readonly AdapterJson[] }>('v1/lora_adapters')).data
  }

  /** What the engine has done since step `since`; null where the server does not tell. */
  async stats(since: number): Promise<Stats | null> {
    try {
      return await this.#json<Stats>(`v1/stats?since=${since}`)
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null
      throw error
    }
  }

  /** Found out by rendering a conversation and looking for what the template adds to it. */
  async promptStyle(): Promise<PromptStyle> {
    try {
      const { tokens } = await this.#json<{ tokens: readonly number[] }>('tokenize', { messages: PROBE })
      const { prompt } = await this.#json<{ prompt: string }>('detokenize', { tokens })
      const bare = prompt.replace(/<[^>]*>/g, '').replace(/\s/g, '')
      const hasRoles = /user|assistant|im_start|INST/i.test(prompt)
      return bare === PROBE.map(({ content }) => content).join('') && !hasRoles ? 'passage' : 'dialogue'
    } catch (error) {
      if (error instanceof ApiError && error.status === 400) return 'text'
      throw error
    }
  }

  /** Whether one request may name several weighted adapters: engines that do list the adapters' scales too. */
  async takesBlends(): Promise<boolean> {
    const response = await this.#backend.fetch('lora-adapters')
    await response.body?.cancel()
    return response.ok
  }

  /** Has the engine do a little with each voice, so that adapters and shaders are in place when somebody asks. */
  async warmUp(voices: readonly Voice[]): Promise<void> {
    const one = async ({ id }: Voice): Promise<void> => {
      const init = jsonInit({ model: id, prompt: 'A', max_tokens: 1 })
      await (await this.#backend.fetch('v1/completions', init)).body?.cancel()
    }
    await Promise.allSettled(voices.map(one))
  }

  /** @throws ApiError, and the signal's reason */
  async *ask(question: Ask, signal: AbortSignal): AsyncGenerator<Piece, void> {
    const { path, body } = streamingRequestOf(question)
    const response = await this.#send(path, body, signal)
    for await (const data of serverSentData(response.body!)) {
      if (data === '[DONE]') return
      const { error, choices, usage } = JSON.parse(data) as StreamEvent
      if (error) throw new ApiError(error.message ?? 'The answer ended with an error.', numberOr(error.code))
      const choice = choices?.[0]
      const text = choice?.delta?.content ?? choice?.text ?? ''
      const finishReason = choice?.finish_reason ?? null
      const numTokens = usage?.completion_tokens ?? null
      if (text !== '' || finishReason !== null || numTokens !== null) yield { text, numTokens, finishReason }
    }
    throw new ApiError('The connection was closed in the middle of the answer.')
  }

  async #json<T>(path: string, body?: object): Promise<T> {
    return (await (await this.#send(path, body)).json()) as T
  }

  async #send(path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = { ...(body && jsonInit(body)), ...(signal && { signal }) }
    const response = await this.#backend.fetch(path, init)
    if (!response.ok) throw await apiErrorOf(response)
    return response
  }
}

export function jsonInit(body: object): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

function numberOr(code: number | string | null | undefined): number | null {
  return typeof code === 'number' ? code : null
}
