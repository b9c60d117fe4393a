/** The server that sent this page, if it is lorikeet: told by what `GET v1/models` answers. */
import { jsonInit } from './api.ts'
import { ApiError, apiErrorOf } from './apiError.ts'
import type { Backend, LoadWish } from './backend.ts'
import type { AdapterSource, CheckReport } from './types.ts'

type Fetch = (input: string, init?: RequestInit) => Promise<Response>

export interface ServerAddress {
  /** The page's folder, with a trailing slash. */
  readonly base: string
  /** Sent as a bearer token when it is not empty. */
  readonly apiKey: string
  readonly fetch: Fetch
  /** `http/1.1`, `h2`, …: how this page came. */
  readonly protocol: string
}

/** `here`: a lorikeet answers. `locked`: it wants a key. `none`: files, or something else, or nobody. */
export type ServerPresence = 'here' | 'locked' | 'none'

/** Over HTTP/1.1 browsers open six connections to a server; one is for the page's own questions. */
const HTTP1_STREAMS = 5

export async function findServer(server: ServerAddress): Promise<ServerPresence> {
  let response: Response
  try {
    response = await send(server, 'v1/models')
  } catch {
    return 'none'
  }
  const body = (await response.json().catch(() => null)) as {
    data?: readonly { owned_by?: string }[]
    error?: { type?: string }
  } | null
  if (response.status === 401) return body?.error ? 'locked' : 'none'
  return response.ok && body?.data?.[0]?.owned_by === 'lorikeet' ? 'here' : 'none'
}

export function serverBackend(server: ServerAddress): Backend {
  const fetch = (path: string, init?: RequestInit): Promise<Response> => send(server, path, init)
  const post = async (path: string, body: object): Promise<Response> => {
    const response = await fetch(path, jsonInit(body))
    if (!response.ok) throw await apiErrorOf(response)
    return response
  }
  const load = async (path: string, name: string, { pinned, replace = false }: LoadWish): Promise<void> => {
    const wish = pinned === undefined ? {} : { pinned }
    await post('v1/load_lora_adapter', { lora_name: name, lora_path: path, load_inplace: replace, ...wish })
  }
  return {
    kind: 'server',
    address: server.base.replace(/\/$/, ''),
    maxStreams: /^h[23]/.test(server.protocol) ? Number.POSITIVE_INFINITY : HTTP1_STREAMS,
    sources: ['path'],
    model: null,
    fetch,
    async check(source, name) {
      const body = { lora_path: pathOf(source), lora_name: name }
      const answer = (await (await post('v1/lora_adapters/check', body)).json()) as CheckJson
      const { loaded_as, would_evict, would_wait, ...rest } = answer
      return { ...rest, loadedAs: loaded_as, wouldEvict: would_evict, wouldWait: would_wait }
    },
    load: (source, name, wish = {}) => load(pathOf(source), name, wish),
    async unload(name) {
      await post('v1/unload_lora_adapter', { lora_name: name })
    },
    pin: (name, root, pinned) => load(root, name, { pinned, replace: true }),
    cache: null,
    lost: new Promise(() => undefined),
    async close() {},
  }
}

type CheckJson = Omit<CheckReport, 'loadedAs' | 'wouldEvict' | 'wouldWait'> & {
  readonly loaded_as: readonly string[]
  readonly would_evict: readonly string[]
  readonly would_wait: boolean
}

function pathOf(source: AdapterSource): string {
  if (source.type === 'path') return source.path
  throw new ApiError('The server reads adapters from its own disk: give it a path there, or run the model in this tab.')
}

async function send({ base, apiKey, fetch }: ServerAddress, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  if (apiKey !== '') headers.set('authorization', `Bearer ${apiKey}`)
  try {
    return await fetch(new URL(path, base).href, { ...init, headers })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new ApiError('The server cannot be reached. Is it still running?')
  }
}
