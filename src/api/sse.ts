/**
 * Server-sent events, pulled by the reader: nothing is asked of the engine that the client's connection has no room
 * for, and a client that goes away is noticed at once.
 */
import { errorEnvelope } from './errors.ts'

/**
 * A `text/event-stream` of `chunks` as JSON, ended by `[DONE]`. An error becomes an event with the usual envelope; it
 * is also given to `onError`. `onCancel` is called when the reader leaves early.
 */
export function eventStream(
  chunks: AsyncGenerator<unknown, void>,
  hooks: { readonly onCancel: () => void; readonly onError: (error: unknown) => void },
): Response {
  const encoder = new TextEncoder()
  let isCancelled = false
  const events = withEnd(chunks, (error) => {
    if (!isCancelled) hooks.onError(error)
  })
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await events.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(`data: ${value}\n\n`))
      },
      cancel() {
        isCancelled = true
        hooks.onCancel()
        // Not awaited: it waits for a pull under way, which ends when the engine has seen the abort.
        events.return().catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // nginx would collect the stream otherwise.
      'x-accel-buffering': 'no',
    },
  })
}

async function* withEnd(
  chunks: AsyncGenerator<unknown, void>,
  onError: (error: unknown) => void,
): AsyncGenerator<string, void> {
  try {
    for await (const chunk of chunks) yield JSON.stringify(chunk)
  } catch (error) {
    onError(error)
    yield JSON.stringify(errorEnvelope(error).body)
  }
  yield '[DONE]'
}
