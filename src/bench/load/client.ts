/**
 * One request as its client sees it: sent, streamed, timed. Tokens are counted by the server's own usage; times are those
 * at which pieces arrive here.
 */
import { eventData } from '../../api/eventData.ts'
import type { LoadRequest } from './requests.ts'

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface ClientOptions {
  readonly fetch: Fetch
  /** Up to and without the slash before `completions`. */
  readonly baseUrl: string
  readonly endpoint: 'completions' | 'chat/completions'
  readonly apiKey: string | null
  /** Fields that every request carries beside OpenAI's own. */
  readonly extra: Readonly<Record<string, unknown>>
  /** After so many ms a request counts as failed. */
  readonly timeoutMs: number
}

/** What became of a request. Times in ms of one clock. */
export interface RequestResult {
  readonly model: string
  readonly startedAt: number
  /** The first token. Null where none came. */
  readonly firstAt: number | null
  readonly endedAt: number
  /** From one token to the next. A piece of several tokens took its time for each of them alike. */
  readonly gapsMs: readonly number[]
  readonly promptTokens: number
  readonly outputTokens: number
  /** Why it failed; a failed request counts nowhere else. */
  readonly error: string | null
}

/** Never throws: what goes wrong is the result's `error`. */
export async function ask(request: LoadRequest, options: ClientOptions): Promise<RequestResult> {
  const startedAt = performance.now()
  const arrivals: Arrival[] = []
  let usage: Usage = {}
  let error: string | null = null
  try {
    const response = await options.fetch(`${options.baseUrl}/${options.endpoint}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(options.apiKey === null ? {} : { authorization: `Bearer ${options.apiKey}` }),
      },
      body: JSON.stringify(bodyOf(request, options)),
      signal: AbortSignal.timeout(options.timeoutMs),
    })
    if (!response.ok) throw new Error(await refusal(response))
    let isEnded = false
    for await (const data of eventData(response.body!)) {
      const chunk: Chunk = data === '[DONE]' ? {} : (JSON.parse(data) as Chunk)
      if (chunk.error) throw new Error(`The stream failed: ${messageOf(chunk)}`)
      const choice = chunk.choices?.[0]
      const numTokens = choice ? tokensOf(choice) : 0
      if (numTokens > 0) arrivals.push({ at: performance.now(), numTokens })
      usage = chunk.usage ?? usage
      isEnded ||= data === '[DONE]' || typeof choice?.finish_reason === 'string'
    }
    if (!isEnded) throw new Error('The stream broke off')
    if (arrivals.length === 0) throw new Error('No token came')
  } catch (cause) {
    error = reasonOf(cause)
  }
  const seen = arrivals.reduce((sum, { numTokens }) => sum + numTokens, 0)
  const outputTokens = usage.completion_tokens ?? seen
  return {
    model: request.model,
    startedAt,
    firstAt: arrivals[0]?.at ?? null,
    endedAt: performance.now(),
    gapsMs: gapsOf(arrivals, outputTokens / seen),
    promptTokens: usage.prompt_tokens ?? request.promptTokens,
    outputTokens,
    error,
  }
}

interface Arrival {
  readonly at: number
  readonly numTokens: number
}

interface Choice {
  readonly text?: string | null
  readonly delta?: {
    readonly role?: string
    readonly content?: string | null
    readonly reasoning_content?: string | null
  }
  /** lorikeet and vLLM, if asked. */
  readonly token_ids?: readonly number[] | null
  readonly finish_reason?: string | null
}

interface Usage {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
}

interface Chunk {
  readonly choices?: readonly Choice[]
  readonly usage?: Usage | null
  readonly error?: unknown
}

function bodyOf({ model, prompt, maxTokens }: LoadRequest, { endpoint, extra }: ClientOptions): object {
  return {
    model,
    ...(endpoint === 'completions' ? { prompt } : { messages: [{ role: 'user', content: prompt }] }),
    max_tokens: maxTokens,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    ...extra,
  }
}

/**
 * Tokens of a piece: those it names, else one. A piece that opens a chat with a role, or closes an answer with nothing
 * but its reason, has none; one with an empty text in between is a token that makes no text.
 */
function tokensOf({ text, delta, token_ids, finish_reason }: Choice): number {
  if (token_ids) return token_ids.length
  if (text || delta?.content || delta?.reasoning_content) return 1
  return finish_reason || delta?.role !== undefined ? 0 : 1
}

/** @param share tokens that were generated for each that was seen: servers may send several in one piece */
function gapsOf(arrivals: readonly Arrival[], share: number): number[] {
  return arrivals.slice(1).flatMap(({ at, numTokens }, i) => {
    const count = Math.max(1, Math.round(numTokens * share))
    return Array.from({ length: count }, () => (at - arrivals[i]!.at) / count)
  })
}

/** `fetch` says only that it failed; why, its cause knows. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, cause } = error
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message
}

async function refusal(response: Response): Promise<string> {
  const text = await response.text().catch(() => '')
  let message = text
  try {
    message = messageOf(JSON.parse(text) as Chunk)
  } catch {
    // Not JSON: the text says what it says.
  }
  return `${response.status} ${message.slice(0, MOST_MESSAGE)}`.trim()
}

const MOST_MESSAGE = 300

function messageOf({ error }: Chunk): string {
  const { message } = (typeof error === 'object' && error !== null ? error : {}) as { message?: unknown }
  return typeof message === 'string' ? message : (JSON.stringify(error) ?? 'no reason given')
}
