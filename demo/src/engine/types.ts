/** What travels between the page and an engine, wherever the engine is. Shapes as the API answers them. */

/** One of the names in `/v1/models`. */
export interface Voice {
  readonly id: string
  /** Null for the base model. */
  readonly parent: string | null
  /** Longest prompt and answer together, in tokens; known of the base. */
  readonly contextLength: number | null
}

/** Where an adapter's bytes are. */
export type Tier = 'gpu' | 'host' | 'store'

/** One entry of `GET /v1/lora_adapters`. */
export interface AdapterJson {
  readonly id: string
  readonly root: string
  readonly digest: string
  readonly origin: string
  readonly state: 'loaded' | 'leaving'
  readonly tier: Tier
  readonly pinned: boolean
  readonly rank: number
  /** What it is made of: `lora`, `dora`, … */
  readonly kinds: readonly string[]
  readonly modules: number
  readonly bytes: number
  /** Generations that hold it now, and all that were started under its name. */
  readonly leases: number
  readonly requests: number
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  readonly last_load_ms: number | null
}

/** The rows that one adapter (null: the base) had in a step. */
export interface StepRows {
  readonly adapter: string | null
  /** Prompt tokens, and sequences that got their next token. */
  readonly prefill: number
  readonly decode: number
}

export interface Step {
  readonly step: number
  readonly at_ms: number
  readonly ms: number
  readonly rows: readonly StepRows[]
}

/** `GET /v1/stats`, as far as the page reads it. */
export interface Stats {
  readonly version: string
  readonly device: Device
  readonly steps: { readonly total: number; readonly recent: readonly Step[] }
  /** Bytes by purpose, and their sum. */
  readonly memory: Readonly<Record<string, number>>
}

export interface Device {
  readonly name: string
  /** A CPU stands in for a GPU. */
  readonly isSoftware: boolean
}

export interface CheckedModule {
  readonly path: string
  readonly rank: number
  readonly scale: number
  readonly dtype: string
  readonly with: readonly string[]
}

/** What loading an adapter would be and cost. */
export interface CheckReport {
  readonly format: string
  readonly digest: string
  readonly rank: number
  readonly modules: readonly CheckedModule[]
  readonly notes: readonly string[]
  readonly bytes: { readonly host: number; readonly gpu: number }
  readonly loadedAs: readonly string[]
  readonly wouldEvict: readonly string[]
  readonly wouldWait: boolean
}

/** Where an adapter comes from: files of this machine, an address, or a path on the server's disk. */
export type AdapterSource =
  | { readonly type: 'files'; readonly name: string; readonly files: readonly File[] }
  | { readonly type: 'url'; readonly url: string }
  | { readonly type: 'path'; readonly path: string }
