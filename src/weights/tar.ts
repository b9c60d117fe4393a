/**
 * The entries of a tar archive, where they lie: nothing is unpacked, so no name can lead anywhere. Names that try are
 * refused all the same, since an archive that holds one was not made by an honest tool.
 */
import { asParam, LorikeetError } from '../errors.ts'
import { type RandomAccess, Source } from './source.ts'

/** The archive is broken, or uses what is not read here. `param` is the entry it is about, else the file. */
export class TarError extends LorikeetError {
  readonly code = 'tar_invalid'
  override readonly param: string

  constructor(file: string, entry: string | null, problem: string) {
    super(
      `${file} is not a tar archive that can be read: ${entry === null ? '' : `${JSON.stringify(entry.slice(0, 120))} `}${problem}.`,
    )
    this.param = asParam(entry ?? file)
  }
}

export interface TarEntry {
  /** Without a leading `./`. */
  readonly name: string
  readonly byteOffset: number
  readonly byteLength: number
}

export const BLOCK_BYTES = 512
/** An adapter has a handful, one that is split over ranks some hundred. */
export const MAX_ENTRIES = 1000
/** A pax or GNU header. */
const MAX_EXTENDED_BYTES = 64 * 1024
/** As long as paths are. */
const MAX_NAME_LENGTH = 4096

/** The regular files of the archive, by name. `source` stays the caller's to close. @throws TarError, SourceError */
export async function readTar(source: RandomAccess, signal?: AbortSignal): Promise<ReadonlyMap<string, TarEntry>> {
  const entries = new Map<string, TarEntry>()
  let longName: string | null = null
  let at = 0
  for (let count = 0; at + BLOCK_BYTES <= source.size; count++) {
    if (count > MAX_ENTRIES) throw new TarError(source.name, null, `it has more than ${MAX_ENTRIES} entries`)
    const header = await source.read(at, BLOCK_BYTES, signal)
    if (header.every((byte) => byte === 0)) return entries
    checkSum(source.name, header)
    const byteLength = numberField(source.name, header, 124, 12)
    const byteOffset = at + BLOCK_BYTES
    if (byteOffset + byteLength > source.size) throw new TarError(source.name, null, 'it was cut off')
    at = byteOffset + Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES
    const type = String.fromCharCode(header[156]!)
    if (type === 'x' || type === 'g' || type === 'L') {
      const name = await readLongName(source, type, byteOffset, byteLength, signal)
      if (type === 'g' && name !== null) throw new TarError(source.name, null, 'it gives one name to all its entries')
      longName = name ?? longName
      continue
    }
    const name = checkName(source.name, longName ?? headerName(header))
    longName = null
    if (type === '0' || type === '\0') {
      if (entries.has(name)) throw new TarError(source.name, name, 'is there twice')
      entries.set(name, { name, byteOffset, byteLength })
    } else if (type !== '5') {
      throw new TarError(source.name, name, 'is neither a file nor a folder')
    }
  }
  // Two empty blocks should end it; many writers leave them out.
  if (entries.size === 0) throw new TarError(source.name, null, 'it holds no file. Is it compressed?')
  return entries
}

/** A part of a file as a source of its own. Closing it leaves the file open. */
export function sliceSource(source: RandomAccess, name: string, byteOffset: number, byteLength: number): RandomAccess {
  return new SliceSource(source, name, byteOffset, byteLength)
}

class SliceSource extends Source {
  readonly #whole: RandomAccess
  readonly #byteOffset: number

  constructor(whole: RandomAccess, name: string, byteOffset: number, byteLength: number) {
    super(name, byteLength)
    this.#whole = whole
    this.#byteOffset = byteOffset
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#whole.readInto(this.#byteOffset + offset, target, signal)
  }
}

/** The sum of all bytes of the header, its own field counted as spaces. @throws TarError */
export function checkSum(file: string, header: Uint8Array): void {
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
  const compressed = header[0] === 0x1f && header[1] === 0x8b
  if (!compressed && sum === numberField(file, header, 148, 8)) return
  throw new TarError(
    file,
    null,
    compressed ? 'it is compressed with gzip. Unpack it to a plain tar first' : 'a header is broken',
  )
}

function headerName(header: Uint8Array): string {
  const name = textField(header, 0, 100)
  const ustar = textField(header, 257, 5) === 'ustar'
  const prefix = ustar && header[262] === 0 ? textField(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

async function readLongName(
  source: RandomAccess,
  type: 'x' | 'g' | 'L',
  byteOffset: number,
  byteLength: number,
  signal?: AbortSignal,
): Promise<string | null> {
  if (byteLength > MAX_EXTENDED_BYTES) throw new TarError(source.name, null, 'an extended header is too large')
  const bytes = await source.read(byteOffset, byteLength, signal)
  if (type === 'L') return textField(bytes, 0, bytes.length)
  return paxPath(source.name, bytes)
}

/** The `path` of a pax header, whose records are `length key=value\n`. @throws TarError where it changes sizes, or is broken */
function paxPath(file: string, bytes: Uint8Array): string | null {
  let path: string | null = null
  for (let at = 0; at < bytes.byteLength; ) {
    const space = bytes.indexOf(32, at)
    const digits = space < 0 || space > at + 8 ? '' : textField(bytes, at, space - at)
    const end = at + Number(digits)
    if (!/^[1-9]\d*$/.test(digits) || end > bytes.byteLength || end <= space + 1 || bytes[end - 1] !== 10) {
      throw new TarError(file, null, 'an extended header is broken')
    }
    const record = new TextDecoder().decode(bytes.subarray(space + 1, end - 1))
    const key = record.slice(0, Math.max(0, record.indexOf('=')))
    // It would contradict the header that is read.
    if (key === 'size' || key.startsWith('GNU.sparse')) {
      throw new TarError(file, null, 'an extended header changes sizes, which is not supported')
    }
    if (key === 'path') path = record.slice(key.length + 1)
    at = end
  }
  return path
}

function checkName(file: string, raw: string): string {
  if (raw.length > MAX_NAME_LENGTH) throw new TarError(file, raw, `has a name of ${raw.length} characters`)
  let end = raw.length
  while (raw[end - 1] === '/') end--
  const name = raw.slice(0, end).replace(/^(?:\.\/+)+/, '')
  const parts = name.split('/')
  if (name.startsWith('/') || parts.includes('..') || /[\\:\0]/.test(name)) {
    throw new TarError(file, raw, 'is a name that leads out of the archive')
  }
  return name
}

function textField(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length)
  const end = field.indexOf(0)
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end))
}

/** Octal text, or (GNU, where the first bit is set) a big-endian number. @throws TarError */
export function numberField(file: string, header: Uint8Array, at: number, length: number): number {
  const bytes = header.subarray(at, at + length)
  let value = 0
  if (bytes[0]! & 0x80) {
    value = bytes[0]! & 0x7f
    for (const byte of bytes.subarray(1)) value = value * 256 + byte
  } else {
    const text = textField(bytes, 0, length).trim()
    if (!/^[0-7]*$/.test(text)) throw new TarError(file, null, 'a header is broken')
    value = Number.parseInt(text || '0', 8)
  }
  if (!Number.isSafeInteger(value)) throw new TarError(file, null, 'a header is broken')
  return value
}
