/**
 * Adapters that come and go by request: `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter` as vLLM has them,
 * `POST /load_lora_adapter` and `/unload_lora_adapter` as SGLang has them. Bodies, statuses and texts are theirs where
 * the case is theirs; what vLLM answers with a 500 because of what the client sent is a 400 here.
 */
import { array, nullish, number, object, picklist, string } from 'valibot'
import { LorikeetError } from '../errors.ts'
import { ACCEPTABLE_REFUSALS, type AcceptableRefusal, AdapterRefusedError } from '../lora/errors.ts'
import { SourceError } from '../weights/source.ts'
import {
  AdapterNotFoundError,
  ClientGoneError,
  errorEnvelope,
  InvalidUserInputError,
  RouteNotFoundError,
  UnsupportedFieldError,
} from './errors.ts'
import type { Exchange } from './exchange.ts'
import { flag, type Nullish } from './generationFields.ts'
import type { AdapterControl, Service } from './service.ts'
import type { Fields, ParamsSchema } from './validate.ts'

export interface LoadParams {
  readonly lora_name?: Nullish<string>
  /** A folder of the server: absolute, from its working directory, or from its user's home with `~`. */
  readonly lora_path?: Nullish<string>
  /** A name that is taken moves to the new bytes; who runs on the old finishes on them. */
  readonly load_inplace?: Nullish<boolean>
  /** Refusals, by their reasons, that the client knows better about. */
  readonly accept?: Nullish<readonly AcceptableRefusal[]>
  /** SGLang: it goes to the GPU at once and leaves it last. */
  readonly pinned?: Nullish<boolean>
  /** vLLM: weights of mixtures of experts. */
  readonly is_3d_lora_weight?: Nullish<boolean>
}

export const accept: Fields<Pick<LoadParams, 'accept'>>['accept'] = nullish(
  array(picklist(ACCEPTABLE_REFUSALS, `one of ${ACCEPTABLE_REFUSALS.join(', ')}`)),
)

export const loadSchema: ParamsSchema<LoadParams> = object({
  lora_name: nullish(string()),
  lora_path: nullish(string()),
  load_inplace: flag,
  accept,
  pinned: flag,
  is_3d_lora_weight: flag,
} satisfies Fields<LoadParams>)

export interface UnloadParams {
  readonly lora_name?: Nullish<string>
  /** vLLM takes it and does not look at it. */
  readonly lora_int_id?: Nullish<number>
}

export const unloadSchema: ParamsSchema<UnloadParams> = object({
  lora_name: nullish(string()),
  lora_int_id: nullish(number()),
} satisfies Fields<UnloadParams>)

/** The answer of vLLM. @throws LorikeetError with the status and text to answer with */
export async function loadAsVllm(exchange: Exchange, params: LoadParams): Promise<Response> {
  return plainText(`Success: LoRA adapter '${await load(exchange, params)}' added successfully.`)
}

/**
 * The answer of vLLM, when the last generation on the adapter has ended; the header says how many there were.
 * @throws LorikeetError with the status and text to answer with
 */
export async function unloadAsVllm(exchange: Exchange, params: UnloadParams): Promise<Response> {
  const { name, waitedFor } = await unload(exchange, params)
  return plainText(`Success: LoRA adapter '${name}' removed successfully.`, waitedFor)
}

/** `lora_id` is SGLang's own and is not looked at. */
export interface SglangLoadParams extends LoadParams {
  readonly lora_id?: Nullish<string>
}

export const sglangLoadSchema: ParamsSchema<SglangLoadParams> = object({
  ...(loadSchema.entries as Fields<LoadParams>),
  lora_id: nullish(string()),
} satisfies Fields<SglangLoadParams>)

export interface SglangUnloadParams extends UnloadParams {
  readonly lora_id?: Nullish<string>
}

export const sglangUnloadSchema: ParamsSchema<SglangUnloadParams> = object({
  ...(unloadSchema.entries as Fields<UnloadParams>),
  lora_id: nullish(string()),
} satisfies Fields<SglangUnloadParams>)

/** The answer of SGLang. Never throws what is the client's fault: it is in the answer, with a 400. */
export async function loadAsSglang(exchange: Exchange, params: SglangLoadParams): Promise<Response> {
  return await sglangAnswer(exchange, params, async () => {
    await load(exchange, params)
    return 0
  })
}

/** The answer of SGLang, when the last generation on the adapter has ended. */
export async function unloadAsSglang(exchange: Exchange, params: SglangUnloadParams): Promise<Response> {
  return await sglangAnswer(exchange, params, async () => (await unload(exchange, params)).waitedFor)
}

/** What may be changed. @throws RouteNotFoundError where nothing may */
export function requireControl({ control }: Service): AdapterControl {
  if (control) return control
  throw new RouteNotFoundError(
    'Adapters cannot be changed by request here. Start the server with --allow-runtime-lora, or set VLLM_ALLOW_RUNTIME_LORA_UPDATING=1.',
  )
}

/**
 * An error of loading or checking, as vLLM puts it where it has words for the case.
 * @throws always
 */
export function refuseLoad(error: unknown, { signal }: Exchange, name: string, path: string): never {
  if (signal.aborted) throw new ClientGoneError()
  const isMissing =
    (error instanceof SourceError && error.code === 'file_not_found') ||
    (error instanceof AdapterRefusedError && error.code === 'adapter_config_missing')
  if (isMissing) {
    const what = `Loading lora ${name} failed: No adapter found for ${path}`
    throw new AdapterNotFoundError('lora_path', what, { cause: error })
  }
  if (error instanceof LorikeetError && error.code === EXISTS) {
    const hint = "If you want to load the adapter in place, set 'load_inplace' to True."
    throw new InvalidUserInputError(`${error.message} ${hint}`, 'lora_name', { cause: error })
  }
  throw error
}

/** Code of the error for a name that is taken. */
const EXISTS = 'adapter_exists'

/** Loads, and gives back the name. */
async function load(exchange: Exchange, params: LoadParams): Promise<string> {
  const { service, signal, requestId } = exchange
  const control = requireControl(service)
  const { lora_name: name, lora_path: path } = params
  if (!name || !path) {
    const param = name ? 'lora_path' : 'lora_name'
    throw new InvalidUserInputError("Both 'lora_name' and 'lora_path' must be provided.", param)
  }
  if (params.is_3d_lora_weight) {
    throw new UnsupportedFieldError('is_3d_lora_weight', 'lorikeet serves no mixtures of experts.')
  }
  try {
    const pinned = params.pinned ?? null
    const card = await control.load(name, path, {
      replace: params.load_inplace ?? false,
      accept: params.accept ?? [],
      ...(pinned === null ? {} : { pinned }),
      signal,
    })
    service.log('info', `adapter ${name} was loaded by request`, { requestId, from: card.root, digest: card.digest })
    return name
  } catch (error) {
    refuseLoad(error, exchange, name, path)
  }
}

interface Unloaded {
  readonly name: string
  /** Generations that had to end first. */
  readonly waitedFor: number
}

async function unload({ service, requestId }: Exchange, params: UnloadParams): Promise<Unloaded> {
  const control = requireControl(service)
  const { lora_name: name } = params
  if (!name) throw new InvalidUserInputError("'lora_name' needs to be provided to unload a LoRA adapter.", 'lora_name')
  const leaving = await control.unload(name)
  if (leaving === null) throw new AdapterNotFoundError('lora_name', `The lora adapter '${name}' cannot be found.`)
  const { leases } = leaving
  const waits =
    leases === 0 ? 'was unloaded' : 'takes no more requests and is unloaded when the running ones have ended'
  service.log('info', `adapter ${name} ${waits}`, { requestId, running: leases })
  await leaving.done
  return { name, waitedFor: leases }
}

function plainText(text: string, waitedFor = 0): Response {
  return new Response(text, { headers: { 'content-type': 'text/plain; charset=utf-8', ...waitedHeader(waitedFor) } })
}

function waitedHeader(waitedFor: number): Record<string, string> {
  return waitedFor > 0 ? { 'x-lorikeet-waited-for': String(waitedFor) } : {}
}

interface SglangAnswer {
  readonly success: boolean
  readonly error_message: string
  /** Name to path, of everything that is loaded now. */
  readonly loaded_adapters: Readonly<Record<string, string>>
}

/** `work` answers how many generations had to end. */
async function sglangAnswer(
  { service }: Exchange,
  params: Pick<UnloadParams, 'lora_name'>,
  work: () => Promise<number>,
): Promise<Response> {
  requireControl(service)
  const answer = (problem: string, status: number, waitedFor: number): Response => {
    const loaded = service.adapters.list().map(({ name, root }) => [name, root] as const)
    const body: SglangAnswer = {
      success: problem === '',
      error_message: problem,
      loaded_adapters: Object.fromEntries(loaded),
    }
    return Response.json(body, { status, headers: waitedHeader(waitedFor) })
  }
  try {
    return answer('', 200, await work())
  } catch (error) {
    const { status, body } = errorEnvelope(error)
    if (status >= 500 || error instanceof ClientGoneError) throw error
    return answer(registryWords(service, error, params.lora_name) ?? body.error.message, 400, 0)
  }
}

/** What SGLang's registry says of a name that is taken or unknown: with the names it has, as Python prints them. */
function registryWords({ adapters }: Service, error: unknown, name: Nullish<string>): string | null {
  const isUnknown = error instanceof AdapterNotFoundError && error.param === 'lora_name'
  const isTaken = error instanceof InvalidUserInputError && (error.cause as LorikeetError | undefined)?.code === EXISTS
  if (!isUnknown && !isTaken) return null
  const names = adapters.list().map(({ name }) => `'${name}'`)
  const problem = isUnknown ? 'does not exist' : 'already exists'
  return `LoRA with name ${name} ${problem}. Loaded LoRAs: dict_keys([${names.join(', ')}])`
}
