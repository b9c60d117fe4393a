/** JSON files of a model or adapter folder: read with a limit, checked to be objects, their fields taken by type. */
import { LorikeetError } from '../errors.ts'
import { type Folder, openIfPresent } from './folder.ts'
import { isJsonObject, type JsonObject, JsonSyntaxError, type JsonValue, parseJson } from './json.ts'
import { type RandomAccess, SourceError } from './source.ts'

/** A file of a folder says something it may not say. `param` is the field, else the file. */
export class ConfigError extends LorikeetError {
  readonly code = 'config_invalid'
  readonly file: string
  /** Dotted path of the field, or null where the whole file is meant. */
  readonly field: string | null
  override readonly param: string

  constructor(file: string, field: string | null, problem: string, options?: ErrorOptions) {
    super(`${file}${field === null ? '' : `: ${field}`} ${problem}.`, options)
    this.file = file
    this.field = field
    this.param = field ?? file
  }
}

export interface ReadJsonOptions {
  /** Larger files are refused. Default 16 MiB. */
  readonly maxBytes?: number
  /** Files of more values are refused. Default: any number. */
  readonly maxValues?: number
  readonly signal?: AbortSignal
}

const MAX_JSON_BYTES = 16 * 1024 * 1024

/** Reads a JSON object. Throws ConfigError with file and position, or SourceError (`file_not_found`, …). */
export async function readJson(folder: Folder, path: string, options: ReadJsonOptions = {}): Promise<JsonObject> {
  return await parseSource(await folder.open(path, options.signal), path, options)
}

/** The same for a file that need not be there: null if it is not. */
export async function readJsonIfPresent(
  folder: Folder,
  path: string,
  options: ReadJsonOptions = {},
): Promise<JsonObject | null> {
  const source = await openIfPresent(folder, path, options.signal)
  return source && (await parseSource(source, path, options))
}

async function parseSource(source: RandomAccess, path: string, options: ReadJsonOptions): Promise<JsonObject> {
  const { maxBytes = MAX_JSON_BYTES, signal } = options
  try {
    if (source.size > maxBytes) {
      const message = `${source.name} has ${source.size} bytes; at most ${maxBytes} are read.`
      throw new SourceError('file_too_large', source.name, message)
    }
    return parseJsonObject(path, await source.read(0, source.size, signal), options.maxValues)
  } finally {
    await source.close()
  }
}

/** UTF-8 bytes (a byte order mark is allowed) to a JSON object. Throws ConfigError. */
export function parseJsonObject(file: string, bytes: Uint8Array, maxValues?: number): JsonObject {
  let value: JsonValue
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes), maxValues)
  } catch (cause) {
    const problem = cause instanceof JsonSyntaxError ? `is not valid JSON: ${cause.message}` : 'is not UTF-8 text'
    throw new ConfigError(file, null, problem, { cause })
  }
  if (!isJsonObject(value)) throw new ConfigError(file, null, 'must be a JSON object')
  return value
}

/**
 * Typed access to the fields of a JSON object. A field that is missing or null takes the fallback; without a fallback
 * it is required. Every failure is a ConfigError that names file and field.
 */
export class ConfigFields {
  readonly values: JsonObject
  readonly file: string
  readonly #prefix: string

  constructor(values: JsonObject, file: string, prefix = '') {
    this.values = values
    this.file = file
    this.#prefix = prefix
  }

  /** The value as it stands, undefined where the field is missing. */
  raw(field: string): JsonValue | undefined {
    return Object.hasOwn(this.values, field) ? this.values[field] : undefined
  }

  /** Whether the field is there and not null. */
  has(field: string): boolean {
    return this.raw(field) != null
  }

  number<T = never>(field: string, fallback?: T): number | T {
    return this.#take(field, fallback, 'a number', isNumber)
  }

  positiveNumber<T = never>(field: string, fallback?: T): number | T {
    return this.#take(field, fallback, 'a number above 0', (value) => isNumber(value) && value > 0)
  }

  /** A whole number from 0 to 2^31 - 1. */
  count<T = never>(field: string, fallback?: T): number | T {
    return this.#take(field, fallback, 'a whole number, 0 or more', (value) => isInt(value, 0))
  }

  /** A whole number from 1 to 2^31 - 1. */
  positiveInteger<T = never>(field: string, fallback?: T): number | T {
    return this.#take(field, fallback, 'a whole number above 0', (value) => isInt(value, 1))
  }

  boolean<T = never>(field: string, fallback?: T): boolean | T {
    return this.#take(field, fallback, 'true or false', (value) => typeof value === 'boolean')
  }

  string<T = never>(field: string, fallback?: T): string | T {
    return this.#take(field, fallback, 'a string', (value) => typeof value === 'string')
  }

  stringList<T = never>(field: string, fallback?: T): readonly string[] | T {
    const fits = (value: JsonValue): boolean =>
      Array.isArray(value) && value.every((entry) => typeof entry === 'string')
    return this.#take(field, fallback, 'a list of strings', fits)
  }

  /** The fields of a nested object. */
  object<T = never>(field: string, fallback?: T): ConfigFields | T {
    const values = this.#take<JsonObject, T>(field, fallback, 'an object', isJsonObject)
    return isJsonObject(values as JsonValue | undefined)
      ? new ConfigFields(values as JsonObject, this.file, `${this.#prefix}${field}.`)
      : (values as T)
  }

  /** The error for `field`: `problem` completes the sentence that begins with its name. */
  error(field: string, problem: string): ConfigError {
    return new ConfigError(this.file, this.#prefix + field, problem)
  }

  #take<V, T>(field: string, fallback: T | undefined, wanted: string, fits: (value: JsonValue) => boolean): V | T {
    const value = this.raw(field)
    if (value === undefined || value === null) {
      if (fallback !== undefined) return fallback
      throw this.error(field, `is missing: it must be ${wanted}`)
    }
    if (!fits(value)) throw this.error(field, `must be ${wanted}, not ${shortly(value)}`)
    return value as V
  }
}

function isNumber(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isInt(value: JsonValue, from: number): boolean {
  return Number.isInteger(value) && (value as number) >= from && (value as number) <= 0x7fff_ffff
}

/** A value as JSON, cut where it would fill the message. */
export function shortly(value: JsonValue | undefined): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}
