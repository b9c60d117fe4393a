/** Requests and responses over a port: what goes in comes out, no faster than it is read, and both sides can end it. */
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { Handler } from '../../../src/api/handler.ts'
import { LorikeetError } from '../../../src/errors.ts'
import { fetchOver, type Link, requestData, WINDOW } from '../../../src/hosts/browser/relay/fetchClient.ts'
import { answerFetch } from '../../../src/hosts/browser/relay/fetchServer.ts'
import { WorkerLostError } from '../../../src/hosts/browser/relay/remoteError.ts'

// What hangs here is a bug, not a slow device.
vi.setConfig({ testTimeout: 20_000 })

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** A link to `handler` through a channel, and the way to cut it. */
function linkTo(handler: Handler): Link & { cut(): void; answered: Promise<void>[] } {
  const gone = new AbortController()
  const answered: Promise<void>[] = []
  return {
    send(message, transfer) {
      const { port1, port2 } = new MessageChannel()
      port2.onmessage = ({ data }) => {
        port2.close()
        answered.push(answerFetch(handler, data))
      }
      port1.postMessage(message, transfer as never)
    },
    gone: gone.signal,
    cut: () => gone.abort(new WorkerLostError('gone')),
    answered,
  }
}

async function ask(handler: Handler, init: RequestInit = {}, signal: AbortSignal | null = null): Promise<Response> {
  return await fetchOver(linkTo(handler), await requestData(new Request('http://lorikeet/v1/x?y=1', init)), signal)
}

/** A body that counts how often it is asked for more, and knows when it was cancelled. */
function counted(chunk: (n: number) => Uint8Array | null): {
  body: ReadableStream<Uint8Array>
  made: () => number
  cancelled: Promise<void>
} {
  let made = 0
  let onCancel = (): void => {}
  const cancelled = new Promise<void>((resolve) => {
    onCancel = resolve
  })
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const bytes = chunk(made)
        if (!bytes) return controller.close()
        made++
        controller.enqueue(bytes)
      },
      cancel: () => onCancel(),
    },
    { highWaterMark: 0 },
  )
  return { body, made: () => made, cancelled }
}

/** Resolves when `value` has been the same through many turns of the event loop. */
async function settled(value: () => number): Promise<number> {
  let last = value()
  for (let still = 0; still < 20; still++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (value() !== last) {
      last = value()
      still = 0
    }
  }
  return last
}

describe('a relayed fetch', () => {
  it('carries method, address, headers and body one way, status, headers and body the other', async () => {
    const response = await ask(
      async (request) => {
        const said = `${request.method} ${request.url} ${request.headers.get('x-a')} ${await request.text()}`
        return new Response(said, { status: 201, headers: { 'x-b': '2' } })
      },
      { method: 'POST', headers: { 'x-a': '1' }, body: '{"z":3}' },
    )
    expect(response.status).toBe(201)
    expect(response.headers.get('x-b')).toBe('2')
    expect(await response.text()).toBe('POST http://lorikeet/v1/x?y=1 1 {"z":3}')
  })

  it('carries an answer without a body', async () => {
    const response = await ask(async () => new Response(null, { status: 204 }))
    expect(response.status).toBe(204)
    expect(response.body).toBeNull()
  })

  it('reads no further ahead than its window', async () => {
    const source = counted((n) => text(`${n} `))
    const response = await ask(async () => new Response(source.body))
    expect(await settled(source.made)).toBe(WINDOW)
    const reader = response.body!.getReader()
    for (let n = 0; n < 5; n++) expect(new TextDecoder().decode((await reader.read()).value)).toBe(`${n} `)
    expect(await settled(source.made)).toBe(WINDOW + 5)
    await reader.cancel()
    await source.cancelled
  })

  it('brings every byte in order, however it is cut and read', async () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 60 })
    const pauses = fc.array(fc.nat(3), { maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(chunks, pauses, async (sent, waits) => {
        const source = counted((n) => sent[n]?.slice() ?? null)
        const response = await ask(async () => new Response(source.body))
        const got: number[] = []
        const reader = response.body!.getReader()
        for (let n = 0; ; n++) {
          for (let turn = 0; turn < (waits[n] ?? 0); turn++) await new Promise((resolve) => setImmediate(resolve))
          const { done, value } = await reader.read()
          if (done) break
          got.push(...value)
          expect(source.made() - (n + 1)).toBeLessThanOrEqual(WINDOW)
        }
        expect(got).toEqual(sent.flatMap((each) => [...each]))
      }),
      { numRuns: 60 },
    )
  })

  it('does not take bytes away from what only lent them', async () => {
    const whole = text('abcdef')
    const parts = [whole.subarray(0, 3), whole.subarray(3)]
    const response = await ask(async () => new Response(counted((n) => parts[n] ?? null).body))
    expect(await response.text()).toBe('abcdef')
    expect(whole.byteLength).toBe(6)
  })

  it('is aborted on the other side when it is aborted here, before the answer', async () => {
    const here = new AbortController()
    const link = linkTo(
      (request) =>
        new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => reject(request.signal.reason))
          here.abort()
        }),
    )
    const asked = fetchOver(link, await requestData(new Request('http://lorikeet/')), here.signal)
    await expect(asked).rejects.toMatchObject({ name: 'AbortError' })
    await link.answered[0]
  })

  it('is aborted in the middle of the answer', async () => {
    const here = new AbortController()
    const source = counted((n) => text(`${n}`))
    const response = await ask(async () => new Response(source.body), {}, here.signal)
    const reader = response.body!.getReader()
    await reader.read()
    here.abort()
    await source.cancelled
    await expect(
      (async () => {
        for (;;) await reader.read()
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('is not sent when it was aborted before', async () => {
    const handler: Handler = async () => {
      throw new Error('must not be asked')
    }
    await expect(ask(handler, {}, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('frees the other side when its reader leaves', async () => {
    const source = counted((n) => text(`${n}`))
    const response = await ask(async () => new Response(source.body))
    await response.body!.cancel()
    await source.cancelled
  })

  it('also where the other side waits for something that never comes', async () => {
    let cancelled = (): void => {}
    const done = new Promise<void>((resolve) => {
      cancelled = resolve
    })
    const body = new ReadableStream({ pull: () => new Promise(() => {}), cancel: () => cancelled() })
    const response = await ask(async () => new Response(body))
    await response.body!.cancel()
    await done
  })

  it('throws what the other side threw, with what makes it typed', async () => {
    class Refused extends LorikeetError {
      readonly code = 'refused'
      override readonly status = 418
      override readonly param = 'tea'
    }
    const asked = ask(async () => {
      throw new Refused('no tea')
    })
    await expect(asked).rejects.toMatchObject({
      ...{ name: 'Refused', code: 'refused', status: 418, param: 'tea', message: 'no tea' },
    })
    await expect(asked).rejects.toBeInstanceOf(LorikeetError)
  })

  it('breaks off with the error that broke the body off', async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error('broken')) })
    const response = await ask(async () => new Response(body))
    await expect(response.text()).rejects.toMatchObject({ message: 'broken', code: 'internal', status: 500 })
  })

  it('fails when the other side is gone, before and in the middle of the answer', async () => {
    const link = linkTo((request) =>
      request.url.endsWith('never')
        ? new Promise(() => {})
        : Promise.resolve(new Response(counted(() => text('x')).body)),
    )
    const waiting = fetchOver(link, await requestData(new Request('http://lorikeet/never')))
    const response = await fetchOver(link, await requestData(new Request('http://lorikeet/now')))
    const reader = response.body!.getReader()
    await reader.read()
    link.cut()
    await expect(waiting).rejects.toBeInstanceOf(WorkerLostError)
    await expect(
      (async () => {
        for (;;) if ((await reader.read()).done) return
      })(),
    ).rejects.toBeInstanceOf(WorkerLostError)
    await expect(fetchOver(link, await requestData(new Request('http://lorikeet/')))).rejects.toBeInstanceOf(
      WorkerLostError,
    )
  })
})
