/**
 * The directory of a zip archive, as PyTorch writes them: entries are stored, not compressed, so that a tensor can be
 * read where it lies. Nothing is unpacked. Whatever lets an archive mean two things to two readers (entries that overlap,
 * double names, headers that disagree) is refused.
 */
import { asParam, LorikeetError, shown } from '../errors.ts'
import type { RandomAccess } from './source.ts'

/** The archive is broken, or uses what is not read here. `param` is the entry it is about, else the file. */
export class ZipError extends LorikeetError {
  readonly code = 'zip_invalid'
  override readonly param: string

  constructor(file: string, entry: string | null, problem: string) {
    super(`${file} is not a zip archive that can be read: ${entry === null ? '' : `${shown(entry)} `}${problem}.`)
    this.param = asParam(entry ?? file)
  }
}

export interface ZipEntry {
  readonly name: string
  /** Bytes of the content. */
  readonly byteLength: number
  /** Where the entry's own header begins. */
  readonly headerOffset: number
  /** Bytes of the name, in the directory and in the entry's own header. */
  readonly nameByteLength: number
  /** Where the next entry or the directory begins: the content ends before. */
  readonly limit: number
}

export interface ZipFile {
  readonly source: RandomAccess
  readonly entries: ReadonlyMap<string, ZipEntry>
}

const END_BYTES = 22
const END_SIGNATURE = 0x0605_4b50
const MAX_COMMENT_BYTES = 0xffff
const LOCATOR_BYTES = 20
const LOCATOR_SIGNATURE = 0x0706_4b50
const END64_BYTES = 56
const END64_SIGNATURE = 0x0606_4b50
const CENTRAL_BYTES = 46
const CENTRAL_SIGNATURE = 0x0201_4b50
const LOCAL_BYTES = 30
const LOCAL_SIGNATURE = 0x0403_4b50
const ZIP64_EXTRA = 1
const ENCRYPTED_FLAG = 1
const STORED = 0
/** In a 32-bit field: the number is in the zip64 extra field. */
const SEE_ZIP64 = 0xffff_ffff

/** One entry takes 46 bytes and its name: this is room for ten thousand tensors. */
const MAX_DIRECTORY_BYTES = 1024 * 1024

/** Whether `source` begins as a zip archive does. */
export async function looksLikeZip(source: RandomAccess, signal?: AbortSignal): Promise<boolean> {
  if (source.size < END_BYTES) return false
  return looksLikeZipHeader(await source.read(0, 4, signal))
}

/** Whether these, the first four bytes of something, are those of a zip archive. */
export function looksLikeZipHeader(bytes: Uint8Array): boolean {
  return view(bytes).getUint32(0, true) === LOCAL_SIGNATURE
}

/** Reads the directory of `source`, which stays the caller's to close. @throws ZipError, SourceError */
export async function readZip(source: RandomAccess, signal?: AbortSignal): Promise<ZipFile> {
  const { offset, byteLength, count } = await findDirectory(source, signal)
  if (byteLength > MAX_DIRECTORY_BYTES) throw new ZipError(source.name, null, `its directory has ${byteLength} bytes`)
  const found = parseDirectory(source.name, await source.read(offset, byteLength, signal), count)

  const inOrder = [...found].sort((a, b) => a.headerOffset - b.headerOffset)
  const entries = new Map<string, ZipEntry>()
  for (const [i, entry] of inOrder.entries()) {
    const limit = inOrder[i + 1]?.headerOffset ?? offset
    if (entry.headerOffset + LOCAL_BYTES + entry.nameByteLength + entry.byteLength > limit) {
      throw new ZipError(source.name, entry.name, 'overlaps what follows it')
    }
    if (entries.has(entry.name)) throw new ZipError(source.name, entry.name, 'is there twice')
    entries.set(entry.name, { ...entry, limit })
  }
  return { source, entries }
}

/** Where the content of `entry` begins in the source. @throws ZipError, SourceError */
export async function contentOffset(zip: ZipFile, entry: ZipEntry, signal?: AbortSignal): Promise<number> {
  const { source } = zip
  // Header and name in one read: at an address every read is a request.
  const bytes = await source.read(entry.headerOffset, LOCAL_BYTES + entry.nameByteLength, signal)
  const header = view(bytes)
  if (header.getUint32(0, true) !== LOCAL_SIGNATURE) throw new ZipError(source.name, entry.name, 'has no header')
  const nameLength = header.getUint16(26, true)
  if (nameLength !== entry.nameByteLength || decode(source.name, bytes.subarray(LOCAL_BYTES)) !== entry.name) {
    throw new ZipError(source.name, entry.name, 'has another name in its own header')
  }
  const begin = entry.headerOffset + LOCAL_BYTES + nameLength + header.getUint16(28, true)
  if (begin + entry.byteLength > entry.limit) throw new ZipError(source.name, entry.name, 'overlaps what follows it')
  return begin
}

interface Directory {
  readonly offset: number
  readonly byteLength: number
  readonly count: number
}

/** The end record is the last thing in the file, but for a comment of its own. */
async function findDirectory(source: RandomAccess, signal?: AbortSignal): Promise<Directory> {
  const tailBytes = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES)
  const tail = view(await source.read(source.size - tailBytes, tailBytes, signal))
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END_SIGNATURE) continue
    if (at + END_BYTES + tail.getUint16(at + 20, true) !== tailBytes) continue
    const endOffset = source.size - tailBytes + at
    const directory = (await findZip64(source, endOffset, signal)) ?? {
      count: tail.getUint16(at + 10, true),
      byteLength: tail.getUint32(at + 12, true),
      offset: tail.getUint32(at + 16, true),
    }
    if (directory.offset + directory.byteLength <= endOffset) return directory
    throw new ZipError(source.name, null, 'its directory lies outside of the file')
  }
  throw new ZipError(source.name, null, 'it has no directory at its end. Was it cut off?')
}

async function findZip64(source: RandomAccess, endOffset: number, signal?: AbortSignal): Promise<Directory | null> {
  if (endOffset < LOCATOR_BYTES) return null
  const locator = view(await source.read(endOffset - LOCATOR_BYTES, LOCATOR_BYTES, signal))
  if (locator.getUint32(0, true) !== LOCATOR_SIGNATURE) return null
  const at = locator.getBigUint64(8, true)
  if (at + BigInt(END64_BYTES) > BigInt(endOffset))
    throw new ZipError(source.name, null, 'its zip64 record lies outside of it')
  const end = view(await source.read(Number(at), END64_BYTES, signal))
  if (end.getUint32(0, true) !== END64_SIGNATURE) throw new ZipError(source.name, null, 'its zip64 record is missing')
  // Beyond 2^53 these lose bits, and are outside of any file just the same.
  return {
    count: Number(end.getBigUint64(32, true)),
    byteLength: Number(end.getBigUint64(40, true)),
    offset: Number(end.getBigUint64(48, true)),
  }
}

function parseDirectory(file: string, bytes: Uint8Array, count: number): Omit<ZipEntry, 'limit'>[] {
  const directory = view(bytes)
  const entries: Omit<ZipEntry, 'limit'>[] = []
  let at = 0
  while (at < bytes.byteLength) {
    if (at + CENTRAL_BYTES > bytes.byteLength || directory.getUint32(at, true) !== CENTRAL_SIGNATURE) {
      throw new ZipError(file, null, 'its directory is broken')
    }
    const nameEnd = at + CENTRAL_BYTES + directory.getUint16(at + 28, true)
    const extraEnd = nameEnd + directory.getUint16(at + 30, true)
    const next = extraEnd + directory.getUint16(at + 32, true)
    if (next > bytes.byteLength) throw new ZipError(file, null, 'its directory is broken')
    const name = decode(file, bytes.subarray(at + CENTRAL_BYTES, nameEnd))
    entries.push(parseEntry(file, name, directory, at, bytes.subarray(nameEnd, extraEnd)))
    at = next
  }
  if (entries.length !== count) throw new ZipError(file, null, `it says ${count} entries and has ${entries.length}`)
  return entries
}

function parseEntry(
  file: string,
  name: string,
  directory: DataView,
  at: number,
  extra: Uint8Array,
): Omit<ZipEntry, 'limit'> {
  if (directory.getUint16(at + 8, true) & ENCRYPTED_FLAG) throw new ZipError(file, name, 'is encrypted')
  if (directory.getUint16(at + 10, true) !== STORED) {
    throw new ZipError(
      file,
      name,
      'is compressed. PyTorch stores its entries as they are; save the file with torch.save',
    )
  }
  const wide = zip64Numbers(extra)
  // In this order, and each only where the 32-bit field does not hold it.
  const take = (offset: number): number => {
    const narrow = directory.getUint32(at + offset, true)
    if (narrow !== SEE_ZIP64) return narrow
    const number = wide.shift()
    if (number === undefined) throw new ZipError(file, name, 'lacks its zip64 sizes')
    return number
  }
  const byteLength = take(24)
  const storedLength = take(20)
  const headerOffset = take(42)
  if (storedLength !== byteLength) throw new ZipError(file, name, 'has two sizes')
  return { name, byteLength, headerOffset, nameByteLength: directory.getUint16(at + 28, true) }
}

function zip64Numbers(extra: Uint8Array): number[] {
  const fields = view(extra)
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = fields.getUint16(at + 2, true)
    const end = Math.min(at + 4 + length, extra.byteLength)
    if (fields.getUint16(at, true) === ZIP64_EXTRA) {
      const numbers: number[] = []
      for (let number = at + 4; number + 8 <= end; number += 8) numbers.push(Number(fields.getBigUint64(number, true)))
      return numbers
    }
    at = end
  }
  return []
}

function decode(file: string, name: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(name)
  } catch {
    throw new ZipError(file, null, 'an entry has a name that is not UTF-8')
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
