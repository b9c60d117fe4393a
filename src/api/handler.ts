/**
 * The whole server as one function: `(Request) => Promise<Response>`. A page calls it in-process, a host binds it to a
 * port. Routes and what every answer needs (request id, keys, CORS, errors) are here; what a route does is in its own
 * file.
 */
import type { Context } from 'hono'
import { cors } from 'hono/cors'
import { routePath } from 'hono/route'
import { Hono } from 'hono/tiny'
import { part } from '../part.ts'
import { acceptsKey } from './apiKeys.ts'
import { MAX_BODY_BYTES, readJsonArray, readJsonObject } from './body.ts'
import { type ChatRun, startChat } from './chatCompletions.ts'
import { chatSchema } from './chatParams.ts'
import type { CompletionRun } from './completions.ts'
import {
  ContentTypeError,
  EngineNotReadyError,
  errorEnvelope,
  MethodNotAllowedError,
  RouteNotFoundError,
  retryAfterSeconds,
  UnauthorizedError,
} from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { Nullish } from './generationFields.ts'
import { loraList } from './lora.ts'
import { metadataJson } from './metadata.ts'
import { modelCard, modelCards } from './models.ts'
import { assertTrustedOrigin } from './origins.ts'
import { ResponseCounts } from './responseCounts.ts'
import type { Service } from './service.ts'
import { eventStream } from './sse.ts'
import { type ParamsSchema, parse, validate } from './validate.ts'

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

type Env = { Variables: { requestId: string } }
type Call = Context<Env>
type Answer<Params> = (exchange: Exchange, params: Params) => Promise<Response> | Response

// Loaded when first asked for. What most pages ask for, chat and models, is not among them.
const completions = () => part(() => import('./completions.ts'))
const loraAdapters = () => part(() => import('./loraAdapters.ts'))
const loraScales = () => part(() => import('./loraScales.ts'))
const metrics = () => part(() => import('./metrics.ts'))
const runtimeLora = () => part(() => import('./runtimeLora.ts'))
const stats = () => part(() => import('./stats.ts'))
const tokenizing = () => part(() => import('./tokenize.ts'))

/** Never rejects: whatever goes wrong is a response with OpenAI's error envelope. */
export function createHandler(service: Service, options: HandlerOptions = {}): Handler {
  const app = new Hono<Env>()
  const responses = new ResponseCounts()
  const { apiKeys = [], corsOrigins = [], maxBodyBytes = MAX_BODY_BYTES, strict = false } = options

  app.use(async (c, next) => {
    const given = c.req.header('x-request-id') ?? ''
    c.set('requestId', REQUEST_ID.test(given) ? given : crypto.randomUUID().replaceAll('-', ''))
    const startedAt = performance.now()
    await next()
    c.header('x-request-id', c.get('requestId'))
    responses.add(routePath(c, -1), c.res.status)
    const ms = Math.round(performance.now() - startedAt)
    service.log('debug', `${c.req.method} ${c.req.path} ${c.res.status}`, { requestId: c.get('requestId'), ms })
  })
  if (corsOrigins.length > 0) {
    app.use(
      cors({
        origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
        exposeHeaders: ['x-request-id', 'x-lorikeet-ignored', 'retry-after'],
        maxAge: 3600,
      }),
    )
  }
  if (apiKeys.length > 0) {
    app.use(async (c, next) => {
      if (!OPEN_PATHS.has(c.req.path) && !acceptsKey(c.req.header('authorization') ?? null, apiKeys)) {
        c.header('www-authenticate', 'Bearer')
        throw new UnauthorizedError('Missing or wrong API key. Send it as `Authorization: Bearer KEY`.')
      }
      await next()
    })
  }

  const get = (path: string, answer: (c: Call) => Promise<Response> | Response): void => {
    app.get(path, answer)
    refuseOtherMethods(path, 'GET, HEAD')
  }
  const post = <Params>(path: string, load: () => Promise<readonly [ParamsSchema<Params>, Answer<Params>]>): void => {
    app.post(path, async (c) => {
      assertAskedFirst(c.req.raw)
      const body = await readJsonObject(c.req.raw, maxBodyBytes)
      const [schema, answer] = await load()
      const { params, ignored } = validate(schema, body, { strict })
      const requestId = c.get('requestId')
      const response = await answer({ service, requestId, signal: c.req.raw.signal }, params)
      if (ignored.length > 0) {
        response.headers.set('x-lorikeet-ignored', ignored.slice(0, MAX_NAMED).map(headerName).join(', '))
        service.log('warn', `${path}: fields without meaning here were ignored`, { requestId, fields: ignored })
      }
      return response
    })
    refuseOtherMethods(path, 'POST')
  }
  const refuseOtherMethods = (path: string, allowed: string): void => {
    app.all(path, (c) => {
      c.header('allow', allowed)
      throw new MethodNotAllowedError(`${c.req.method} is not allowed on ${c.req.path}; it takes ${allowed}.`)
    })
  }
  const assertReady = (): void => {
    const { state } = service.engine.stats()
    if (state !== 'ready') throw new EngineNotReadyError(state)
  }
  const streamHooks = (exchange: Exchange, run: { abort(): void }) => ({
    onCancel: () => run.abort(),
    onError: (error: unknown) => logFailure(service, error, exchange.requestId),
  })

  get('/v1/models', (c) => c.json({ object: 'list', data: modelCards(service) }))
  get('/v1/models/:id{.+}', (c) => c.json(modelCard(service, c.req.param('id') ?? '')))
  const generation =
    <Params extends { readonly stream?: Nullish<boolean> }>(
      start: (exchange: Exchange, params: Params) => Promise<ChatRun | CompletionRun>,
    ): Answer<Params> =>
    async (exchange, params) => {
      const run = await start(exchange, params)
      return params.stream ? eventStream(run.chunks(), streamHooks(exchange, run)) : Response.json(await run.whole())
    }
  post('/v1/chat/completions', async () => [chatSchema, generation(startChat)])
  post('/v1/completions', async () => {
    const { completionSchema, startCompletion } = await completions()
    return [completionSchema, generation(startCompletion)]
  })
  post('/tokenize', async () => {
    const { tokenize, tokenizeSchema } = await tokenizing()
    return [tokenizeSchema, (_, params) => Response.json(tokenize(service, params))]
  })
  post('/detokenize', async () => {
    const { detokenize, detokenizeSchema } = await tokenizing()
    return [detokenizeSchema, (_, params) => Response.json(detokenize(service, params))]
  })
  for (const path of RUNTIME_LORA_PATHS) {
    app.use(path, async (c, next) => {
      assertTrustedOrigin(c.req.raw, corsOrigins)
      await next()
    })
  }
  post('/v1/load_lora_adapter', async () => {
    const { loadAsVllm, loadSchema } = await runtimeLora()
    return [loadSchema, loadAsVllm]
  })
  post('/v1/unload_lora_adapter', async () => {
    const { unloadAsVllm, unloadSchema } = await runtimeLora()
    return [unloadSchema, unloadAsVllm]
  })
  post('/load_lora_adapter', async () => {
    const { loadAsSglang, sglangLoadSchema } = await runtimeLora()
    return [sglangLoadSchema, loadAsSglang]
  })
  post('/unload_lora_adapter', async () => {
    const { sglangUnloadSchema, unloadAsSglang } = await runtimeLora()
    return [sglangUnloadSchema, unloadAsSglang]
  })
  get('/v1/lora_adapters', async (c) => {
    const { adapterStatuses } = await loraAdapters()
    return c.json({ object: 'list', data: adapterStatuses(service) })
  })
  post('/v1/lora_adapters/check', async () => {
    const { checkAdapter, checkSchema } = await loraAdapters()
    return [checkSchema, async (exchange, params) => Response.json(await checkAdapter(exchange, params))]
  })
  app.get('/lora-adapters', async (c) => c.json((await loraScales()).loraScales(service)))
  app.post('/lora-adapters', async (c) => {
    assertTrustedOrigin(c.req.raw, corsOrigins)
    assertAskedFirst(c.req.raw)
    const list = parse(loraList, await readJsonArray(c.req.raw, maxBodyBytes))
    const { setLoraScales } = await loraScales()
    return c.json(await setLoraScales({ service, requestId: c.get('requestId'), signal: c.req.raw.signal }, list))
  })
  refuseOtherMethods('/lora-adapters', 'GET, HEAD, POST')
  for (const path of ['/health', '/ping']) {
    get(path, (c) => {
      assertReady()
      return c.body(null)
    })
  }
  get('/v1/health/live', (c) => c.json({ object: 'health.response', message: 'Service is live.' }))
  get('/v1/health/ready', (c) => {
    assertReady()
    return c.json({ object: 'health.response', message: 'Service is ready.' })
  })
  get('/v1/metadata', (c) => c.json(metadataJson(service)))
  for (const path of ['/metrics', '/v1/metrics']) {
    get(path, async (c) => {
      const { METRICS_CONTENT_TYPE, metricsText } = await metrics()
      return c.body(metricsText(service, responses), 200, { 'content-type': METRICS_CONTENT_TYPE })
    })
  }
  get('/v1/stats', async (c) => c.json((await stats()).statsJson(service, c.req.query('since'))))
  get('/version', (c) => c.json({ version: service.version }))

  const refuse = (error: unknown, c: Call): Response => {
    const { status, body } = errorEnvelope(error)
    logFailure(service, error, c.get('requestId'))
    const retryAfter = retryAfterSeconds(error, status)
    if (retryAfter !== null) c.header('retry-after', String(retryAfter))
    return c.json(body, status as 400)
  }
  app.notFound((c) => refuse(new RouteNotFoundError(`There is no ${c.req.method} ${c.req.path} here.`), c))
  app.onError(refuse)
  return async (request) => await app.fetch(request)
}

/**
 * A browser lets a page send text/plain to any origin without asking it first. With JSON it asks, and CORS decides.
 * @throws ContentTypeError
 */
function assertAskedFirst({ headers }: Request): void {
  if (headers.has('origin') && !/^application\/json\b/i.test(headers.get('content-type') ?? '')) {
    throw new ContentTypeError()
  }
}

/** What changes the adapters, or reads files that a request names. */
const RUNTIME_LORA_PATHS: readonly string[] = [
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/load_lora_adapter',
  '/unload_lora_adapter',
  '/v1/lora_adapters/check',
]

/** Printable, of a length that fits a log line. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** What load balancers ask without a key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/health', '/ping', '/version', '/v1/health/live', '/v1/health/ready'])

/** Most fields that a header names. */
const MAX_NAMED = 20

/** A field's name as a header may hold it. */
function headerName(field: string): string {
  return encodeURIComponent(field.replace(/\p{Surrogate}/gu, '\ufffd')).slice(0, 128)
}

/** What is our fault is an error with its stack, what is the client's a line for those who look closely. */
function logFailure(service: Service, error: unknown, requestId: string): void {
  const { status, body } = errorEnvelope(error)
  if (status < 500) {
    service.log('debug', body.error.message, { requestId, status })
    return
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
  service.log('error', body.error.message, { requestId, status, detail })
}
