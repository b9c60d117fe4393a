/**
 * What the API needs from the rest of the house, as one interface: a model with its names, an engine, a tokenizer, a
 * chat template, defaults and adapters. `Lorikeet.open` fills it with the real things, tests with scripted ones.
 */
import type { AdapterLease, GenerationEngine } from '../engine/generation.ts'
import type { Telemetry } from '../engine/telemetry.ts'
import type { AdapterWeight } from '../lora/composition.ts'
import type { AcceptableRefusal } from '../lora/errors.ts'
import type { MergedAdapter } from '../lora/merge.ts'
import type { AdapterStatus, Leaving } from '../lora/registry.ts'
import type { AdapterReport } from '../lora/report.ts'
import type { GenerationDefaults } from '../model/generationConfig.ts'
import type { ChatTemplate } from '../text/chatTemplate.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { DefaultScales } from './defaultScales.ts'

export interface Service {
  /** Names the base answers to; the first is its id in `/v1/models` and in responses. */
  readonly modelNames: readonly [string, ...string[]]
  /** Where the base came from: a folder, a hub id or a URL. */
  readonly modelRoot: string
  /** The adapter that is folded into the base, whose name is one of the base's; null: the base is as it was made. */
  readonly merged: Pick<MergedAdapter, 'name' | 'root' | 'digest'> | null
  /** The element types that decide what numbers come out, such as `activations-float32-kv-float16`. */
  readonly profile: string
  /** Unix time in seconds. */
  readonly created: number
  readonly engine: GenerationEngine
  readonly tokenizer: Tokenizer
  /** Null for a model without one: its chats are refused with a pointer to `/v1/completions`. */
  readonly template: ChatTemplate | null
  readonly defaults: GenerationDefaults
  readonly adapters: AdapterDirectory
  readonly compositions: CompositionDirectory
  /** What requests get that name no adapter. */
  readonly defaultScales: DefaultScales
  /** How requests change the adapters; null where they may not. */
  readonly control: AdapterControl | null
  readonly telemetry: Telemetry
  /** Of lorikeet. */
  readonly version: string
  readonly log: LogSink
  /** A fresh 32-bit seed for a request that brought none. */
  randomSeed(): number
}

/** The adapters that can be asked for by name. */
export interface AdapterDirectory {
  list(): readonly AdapterCard[]
  find(name: string): AdapterCard | null
  /** Every adapter, then those that were unloaded or replaced and are still in use. */
  status(): readonly AdapterStatus[]
  /**
   * Holds the current version of an adapter for one generation (the engine releases it), or null if there is no
   * adapter of that name.
   */
  lease(name: string): Promise<AdapterLease | null> | AdapterLease | null
}

/** Several adapters at once, or one with another scale. */
export interface CompositionDirectory {
  /**
   * Holds what they are together for one generation (the engine releases it), or null if one of them is not there. Resolves
   * when their bytes are in host memory.
   * @throws AdapterRefusedError naming an adapter that cannot be weighted, or a rank that is too large
   */
  lease(adapters: readonly AdapterWeight[]): Promise<AdapterLease | null>
  /** Throws what `lease` would throw. */
  check(adapters: readonly AdapterWeight[]): Promise<void>
}

export interface RuntimeLoad {
  readonly replace: boolean
  /** Refusals that the caller knows better about. */
  readonly accept: readonly AcceptableRefusal[]
  readonly signal: AbortSignal
}

/** Changes to the adapters while the server runs. Paths are those of the host, as the client wrote them. */
export interface AdapterControl {
  /**
   * Reads, checks and registers an adapter. With `replace` a name that is taken moves to the new bytes; what is `pinned`
   * goes to the GPU at once and leaves it last.
   * @throws AdapterNameError, TooManyPinnedError, AdapterRefusedError, SourceError (`path_refused`, `file_not_found`, …), and the errors of
   *   the files' formats
   */
  load(name: string, path: string, options: RuntimeLoad & { readonly pinned?: boolean }): Promise<AdapterCard>
  /** Takes the name away at once; null if there is none of that name. */
  unload(name: string): Promise<Leaving | null>
  /** What `load` would do, or what it would throw. Nothing changes. */
  check(path: string, options: RuntimeLoad & { readonly name: string | null }): Promise<AdapterReport>
}

export interface AdapterCard {
  readonly name: string
  /** Its number for clients of llama.cpp: it stays the same, and no other adapter ever has it. */
  readonly id: number
  /** Where it came from: a folder, a hub id or a URL. */
  readonly root: string
  /** SHA-256 of its normal form, hex. */
  readonly digest: string
  /** Unix time in seconds at which it was loaded. */
  readonly created: number
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Receives one line: what happened, and what it was about. */
export type LogSink = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void
