import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { SourceError } from '../../src/weights/source.ts'
import { openUrl } from '../../src/weights/urlSource.ts'

const content = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) % 253)
const servers: Server[] = []

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

interface Asked {
  readonly start: number
  readonly end: number
  /** How many requests came before this one. */
  readonly index: number
}

type Answer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void

/** Answers a range as it should be. */
const honest: Answer = ({ start, end }, response) => {
  const last = Math.min(end, content.byteLength - 1)
  response.writeHead(206, { 'content-range': `bytes ${start}-${last}/${content.byteLength}`, etag: '"1"' })
  response.end(content.subarray(start, last + 1))
}

/** A server on this machine, its address, and the ranges it was asked for. */
async function serve(answer: Answer): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const [start = 0, end = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).slice(1).map(Number)
    asked.push({ start, end, index: asked.length })
    answer(asked.at(-1)!, response, request)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.bin?secret=1`, asked }
}

const quick = { backoffMs: 0 }
const part = (start: number, length: number) => content.slice(start, start + length)

describe('openUrl', () => {
  it('reads ranges, and keeps the head it read when it opened', async () => {
    const { url, asked } = await serve(honest)
    const source = await openUrl(url)
    expect(source.size).toBe(content.byteLength)
    expect(await source.read(0, 100)).toEqual(part(0, 100))
    expect(asked).toHaveLength(1)
    expect(await source.read(150_000, 50_000)).toEqual(part(150_000, 50_000))
    expect(asked[1]).toMatchObject({ start: 150_000, end: 199_999 })
    // Half in the head, half behind it: only the second half is asked for.
    expect(await source.read(65_000, 1000)).toEqual(part(65_000, 1000))
    expect(asked[2]).toMatchObject({ start: 65_536, end: 65_999 })
    await source.close()
  })

  it('keeps the query out of its name and sends the headers it is given', async () => {
    let authorization: string | undefined
    const { url } = await serve((asked, response, request) => {
      authorization = request.headers.authorization
      honest(asked, response, request)
    })
    const source = await openUrl(url, { headers: { authorization: 'Bearer x' } })
    expect(source.name).toMatch(/\/a\.bin$/)
    expect(authorization).toBe('Bearer x')
  })

  it('reads a file smaller than its head with one request', async () => {
    const { url, asked } = await serve((_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-4/5' })
      response.end('hello')
    })
    const source = await openUrl(url)
    expect(new TextDecoder().decode(await source.read(0, 5))).toBe('hello')
    expect(asked).toHaveLength(1)
  })

  it('reads an empty file', async () => {
    const { url } = await serve((_, response) => response.writeHead(416, { 'content-range': 'bytes */0' }).end())
    expect((await openUrl(url)).size).toBe(0)
  })

  describe('when the server ignores ranges', () => {
    it('takes a small file whole, once', async () => {
      const { url, asked } = await serve((_, response) => response.end(content))
      const source = await openUrl(url)
      expect(await source.read(1000, 5000)).toEqual(part(1000, 5000))
      expect(await source.read(199_000, 1000)).toEqual(part(199_000, 1000))
      expect(asked).toHaveLength(1)
    })

    it('refuses a large one by its declared length, without reading it', async () => {
      const { url, asked } = await serve((_, response) => {
        response.writeHead(200, { 'content-length': 10 ** 12 })
        response.write('x')
      })
      await expect(openUrl(url)).rejects.toMatchObject({
        code: 'file_too_large',
        message: expect.stringContaining('does not answer range requests'),
      })
      expect(asked).toHaveLength(1)
    })

    it('refuses a large one that declares nothing, once it has seen enough', async () => {
      let sent = 0
      const { url } = await serve((_, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(content)) sent += content.byteLength
        }
        response.on('drain', more)
        more()
      })
      await expect(openUrl(url, { maxWholeBytes: 1_000_000 })).rejects.toMatchObject({ code: 'file_too_large' })
      expect(sent).toBeLessThan(20_000_000)
    })
  })

  describe('refuses', () => {
    const bad: [what: string, answer: Answer, code: string, message: string][] = [
      ['404', (_, response) => response.writeHead(404).end('no'), 'file_not_found', 'There is no file at http://'],
      ['403', (_, response) => response.writeHead(403).end('no'), 'file_unreadable', 'answered 403'],
      [
        '500, without trying again',
        (_, response) => response.writeHead(500).end('no'),
        'file_unreadable',
        'answered 500',
      ],
      [
        'no Content-Range',
        (_, response) => response.writeHead(206).end('x'),
        'file_unreadable',
        'Access-Control-Expose-Headers',
      ],
      [
        'an unknown size',
        (_, response) => response.writeHead(206, { 'content-range': 'bytes 0-4/*' }).end('hello'),
        'file_unreadable',
        'bytes 0-4/*',
      ],
      [
        'another range',
        (_, response) => response.writeHead(206, { 'content-range': 'bytes 1-5/9' }).end('hello'),
        'file_unreadable',
        'other bytes than asked',
      ],
      [
        'a range beyond its size',
        (_, response) => response.writeHead(206, { 'content-range': 'bytes 0-9/5' }).end('hello'),
        'file_unreadable',
        'Content-Range',
      ],
      [
        'a body longer than its range',
        (_, response) => response.writeHead(206, { 'content-range': 'bytes 0-2/3' }).end('hello'),
        'file_unreadable',
        'other bytes than asked',
      ],
      [
        '416 for a file that is not empty',
        (_, response) => response.writeHead(416, { 'content-range': 'bytes */7' }).end(),
        'file_unreadable',
        'other bytes than asked',
      ],
    ]
    it.each(bad)('%s', async (_, answer, code, message) => {
      const { url, asked } = await serve(answer)
      const error = await openUrl(url, quick).catch((cause: unknown) => cause)
      expect(error).toBeInstanceOf(SourceError)
      expect(error).toMatchObject({ code, message: expect.stringContaining(message) })
      expect((error as Error).message).not.toContain('secret')
      expect(asked).toHaveLength(1)
    })

    it('a file that changes between two ranges', async () => {
      for (const change of [
        { 'content-range': 'bytes 100000-100099/200001' },
        { 'content-range': 'bytes 100000-100099/200000', etag: '"2"' },
      ]) {
        const { url } = await serve((asked, response, request) => {
          if (asked.index === 0) return honest(asked, response, request)
          response.writeHead(206, change).end(new Uint8Array(100))
        })
        await expect((await openUrl(url)).read(100_000, 100)).rejects.toThrow('changed while it was read')
      }
    })

    it('a server that stops answering ranges', async () => {
      const { url } = await serve((asked, response, request) =>
        asked.index === 0 ? honest(asked, response, request) : response.end(content),
      )
      await expect((await openUrl(url)).read(100_000, 100)).rejects.toThrow('stopped answering ranges')
    })
  })

  describe('when the network fails', () => {
    it('tries again, from where it stopped', async () => {
      const { url, asked } = await serve((range, response, request) => {
        if (range.index !== 1) return honest(range, response, request)
        response.writeHead(206, {
          'content-range': `bytes ${range.start}-${range.end}/${content.byteLength}`,
          'content-length': range.end - range.start + 1,
        })
        response.write(content.subarray(range.start, range.start + 30_000), () => response.destroy())
      })
      const source = await openUrl(url, quick)
      expect(await source.read(100_000, 90_000)).toEqual(part(100_000, 90_000))
      expect(asked).toHaveLength(3)
      expect(asked[2]!.start).toBeGreaterThanOrEqual(100_000)
      expect(asked[2]!.end).toBe(189_999)
    })

    it('gives up after a few tries, and says why', async () => {
      let tries = 0
      const fetch = async (): Promise<Response> => {
        tries++
        throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
      }
      await expect(openUrl('https://example.org/a', { fetch, ...quick })).rejects.toMatchObject({
        code: 'file_unreadable',
        message:
          'https://example.org/a could not be fetched (4 tries): fetch failed: connect ECONNREFUSED. Check the address and the network.',
      })
      expect(tries).toBe(4)
    })

    it('gives up at once when it is aborted, also while it waits', async () => {
      const control = new AbortController()
      const fetch = async (): Promise<Response> => {
        queueMicrotask(() => control.abort(new Error('enough')))
        throw new TypeError('fetch failed')
      }
      await expect(openUrl('https://example.org/a', { fetch, backoffMs: 1e6, signal: control.signal })).rejects.toThrow(
        'enough',
      )
    })
  })

  it('stops a read in the middle when it is aborted', async () => {
    const control = new AbortController()
    const { url, asked } = await serve((range, response, request) => {
      if (range.index === 0) return honest(range, response, request)
      response.writeHead(206, { 'content-range': `bytes ${range.start}-${range.end}/${content.byteLength}` })
      response.write('x', () => control.abort(new Error('enough')))
    })
    const source = await openUrl(url)
    await expect(source.read(100_000, 1000, control.signal)).rejects.toThrow('enough')
    expect(asked).toHaveLength(2)
    await source.close()
    await expect(source.read(0, 1)).rejects.toThrow('is closed')
  })
})
