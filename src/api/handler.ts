/**
 * The whole server as one function: `(Request) => Promise<Response>`. A page calls it in-process, a host binds it to a
 * port. What every answer needs (request id, keys, CORS, errors) is here, what is served where in routes.ts.
 */
import { acceptsKey } from './apiKeys.ts'
import { MAX_BODY_BYTES } from './body.ts'
import { Cors } from './cors.ts'
import {
  errorEnvelope,
  MethodNotAllowedError,
  RouteNotFoundError,
  retryAfterSeconds,
  UnauthorizedError,
} from './errors.ts'
import { logFailure } from './logFailure.ts'
import { assertTrustedOrigin } from './origins.ts'
import { ResponseCounts } from './responseCounts.ts'
import { allowed, answerTo, type Found } from './router.ts'
import { type Answer, routesOf } from './routes.ts'
import type { Service } from './service.ts'

export interface HandlerOptions {
  /** Any of them opens every route but the health checks; with none no key is asked for. */
  readonly apiKeys?: readonly string[]
  /** Origins whose pages may call this server; `*` is all of them. Default none. */
  readonly corsOrigins?: readonly string[]
  /** Default 8 MiB. */
  readonly maxBodyBytes?: number
  /** Refuse fields that nobody knows instead of naming them in `x-lorikeet-ignored`. */
  readonly strict?: boolean
}

export type Handler = (request: Request) => Promise<Response>

/** Never rejects: whatever goes wrong is a response with OpenAI's error envelope. */
export function createHandler(service: Service, options: HandlerOptions = {}): Handler {
  const responses = new ResponseCounts()
  const { apiKeys = [], corsOrigins = [], maxBodyBytes = MAX_BODY_BYTES, strict = false } = options
  const cors = corsOrigins.length > 0 ? new Cors(corsOrigins) : null
  const routes = routesOf(service, { corsOrigins, maxBodyBytes, strict }, responses)

  const refuse = (error: unknown, requestId: string, headers: Readonly<Record<string, string>> = {}): Response => {
    const { status, body } = errorEnvelope(error)
    logFailure(service, error, requestId)
    const seconds = retryAfterSeconds(error, status)
    const retryAfter = seconds === null ? {} : { 'retry-after': String(seconds) }
    return Response.json(body, { status, headers: { ...headers, ...retryAfter } })
  }
  const answer = async (request: Request, path: string, found: Found<Answer> | null, id: string): Promise<Response> => {
    try {
      if (apiKeys.length > 0 && !OPEN_PATHS.has(path) && !acceptsKey(request.headers.get('authorization'), apiKeys)) {
        const error = new UnauthorizedError('Missing or wrong API key. Send it as `Authorization: Bearer KEY`.')
        return refuse(error, id, { 'www-authenticate': 'Bearer' })
      }
      if (!found) throw new RouteNotFoundError(`There is no ${request.method} ${path} here.`)
      const { route, rest } = found
      if (RUNTIME_LORA_PATHS.has(path)) assertTrustedOrigin(request, corsOrigins)
      const answerCall = answerTo(route, request.method)
      if (!answerCall) {
        const allow = allowed(route)
        const error = new MethodNotAllowedError(`${request.method} is not allowed on ${path}; it takes ${allow}.`)
        return refuse(error, id, { allow })
      }
      const response = await answerCall({ service, request, rest, requestId: id, signal: request.signal })
      return request.method === 'HEAD' ? new Response(null, response) : response
    } catch (error) {
      return refuse(error, id)
    }
  }
  return async (request) => {
    const startedAt = performance.now()
    const { method, headers, url } = request
    const given = headers.get('x-request-id') ?? ''
    const requestId = REQUEST_ID.test(given) ? given : crypto.randomUUID().replaceAll('-', '')
    const path = new URL(url).pathname
    const found = routes.find(path)
    const isPreflight = cors !== null && method === 'OPTIONS'
    const response = isPreflight ? cors.preflight(request) : await answer(request, path, found, requestId)
    if (!isPreflight) cors?.open(request, response)
    response.headers.set('x-request-id', requestId)
    responses.add(found?.route.path ?? '/*', response.status)
    const ms = Math.round(performance.now() - startedAt)
    service.log('debug', `${method} ${path} ${response.status}`, { requestId, ms })
    return response
  }
}

/** What changes the adapters, or reads files that a request names. */
const RUNTIME_LORA_PATHS: ReadonlySet<string> = new Set([
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/load_lora_adapter',
  '/unload_lora_adapter',
  '/v1/lora_adapters/check',
])

/** Printable, of a length that fits a log line. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** What load balancers ask without a key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/health', '/ping', '/version', '/v1/health/live', '/v1/health/ready'])
