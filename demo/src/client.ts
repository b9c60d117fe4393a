/**
 * The page's side of the API: which voices there are, and an answer piece by piece. Everything goes to the server the
 * page came from, by plain fetch.
 */
export interface Voice {
  readonly id: string
  /** Null for the base model. */
  readonly parent: string | null
  /** Longest prompt and answer together, in tokens; known of the base. */
  readonly contextLength: number | null
}

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface AskOptions {
  readonly voice: string
  readonly turns: readonly Turn[]
  /** False: the model has no chat template, so it continues the last turn's text. */
  readonly hasChat: boolean
  readonly maxTokens: number
  readonly temperature: number
  readonly signal: AbortSignal
}

export type Piece =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'end'; readonly reason: 'stop' | 'length' }
  | { readonly type: 'usage'; readonly promptTokens: number; readonly completionTokens: number }

/** What the server said was wrong, or that it could not be reached. */
export class ServerError extends Error {
  readonly status: number | null

  constructor(message: string, status: number | null) {
    super(message)
    this.status = status
  }
}

export class Client {
  readonly #base: string
  readonly #fetch: typeof fetch
  /** Sent as a bearer token when it is not empty. */
  apiKey = ''

  /** `base` is the address of the page's folder. */
  constructor(base: string, fetchLike: typeof fetch = (input, init) => fetch(input, init)) {
    this.#base = base
    this.#fetch = fetchLike
  }

  async voices(): Promise<readonly Voice[]> {
    const response = await this.#send('v1/models')
    const { data } = (await response.json()) as { data: (Voice & { max_model_len: number | null })[] }
    return data.map(({ id, parent, max_model_len }) => ({ id, parent, contextLength: max_model_len }))
  }

  /** Whether the model can hold a conversation. */
  async hasChat(): Promise<boolean> {
    try {
      await this.#send('tokenize', { messages: [{ role: 'user', content: 'Hello' }] })
      return true
    } catch (error) {
      if (error instanceof ServerError && error.status === 400) return false
      throw error
    }
  }

  /** @throws ServerError, and the signal's AbortError */
  async *ask({ voice, turns, hasChat, maxTokens, temperature, signal }: AskOptions): AsyncGenerator<Piece, void> {
    const question = hasChat ? { messages: turns } : { prompt: turns.at(-1)?.content ?? '' }
    const body = {
      ...question,
      model: voice,
      max_tokens: maxTokens,
      temperature,
      stream: true,
      stream_options: { include_usage: true },
    }
    const response = await this.#send(hasChat ? 'v1/chat/completions' : 'v1/completions', body, signal)
    for await (const data of serverSentData(response)) {
      if (data === '[DONE]') return
      const { error, choices, usage } = JSON.parse(data) as Event
      if (error) throw new ServerError(error.message, error.code)
      const choice = choices?.[0]
      const text = choice?.delta?.content ?? choice?.text ?? ''
      if (text !== '') yield { type: 'text', text }
      if (choice?.finish_reason) yield { type: 'end', reason: choice.finish_reason }
      if (usage) {
        yield { type: 'usage', promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens }
      }
    }
    throw new ServerError('The server closed the connection in the middle of the answer.', null)
  }

  async #send(path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = {
      headers: {
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...(this.apiKey ? { authorization: `Bearer ${this.apiKey}` } : {}),
      },
      ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
      ...(signal ? { signal } : {}),
    }
    let response: Response
    try {
      response = await this.#fetch(new URL(path, this.#base).href, init)
    } catch (error) {
      if (signal?.aborted) throw error
      throw new ServerError('The server cannot be reached. Is it still running?', null)
    }
    if (response.ok) return response
    const answer = (await response.json().catch(() => null)) as Event | null
    throw new ServerError(answer?.error?.message ?? `The server answered ${response.status}.`, response.status)
  }
}

interface Event {
  readonly error?: { readonly message: string; readonly code: number }
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string }
    readonly text?: string
    readonly finish_reason: 'stop' | 'length' | null
  }[]
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null
}

/** The data of each event, however the network cut the stream. */
async function* serverSentData(response: Response): AsyncGenerator<string, void> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const events = (rest + value).split('\n\n')
      rest = events.pop()!
      for (const event of events) if (event.startsWith('data: ')) yield event.slice('data: '.length)
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
