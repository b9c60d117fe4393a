/**
 * Files of `torch.save` (.bin, .pt, .ckpt) as tensors: a zip archive whose `data.pkl` says, by way of a pickle, which
 * tensor lies in which of the other entries. The pickle may name dicts, storages and the one function that makes a tensor
 * of a storage, and nothing else. Only the directory and the pickle are read here.
 */
import { asParam, LorikeetError, shown } from '../errors.ts'
import {
  PickleDict,
  PickleError,
  type PickleGlobal,
  type PickleHost,
  PickleTuple,
  type PickleValue,
  unpickle,
} from './pickle.ts'
import { DTYPE_BITS, type Dtype, type TensorInfo } from './safetensors.ts'
import { type RandomAccess, Source } from './source.ts'
import { contentOffset, looksLikeZip, readZip, type ZipEntry, type ZipFile } from './zip.ts'

/** The file is not one that torch.save makes of a dict of tensors. `param` is the tensor it is about, else the file. */
export class TorchFileError extends LorikeetError {
  readonly code = 'torch_invalid'
  override readonly param: string

  constructor(file: string, tensor: string | null, problem: string) {
    super(`${file} cannot be read: ${tensor === null ? '' : `tensor ${shown(tensor)} `}${problem}.`)
    this.param = asParam(tensor ?? file)
  }
}

/** Some two hundred bytes a tensor. */
const MAX_PICKLE_BYTES = 1024 * 1024
/** PyTorch's own limit. */
const MAX_DIMENSIONS = 64
/** Of a storage that is put in order while it is read. */
const PIECE_BYTES = 1024 * 1024

/**
 * The tensors of a dict saved with `torch.save`, in its order; each reads from `source` while that is open.
 * @throws TorchFileError, PickleError, ZipError, SourceError
 */
export async function readTorch(source: RandomAccess, signal?: AbortSignal): Promise<ReadonlyMap<string, TensorInfo>> {
  if (!(await looksLikeZip(source, signal))) {
    throw new TorchFileError(
      source.name,
      null,
      'it is not a zip archive. Files from before PyTorch 1.6 have to be loaded and saved again with a newer one',
    )
  }
  const zip = await readZip(source, signal)
  const { root, pickle } = await readPickle(zip, signal)
  await checkByteOrder(zip, root, signal)
  const value = unpickle(pickle, new TensorHost(source.name))
  if (!(value instanceof PickleDict)) throw new TorchFileError(source.name, null, 'it does not hold a dict of tensors')

  const tensors = new Map<string, TensorInfo>()
  let bytes = 0
  for (const [name, found] of value.entries()) {
    if (typeof name !== 'string') throw new TorchFileError(source.name, null, 'it has a key that is no text')
    if (!(found instanceof SavedTensor)) throw new TorchFileError(source.name, name, 'is no tensor')
    const tensor = await locate(zip, root, name, found, signal)
    bytes += tensor.byteLength
    // Views of one storage under many names: what was read would be many times what there is.
    if (bytes > source.size) throw new TorchFileError(source.name, name, 'and those before it are more than the file')
    tensors.set(name, tensor)
  }
  return tensors
}

/** An entry of the archive, not yet looked for. */
class SavedStorage {
  readonly key: string
  readonly dtype: Dtype
  /** Elements. */
  readonly length: number

  constructor(key: string, dtype: Dtype, length: number) {
    this.key = key
    this.dtype = dtype
    this.length = length
  }
}

/** A view of a storage; offset and strides count elements. */
class SavedTensor {
  readonly storage: SavedStorage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  constructor(storage: SavedStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }

  get dtype(): Dtype {
    return this.storage.dtype
  }
}

const STORAGE_DTYPES: ReadonlyMap<string, Dtype> = new Map([
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.DoubleStorage', 'F64'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
])

/** All that the pickle of a file of tensors may name. */
class TensorHost implements PickleHost {
  readonly file: string
  readonly #globals: ReadonlyMap<string, PickleGlobal>

  constructor(file: string) {
    this.file = file
    const globals: PickleGlobal[] = [
      { global: 'collections.OrderedDict', call: () => new PickleDict() },
      { global: 'torch._utils._rebuild_tensor_v2', call: (args) => this.#rebuildTensor(args) },
      { global: 'torch._utils._rebuild_parameter', call: ([data]) => this.#tensor(data) },
      ...[...STORAGE_DTYPES.keys()].map((global) => ({ global })),
    ]
    this.#globals = new Map(globals.map((entry) => [entry.global, entry]))
  }

  global(name: string): PickleGlobal | undefined {
    return this.#globals.get(name)
  }

  /** ('storage', type, key, device, element count) */
  persistent(id: PickleValue): SavedStorage {
    const [kind, type, key, , length] = id instanceof PickleTuple ? id.items : []
    const global = typeof type === 'object' && type !== null && 'global' in type ? type.global : ''
    const dtype = STORAGE_DTYPES.get(global)
    if (kind !== 'storage' || !dtype || typeof key !== 'string' || !isCount(length)) {
      throw new PickleError(this.file, 'its pickle refers to something that is not a storage')
    }
    return new SavedStorage(key, dtype, length)
  }

  /** (storage, offset, shape, strides, requires_grad, backward_hooks, metadata?) */
  #rebuildTensor([storage, offset, size, stride, , , metadata]: readonly PickleValue[]): SavedTensor {
    const shape = counts(size)
    const strides = counts(stride)
    if (
      !(storage instanceof SavedStorage) ||
      !isCount(offset) ||
      !shape ||
      shape.length !== strides?.length ||
      shape.length > MAX_DIMENSIONS
    ) {
      throw new PickleError(this.file, 'its pickle describes a tensor that cannot be')
    }
    // Metadata may say "negated" or "conjugated": the stored numbers would not be the tensor's.
    if (metadata != null && !(metadata instanceof PickleDict && metadata.size === 0)) {
      throw new PickleError(this.file, 'its pickle holds a tensor with metadata')
    }
    return new SavedTensor(storage, offset, shape, strides)
  }

  #tensor(value: PickleValue | undefined): SavedTensor {
    if (value instanceof SavedTensor) return value
    throw new PickleError(this.file, 'its pickle makes a parameter of what is not a tensor')
  }
}

async function readPickle(zip: ZipFile, signal?: AbortSignal): Promise<{ root: string; pickle: Uint8Array }> {
  const { source, entries } = zip
  const roots = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  if (roots.length !== 1) {
    throw new TorchFileError(source.name, null, `it has ${roots.length} data.pkl, a file of torch.save has one`)
  }
  const root = roots[0]!.slice(0, -'data.pkl'.length)
  if (entries.has(`${root}constants.pkl`)) throw new TorchFileError(source.name, null, 'it is a TorchScript program')
  return { root, pickle: await readEntry(zip, entries.get(roots[0]!)!, MAX_PICKLE_BYTES, signal) }
}

async function checkByteOrder(zip: ZipFile, root: string, signal?: AbortSignal): Promise<void> {
  const entry = zip.entries.get(`${root}byteorder`)
  if (!entry) return
  const order = new TextDecoder().decode(await readEntry(zip, entry, 16, signal)).trim()
  if (order === 'little') return
  throw new TorchFileError(zip.source.name, null, `its byte order is ${JSON.stringify(order)}, not little`)
}

async function readEntry(zip: ZipFile, entry: ZipEntry, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  if (entry.byteLength > maxBytes) {
    throw new TorchFileError(
      zip.source.name,
      null,
      `${entry.name} has ${entry.byteLength} bytes, at most ${maxBytes} are read`,
    )
  }
  return await zip.source.read(await contentOffset(zip, entry, signal), entry.byteLength, signal)
}

/** Where the elements of `tensor` lie, checked against the archive. */
async function locate(
  zip: ZipFile,
  root: string,
  name: string,
  tensor: SavedTensor,
  signal?: AbortSignal,
): Promise<TensorInfo> {
  const { source, entries } = zip
  const { storage, offset, dtype, shape } = tensor
  const fail = (problem: string): TorchFileError => new TorchFileError(source.name, name, problem)
  const entry = entries.get(`${root}data/${storage.key}`)
  if (!entry) throw fail(`lies in data/${storage.key}, which is not there`)
  const width = DTYPE_BITS[dtype] / 8
  if (entry.byteLength !== storage.length * width) {
    throw fail(`has a storage of ${storage.length} ${dtype}, but it has ${entry.byteLength} bytes`)
  }
  const count = elementCount(tensor)
  if (count === null || count > storage.length) throw fail(`is ${shown(shape)}, more than its storage holds`)
  const last = tensor.shape.reduce((sum, size, i) => sum + (size - 1) * tensor.strides[i]!, offset)
  if (count > 0 && !(last < storage.length)) throw fail('reaches beyond its storage')
  const begin = await contentOffset(zip, entry, signal)
  const info = { name, dtype, shape, byteLength: count * width }
  if (count === 0) return { ...info, byteOffset: begin, source }
  if (isContiguous(tensor)) return { ...info, byteOffset: begin + offset * width, source }
  // A transpose is put in order when it is read. Any other view could make much of little, and nobody saves one.
  const order = axesInStorage(tensor)
  if (count !== storage.length || !order) {
    throw fail('is a cut or repeated view of its storage. Save it again as safetensors')
  }
  return { ...info, byteOffset: 0, source: new TransposedSource(source, begin, tensor, width, order) }
}

/**
 * The elements of a view that covers its storage in another order, in the order of its shape. The storage passes through
 * in pieces, and every element of a piece is put where it belongs. Who reads a part gets it out of the whole, which is then
 * kept: elements of a part lie all over the storage.
 */
class TransposedSource extends Source {
  readonly #storage: RandomAccess
  readonly #begin: number
  readonly #width: number
  /** Axes as they lie in the storage, the slowest first: their sizes, and how far a step on each leads in the tensor. */
  readonly #sizes: readonly number[]
  readonly #steps: readonly number[]
  #whole: Uint8Array | null = null

  constructor(
    storage: RandomAccess,
    begin: number,
    { shape, storage: { length } }: SavedTensor,
    width: number,
    order: readonly number[],
  ) {
    super(storage.name, length * width)
    this.#storage = storage
    this.#begin = begin
    this.#width = width
    this.#sizes = order.map((axis) => shape[axis]!)
    this.#steps = order.map((axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (target.byteLength === this.size) return await this.#putInOrder(target, signal)
    if (!this.#whole) {
      const whole = new Uint8Array(this.size)
      await this.#putInOrder(whole, signal)
      this.#whole = whole
    }
    target.set(this.#whole.subarray(offset, offset + target.byteLength))
  }

  async #putInOrder(target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const width = this.#width
    const last = this.#sizes.length - 1
    const [size, step] = [this.#sizes[last]!, this.#steps[last]! * width]
    const index = this.#sizes.map(() => 0)
    const pieces = new Uint8Array(Math.min(PIECE_BYTES, this.size))
    let to = 0
    for (let at = 0; at < this.size; at += PIECE_BYTES) {
      const piece = pieces.subarray(0, this.size - at)
      await this.#storage.readInto(this.#begin + at, piece, signal)
      for (let from = 0; from < piece.byteLength; ) {
        // As far as the fastest axis and the piece go.
        const count = Math.min(size - index[last]!, (piece.byteLength - from) / width)
        for (let i = 0; i < count; i++, to += step, from += width) {
          for (let byte = 0; byte < width; byte++) target[to + byte] = piece[from + byte]!
        }
        index[last]! += count
        for (let axis = last; axis > 0 && index[axis] === this.#sizes[axis]; axis--) {
          to += (this.#steps[axis - 1]! - this.#steps[axis]! * this.#sizes[axis]!) * width
          index[axis] = 0
          index[axis - 1]!++
        }
      }
    }
  }
}

/** The axes from the slowest to the fastest, if they tile the storage; else null. Axes of one element are anywhere. */
function axesInStorage({ shape, strides }: SavedTensor): readonly number[] | null {
  const order = shape.flatMap((size, axis) => (size === 1 ? [] : axis)).sort((a, b) => strides[b]! - strides[a]!)
  let expected = 1
  for (const axis of order.toReversed()) {
    if (strides[axis] !== expected) return null
    expected *= shape[axis]!
  }
  return order
}

/** null where the product leaves the integers, even on the way to a zero. */
function elementCount({ shape }: SavedTensor): number | null {
  let count = 1
  for (const size of shape) {
    count *= size
    if (!Number.isSafeInteger(count)) return null
  }
  return count
}

function isContiguous({ shape, strides }: SavedTensor): boolean {
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false
    expected *= shape[i]!
  }
  return true
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function counts(value: PickleValue | undefined): readonly number[] | null {
  return value instanceof PickleTuple && value.items.every(isCount) ? (value.items as readonly number[]) : null
}
