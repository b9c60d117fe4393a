/** Zip archives and pickles for tests: honest ones as torch.save writes them, and any bytes whatsoever. */
import { concat } from './makeSafetensors.ts'

export interface MadeEntry {
  readonly name: string
  readonly bytes: Uint8Array
  /** What the directory says, where it is not the truth. */
  readonly directory?: Partial<{
    name: string
    size: number
    stored: number
    offset: number
    method: number
    flags: number
  }>
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

/** A zip archive with stored entries; `zip64` writes sizes, offsets and the end the wide way. */
export function makeZip(entries: readonly MadeEntry[], zip64 = false, comment = ''): Uint8Array {
  const parts: Uint8Array[] = []
  const central: Uint8Array[] = []
  let at = 0
  for (const { name, bytes, directory = {} } of entries) {
    const local = concat([
      fields(
        [4, 0x04034b50],
        [2, 20],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, 0],
        [4, bytes.length],
        [4, bytes.length],
        [2, text(name).length],
        [2, 3],
      ),
      text(name),
      new Uint8Array(3),
      bytes,
    ])
    const said = { name, size: bytes.length, stored: bytes.length, offset: at, method: 0, flags: 0x800, ...directory }
    const extra = zip64
      ? fields([2, 1], [2, 24], [8, said.size], [8, said.stored], [8, said.offset])
      : new Uint8Array(0)
    const narrow = (value: number): number => (zip64 ? 0xffffffff : value)
    central.push(
      fields([4, 0x02014b50], [2, 20], [2, 20], [2, said.flags], [2, said.method], [4, 0], [4, 0]),
      fields([4, narrow(said.stored)], [4, narrow(said.size)], [2, text(said.name).length], [2, extra.length], [2, 0]),
      fields([2, 0], [2, 0], [4, 0], [4, narrow(said.offset)]),
      text(said.name),
      extra,
    )
    parts.push(local)
    at += local.length
  }
  const directory = concat(central)
  const wide = concat([
    fields(
      [4, 0x06064b50],
      [8, 44],
      [2, 45],
      [2, 45],
      [4, 0],
      [4, 0],
      [8, entries.length],
      [8, entries.length],
      [8, directory.length],
      [8, at],
    ),
    fields([4, 0x07064b50], [4, 0], [8, at + directory.length], [4, 1]),
  ])
  const narrow = (bytes: number, value: number): [number, number] => [bytes, zip64 ? 2 ** (8 * bytes) - 1 : value]
  const end = concat([
    fields([4, 0x06054b50], [2, 0], [2, 0], narrow(2, entries.length), narrow(2, entries.length)),
    fields(narrow(4, directory.length), narrow(4, at), [2, text(comment).length]),
    text(comment),
  ])
  return concat([...parts, directory, ...(zip64 ? [wide] : []), end])
}

/** Little-endian integers of the given widths in bytes. */
export function fields(...values: readonly (readonly [width: number, value: number])[]): Uint8Array {
  const bytes: number[] = []
  for (const [width, value] of values) {
    for (let i = 0; i < width; i++) bytes.push(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn))
  }
  return Uint8Array.from(bytes)
}

/** What a pickle can be made of; `raw` is opcodes as they stand. */
export type Made =
  | null
  | boolean
  | number
  | string
  | readonly Made[]
  | { readonly raw: Uint8Array }
  | { readonly global: string }
  | { readonly call: string; readonly args: readonly Made[] }
  | { readonly persistent: Made }
  | { readonly dict: readonly (readonly [Made, Made])[] }

/** Protocol 2, without a memo; lists of JavaScript become tuples. */
export function makePickle(value: Made): Uint8Array {
  return concat([Uint8Array.of(0x80, 2), pickled(value), text('.')])
}

function pickled(value: Made): Uint8Array {
  if (value === null) return text('N')
  if (typeof value === 'boolean') return Uint8Array.of(value ? 0x88 : 0x89)
  if (typeof value === 'number') return concat([text('\u004a'), fields([4, value])])
  if (typeof value === 'string') return concat([text('X'), fields([4, text(value).length]), text(value)])
  if (Array.isArray(value)) return concat([text('('), ...(value as readonly Made[]).map(pickled), text('t')])
  const made = value as Exclude<Made, null | boolean | number | string | readonly Made[]>
  if ('raw' in made) return made.raw
  if ('global' in made) {
    const dot = made.global.lastIndexOf('.')
    return text(`c${made.global.slice(0, dot)}\n${made.global.slice(dot + 1)}\n`)
  }
  if ('call' in made) return concat([pickled({ global: made.call }), pickled(made.args), text('R')])
  if ('persistent' in made) return concat([pickled(made.persistent), text('Q')])
  return concat([text('}('), ...made.dict.flat().map(pickled), text('u')])
}

export interface MadeTorchTensor {
  readonly shape: readonly number[]
  readonly strides?: readonly number[]
  readonly offset?: number
  readonly storage?: string
  readonly type?: string
  /** Elements the pickle claims for the storage. */
  readonly length?: number
  readonly metadata?: Made
}

/** A tensor as torch.save pickles it. */
export function torchTensor({
  shape,
  strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1)),
  offset = 0,
  storage = '0',
  type = 'torch.FloatStorage',
  length,
  metadata,
}: MadeTorchTensor): Made {
  const count = shape.reduce((product, size) => product * size, 1)
  const id: Made = ['storage', { global: type }, storage, 'cpu', length ?? count]
  const args: Made[] = [
    { persistent: id },
    offset,
    shape,
    strides,
    false,
    { call: 'collections.OrderedDict', args: [] },
  ]
  if (metadata !== undefined) args.push(metadata)
  return { call: 'torch._utils._rebuild_tensor_v2', args }
}

/** A file of torch.save: `value` pickled, beside the storages. */
export function makeTorch(value: Made, storages: Readonly<Record<string, Uint8Array>> = {}): Uint8Array {
  return makeZip([
    { name: 'archive/data.pkl', bytes: makePickle(value) },
    { name: 'archive/byteorder', bytes: text('little') },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes })),
    { name: 'archive/version', bytes: text('3\n') },
  ])
}
