/** What is served where. What a route does is in a file of its own, and what every answer has is in handler.ts. */
import { part } from '../part.ts'
import { readJsonArray, readJsonObject } from './body.ts'
import { type ChatRun, startChat } from './chatCompletions.ts'
import { chatSchema } from './chatParams.ts'
import type { CompletionRun } from './completions.ts'
import { ContentTypeError, EngineNotReadyError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { Nullish } from './generationFields.ts'
import { logFailure } from './logFailure.ts'
import { loraList } from './lora.ts'
import { metadataJson } from './metadata.ts'
import { modelCard, modelCards } from './models.ts'
import { assertTrustedOrigin } from './origins.ts'
import type { ResponseCounts } from './responseCounts.ts'
import { Router } from './router.ts'
import type { Service } from './service.ts'
import { eventStream } from './sse.ts'
import { type ParamsSchema, parse, validate } from './validate.ts'

export interface RouteOptions {
  /** Origins whose pages may change what is served, besides those of this machine. */
  readonly corsOrigins: readonly string[]
  readonly maxBodyBytes: number
  /** Refuse fields that nobody knows. */
  readonly strict: boolean
}

/** A request on its way to its route. */
export interface Call extends Exchange {
  readonly request: Request
  /** What `*` stands for in the path of the route. */
  readonly rest: string
}

export type Answer = (call: Call) => Promise<Response> | Response
type PostAnswer<Params> = (exchange: Exchange, params: Params) => Promise<Response> | Response

// Loaded when first asked for. What most pages ask for, chat and models, is not among them.
const completions = () => part(() => import('./completions.ts'))
const loraAdapters = () => part(() => import('./loraAdapters.ts'))
const loraScales = () => part(() => import('./loraScales.ts'))
const metrics = () => part(() => import('./metrics.ts'))
const runtimeLora = () => part(() => import('./runtimeLora.ts'))
const stats = () => part(() => import('./stats.ts'))
const tokenizing = () => part(() => import('./tokenize.ts'))

/** All routes; `responses` is what is told of them. An answer throws what is wrong with its request. */
export function routesOf(
  service: Service,
  { corsOrigins, maxBodyBytes, strict }: RouteOptions,
  responses: ResponseCounts,
): Router<Answer> {
  const router = new Router<Answer>()
  const get = (path: string, answer: Answer): void => router.add(path, { GET: answer })
  const post = <Params>(
    path: string,
    load: () => Promise<readonly [ParamsSchema<Params>, PostAnswer<Params>]>,
  ): void => {
    const answer: Answer = async (call) => {
      assertAskedFirst(call.request)
      const body = await readJsonObject(call.request, maxBodyBytes)
      const [schema, answerWith] = await load()
      const { params, ignored } = validate(schema, body, { strict })
      const response = await answerWith(call, params)
      if (ignored.length > 0) {
        response.headers.set('x-lorikeet-ignored', ignored.slice(0, MAX_NAMED).map(headerName).join(', '))
        const { requestId } = call
        service.log('warn', `${path}: fields without meaning here were ignored`, { requestId, fields: ignored })
      }
      return response
    }
    router.add(path, { POST: answer })
  }
  const assertReady = (): void => {
    const { state } = service.engine.stats()
    if (state !== 'ready') throw new EngineNotReadyError(state)
  }
  const streamHooks = (exchange: Exchange, run: { abort(): void }) => ({
    onCancel: () => run.abort(),
    onError: (error: unknown) => logFailure(service, error, exchange.requestId),
  })

  get('/v1/models', () => Response.json({ object: 'list', data: modelCards(service) }))
  get('/v1/models/*', ({ rest }) => Response.json(modelCard(service, rest)))
  const generation =
    <Params extends { readonly stream?: Nullish<boolean> }>(
      start: (exchange: Exchange, params: Params) => Promise<ChatRun | CompletionRun>,
    ): PostAnswer<Params> =>
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
  get('/v1/lora_adapters', async () => {
    const { adapterStatuses } = await loraAdapters()
    return Response.json({ object: 'list', data: adapterStatuses(service) })
  })
  post('/v1/lora_adapters/check', async () => {
    const { checkAdapter, checkSchema } = await loraAdapters()
    return [checkSchema, async (exchange, params) => Response.json(await checkAdapter(exchange, params))]
  })
  router.add('/lora-adapters', {
    GET: async () => Response.json((await loraScales()).loraScales(service)),
    async POST(call) {
      assertTrustedOrigin(call.request, corsOrigins)
      assertAskedFirst(call.request)
      const list = parse(loraList, await readJsonArray(call.request, maxBodyBytes))
      return Response.json(await (await loraScales()).setLoraScales(call, list))
    },
  })
  for (const path of ['/health', '/ping']) {
    get(path, () => {
      assertReady()
      return new Response()
    })
  }
  get('/v1/health/live', () => Response.json({ object: 'health.response', message: 'Service is live.' }))
  get('/v1/health/ready', () => {
    assertReady()
    return Response.json({ object: 'health.response', message: 'Service is ready.' })
  })
  get('/v1/metadata', () => Response.json(metadataJson(service)))
  for (const path of ['/metrics', '/v1/metrics']) {
    get(path, async () => {
      const { METRICS_CONTENT_TYPE, metricsText } = await metrics()
      return new Response(metricsText(service, responses), { headers: { 'content-type': METRICS_CONTENT_TYPE } })
    })
  }
  get('/v1/stats', async ({ request }) => {
    const { statsJson } = await stats()
    return Response.json(statsJson(service, new URL(request.url).searchParams.get('since') ?? undefined))
  })
  get('/version', () => Response.json({ version: service.version }))
  return router
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

/** Most fields that a header names. */
const MAX_NAMED = 20

/** A field's name as a header may hold it. */
function headerName(field: string): string {
  return encodeURIComponent(field.replace(/\p{Surrogate}/gu, '\ufffd')).slice(0, 128)
}
