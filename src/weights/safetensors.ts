/**
 * Reads the header of a safetensors file: eight bytes of length, JSON, then the tensors' bytes. As strict as the Rust
 * crate that defines the format: every byte behind the header belongs to exactly one tensor. Tensors are not read here.
 */
import { asParam, LorikeetError, shown } from '../errors.ts'
import { isJsonObject, type JsonObject, JsonSyntaxError, type JsonValue, parseJson } from './json.ts'
import type { RandomAccess } from './source.ts'

/** Element types of the format and their width in bits. */
export const DTYPE_BITS = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
} as const

export type Dtype = keyof typeof DTYPE_BITS

export interface TensorInfo {
  readonly name: string
  readonly dtype: Dtype
  /** Row-major; a scalar has no dimensions. */
  readonly shape: readonly number[]
  /** Where the tensor begins in `source`. */
  readonly byteOffset: number
  readonly byteLength: number
  readonly source: RandomAccess
}

export interface SafetensorsFile {
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** The `__metadata__` entry of the header. */
  readonly metadata: ReadonlyMap<string, string>
}

/** The file is not what the format asks for. `param` is the tensor it is about, else the file. */
export class SafetensorsError extends LorikeetError {
  readonly code = 'safetensors_invalid'
  readonly file: string
  readonly tensor: string | null
  override readonly param: string

  constructor(file: string, tensor: string | null, problem: string, options?: ErrorOptions) {
    const about = tensor === null ? '' : `tensor ${shown(tensor)}: `
    super(`${file} is not a valid safetensors file: ${about}${problem}. Download or save it again.`, options)
    this.file = file
    this.tensor = tensor
    this.param = asParam(tensor ?? file)
  }
}

const LENGTH_BYTES = 8
const FORMAT_LIMITS: HeaderLimits = { maxBytes: 100_000_000, maxValues: Number.POSITIVE_INFINITY }
const METADATA = '__metadata__'

/** Bounds on what is read of a header, where its file is a stranger's. Default: those of the format. */
export interface HeaderLimits {
  readonly maxBytes: number
  /** JSON values. A tensor has about nine. */
  readonly maxValues: number
}

/** Reads and checks the header. `source` stays the caller's to close. Throws SafetensorsError or SourceError. */
export async function readSafetensors(
  source: RandomAccess,
  signal?: AbortSignal,
  limits: HeaderLimits = FORMAT_LIMITS,
): Promise<SafetensorsFile> {
  const { name: file } = source
  if (source.size < LENGTH_BYTES) throw new SafetensorsError(file, null, `it has only ${source.size} bytes`)
  const headerBytes = await readHeaderLength(source, limits.maxBytes, signal)
  const header = parseHeader(file, await source.read(LENGTH_BYTES, headerBytes, signal), limits.maxValues)
  const dataStart = LENGTH_BYTES + headerBytes

  const tensors = Object.keys(header)
    .filter((name) => name !== METADATA)
    .map((name) => tensorInfo(source, name, header[name]!, dataStart))
    // Empty tensors before the one that begins where they lie.
    .sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength)
  checkContiguous(source, tensors, dataStart)
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: readMetadata(file, header[METADATA]),
  }
}

async function readHeaderLength(source: RandomAccess, maxBytes: number, signal?: AbortSignal): Promise<number> {
  const bytes = await source.read(0, LENGTH_BYTES, signal)
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  const problem =
    length > maxBytes
      ? `its header claims ${length} bytes, at most ${maxBytes} are read`
      : length > source.size - LENGTH_BYTES
        ? `its header claims ${length} bytes, the file has ${source.size}`
        : null
  if (problem) throw new SafetensorsError(source.name, null, problem)
  return Number(length)
}

function parseHeader(file: string, bytes: Uint8Array, maxValues: number): JsonObject {
  if (bytes[0] !== 0x7b) throw new SafetensorsError(file, null, "its header does not begin with '{'")
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return parseJson(text, maxValues) as JsonObject
  } catch (cause) {
    const problem =
      cause instanceof JsonSyntaxError ? `its header is not JSON (${cause.message})` : 'its header is not UTF-8'
    throw new SafetensorsError(file, null, problem, { cause })
  }
}

function tensorInfo(source: RandomAccess, name: string, entry: JsonValue, dataStart: number): TensorInfo {
  const fail = (problem: string): SafetensorsError => new SafetensorsError(source.name, name, problem)
  if (!isJsonObject(entry)) throw fail('its entry is not an object')
  const { dtype, shape, data_offsets: offsets } = entry
  if (!isDtype(dtype)) throw fail(`unknown dtype ${shown(dtype)}`)
  if (!isCounts(shape)) throw fail('its shape is not a list of whole numbers')
  if (!isCounts(offsets) || offsets.length !== 2) throw fail('data_offsets is not a pair of whole numbers')
  const [begin, end] = offsets as [number, number]
  if (end < begin) throw fail(`its data ends at ${end} before it begins at ${begin}`)
  let bits: number = DTYPE_BITS[dtype]
  for (const size of shape) {
    bits *= size
    // Asked at every step: a later zero would hide it.
    if (!Number.isSafeInteger(bits)) throw fail(`shape ${shown(shape)} overflows`)
  }
  if (bits !== (end - begin) * 8)
    throw fail(`${dtype} of shape ${shown(shape)} is ${bits / 8} bytes, its data has ${end - begin}`)
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength: end - begin, source }
}

/** No hole, no overlap, nothing left over: the tensors in order tile the file to its last byte. */
function checkContiguous(source: RandomAccess, tensors: readonly TensorInfo[], dataStart: number): void {
  let expected = dataStart
  for (const { name, byteOffset, byteLength } of tensors) {
    if (byteOffset !== expected) {
      const problem = `its data begins at ${byteOffset - dataStart}, the one before ends at ${expected - dataStart}`
      throw new SafetensorsError(source.name, name, problem)
    }
    expected += byteLength
    if (expected > source.size) {
      const problem = `its data ends ${expected - source.size} bytes behind the end of the file, which has ${source.size}`
      throw new SafetensorsError(source.name, name, problem)
    }
  }
  if (expected === source.size) return
  throw new SafetensorsError(source.name, null, `${source.size - expected} bytes at its end belong to no tensor`)
}

function readMetadata(file: string, value: JsonValue | undefined): ReadonlyMap<string, string> {
  if (value === undefined) return new Map()
  if (!isJsonObject(value)) throw new SafetensorsError(file, null, `${METADATA} is not an object`)
  const metadata = new Map<string, string>()
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw new SafetensorsError(file, null, `${METADATA}.${key} is not a string`)
    metadata.set(key, text)
  }
  return metadata
}

function isDtype(value: JsonValue | undefined): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BITS, value)
}

function isCounts(value: JsonValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0)
}
