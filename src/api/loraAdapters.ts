/**
 * lorikeet's own view of adapters: `GET /v1/lora_adapters` tells of each where it is and what has become of it,
 * `POST /v1/lora_adapters/check` what loading one would be and cost, without loading it.
 */
import { nullish, object, string } from 'valibot'
import type { AdapterStatus } from '../lora/registry.ts'
import type { AdapterReport } from '../lora/report.ts'
import { InvalidUserInputError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { flag, type Nullish } from './generationFields.ts'
import { accept, type LoadParams, refuseLoad, requireControl } from './runtimeLora.ts'
import type { Service } from './service.ts'
import type { Fields, ParamsSchema } from './validate.ts'

/** All times are Unix seconds; null is never. */
export interface AdapterStatusJson {
  readonly id: string
  readonly object: 'lora_adapter'
  readonly root: string
  /** SHA-256 of what it computes, hex: equal for the same adapter in other files. */
  readonly digest: string
  readonly created: number
  /** Who brought it. */
  readonly origin: AdapterStatus['origin']
  /** `leaving`: it takes no more requests, and is gone when the running ones have ended. */
  readonly state: AdapterStatus['state']
  readonly tier: AdapterStatus['tier']
  readonly pinned: boolean
  /** Largest of its modules. */
  readonly rank: number
  readonly modules: number
  /** What it is made of. */
  readonly kinds: AdapterStatus['kinds']
  /** Of its tensors as stored, and those of them in host memory: all or none. */
  readonly bytes: number
  readonly host_bytes: number
  /** Generations that hold it now. */
  readonly leases: number
  /** Generations that were started under this name; tokens of their prompts, once admitted, and tokens generated. */
  readonly requests: number
  readonly prompt_tokens: number
  readonly generated_tokens: number
  /** Generations that found its bytes on the GPU, and those that had to bring or await them. */
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  /** Arrivals of its bytes on the GPU, when the last was, and how long it took, waiting for room included. */
  readonly loads: number
  readonly last_load: number | null
  readonly last_load_ms: number | null
  /** Of all its uploads together; waiting for room not included. */
  readonly uploaded_bytes: number
  readonly upload_ms: number
  /** Times its bytes left host memory, and were read again from `root`: how many bytes, how long, how often in vain. */
  readonly drops: number
  readonly reads: number
  readonly read_bytes: number
  readonly read_ms: number
  readonly read_failures: number
  readonly last_used: number | null
}

export function adapterStatuses({ adapters, telemetry }: Service): readonly AdapterStatusJson[] {
  return adapters.status().map(({ name, usage, evictions, ...status }) => ({
    id: name,
    object: 'lora_adapter',
    root: status.root,
    digest: status.digest,
    created: status.created,
    origin: status.origin,
    state: status.state,
    tier: status.tier,
    pinned: status.pinned,
    rank: status.rank,
    modules: status.modules,
    kinds: status.kinds,
    bytes: status.bytes,
    host_bytes: status.hostBytes,
    leases: status.leases,
    requests: status.requests,
    prompt_tokens: telemetry.meter.tally(name).promptTokens,
    generated_tokens: telemetry.meter.tally(name).generatedTokens,
    hits: usage.hits,
    misses: usage.misses,
    evictions,
    loads: usage.arrivals,
    last_load: usage.lastArrivalAt,
    last_load_ms: usage.lastArrivalMs === null ? null : thousandths(usage.lastArrivalMs),
    uploaded_bytes: usage.uploadedBytes,
    upload_ms: thousandths(usage.uploadMs),
    drops: usage.drops,
    reads: usage.reads,
    read_bytes: usage.readBytes,
    read_ms: thousandths(usage.readMs),
    read_failures: usage.readFailures,
    last_used: usage.lastUsedAt,
  }))
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000
}

export interface CheckParams {
  /** Given, it is checked too. */
  readonly lora_name?: Nullish<string>
  readonly lora_path?: Nullish<string>
  readonly load_inplace?: Nullish<boolean>
  readonly accept?: LoadParams['accept']
}

export const checkSchema: ParamsSchema<CheckParams> = object({
  lora_name: nullish(string()),
  lora_path: nullish(string()),
  load_inplace: flag,
  accept,
} satisfies Fields<CheckParams>)

export interface CheckJson {
  readonly object: 'lora_adapter.check'
  readonly ok: true
  readonly format: AdapterReport['format']
  readonly digest: string
  readonly rank: number
  readonly modules: AdapterReport['modules']
  /** The base's layers in the order in which it runs them, if not as the base does; its requests then have steps of their own. */
  readonly layers: AdapterReport['layers']
  /** How many times as much KV cache a token takes as with the base. */
  readonly kv_factor: number
  readonly notes: readonly string[]
  readonly bytes: AdapterReport['bytes']
  /** Names under which the same bytes are served already: they would be stored once. */
  readonly loaded_as: readonly string[]
  readonly would_evict: readonly string[]
  readonly would_wait: boolean
}

/** @throws what loading it would throw, with the same status and text */
export async function checkAdapter(exchange: Exchange, params: CheckParams): Promise<CheckJson> {
  const control = requireControl(exchange.service)
  const { lora_path: path, lora_name } = params
  if (!path) throw new InvalidUserInputError("'lora_path' must be provided.", 'lora_path')
  const name = lora_name || null
  try {
    const report = await control.check(path, {
      name,
      replace: params.load_inplace ?? false,
      accept: params.accept ?? [],
      signal: exchange.signal,
    })
    return {
      object: 'lora_adapter.check',
      ok: true,
      format: report.format,
      digest: report.digest,
      rank: report.rank,
      modules: report.modules,
      layers: report.layers,
      kv_factor: report.kvFactor,
      notes: report.notes,
      bytes: report.bytes,
      loaded_as: report.loadedAs,
      would_evict: report.wouldEvict,
      would_wait: report.wouldWait,
    }
  } catch (error) {
    refuseLoad(error, exchange, name ?? '(unnamed)', path)
  }
}
