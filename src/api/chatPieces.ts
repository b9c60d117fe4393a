/** The reading end of a streamed chat completion, for callers who want pieces of text and no client library. */
import { LorikeetError } from '../errors.ts'
import type { AdapterWeight } from '../lora/composition.ts'
import { eventData } from './eventData.ts'

/** The server refused a request or failed while it answered; the message is the server's. */
export class ChatError extends LorikeetError {
  readonly code = 'chat_failed'
  override readonly status: number

  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

interface ErrorEnvelope {
  readonly error?: { readonly message?: string }
}

interface ChatChunk extends ErrorEnvelope {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[]
}

export interface ChatOptions {
  /** An adapter's name; without it the base answers. */
  readonly model?: string
  /** Several adapters of the base at once, each with a weight. */
  readonly lora?: readonly AdapterWeight[]
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly maxTokens?: number
  readonly temperature?: number
  readonly seed?: number
  readonly signal?: AbortSignal
}

/** Asks by `fetch`, and answers piece by piece. @throws ChatError with the server's message. */
export async function* chat(
  fetch: (input: string, init: RequestInit) => Promise<Response>,
  { model = '', maxTokens, signal, ...rest }: ChatOptions,
): AsyncGenerator<string, void, undefined> {
  const body = JSON.stringify({
    ...rest,
    model,
    stream: true,
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
  })
  const headers = { 'content-type': 'application/json' }
  const init: RequestInit = { method: 'POST', headers, body, ...(signal ? { signal } : {}) }
  yield* chatPieces(await fetch('http://lorikeet/v1/chat/completions', init))
}

/**
 * Pieces of the first choice's content, as they come. Leaving early cancels the answer.
 * @throws ChatError for a refusal, or for an error in the middle of the stream.
 */
export async function* chatPieces(response: Response): AsyncGenerator<string, void, undefined> {
  if (!response.ok) {
    const { error } = (await response.json()) as ErrorEnvelope
    throw new ChatError(error?.message ?? `The server answered ${response.status}`, response.status)
  }
  for await (const data of eventData(response.body!)) {
    if (data === '[DONE]') return
    const { error, choices } = JSON.parse(data) as ChatChunk
    if (error) throw new ChatError(error.message ?? 'The stream failed', 500)
    const piece = choices?.[0]?.delta?.content
    if (piece) yield piece
  }
}
