/**
 * The identity of an adapter: what it computes, not what its files look like. Two folders with the same modules, ranks,
 * scales and tensors have one digest, whatever the order of their keys, their shards, or the rest of their config.
 *
 * The bytes of all tensors are hashed one behind the other, apart from the description, which says how many each has: so the
 * host's own SHA-256 can do it, off the thread, wherever there is one. It takes no stream, and each call costs more than a
 * small tensor, so it is given pieces of one size, and the pieces' hashes are hashed.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { FLOAT_BYTES } from '../weights/dtype.ts'
import type { LoraPart, LoraTensor, LoraVector, NormalAdapter, VocabularyChange } from './normal.ts'

/** Changes whenever the description below does. */
const FORMAT = 'lorikeet adapter 3'
/** Few enough for a host without a SHA-256 of its own, where a piece holds up everything else. */
const PIECE_BYTES = 1024 * 1024

/**
 * SHA-256, in hex, over everything that an adapter computes with: the layers it runs, its modules in their order with place,
 * rank and scale, its norms, its changes to embedding and output layer, its invocation, and the type, shape and bytes of each tensor.
 */
export async function digestAdapter(adapter: Parts): Promise<string> {
  const { layers, modules, norms = [], embedding, head, invocation } = adapter
  const tensors: Tensor[] = []
  const lines = [
    ...modules.map((module) => describePart(tensors, `${module.layer} ${module.projection}`, module)),
    ...norms.map(({ layer, norm, gain }) => describe(tensors, `norm ${layer ?? '-'} ${norm}`, gain)),
    ...describeChange(tensors, 'embedding', embedding),
    ...describeChange(tensors, 'head', head),
    ...(layers ? [`layers ${layers.key}`] : []),
    ...(invocation ? [`invocation ${invocation.join(' ')}`] : []),
  ]
  const text = [FORMAT, ...lines, await hashOf(tensors)].join('\n')
  return bytesToHex(sha256(new TextEncoder().encode(text)))
}

type Parts = Pick<NormalAdapter, 'layers' | 'modules' | 'norms' | 'embedding' | 'head' | 'invocation'>
type Tensor = LoraTensor | LoraVector

/** Words for it; its tensors join the others. */
function describePart(tensors: Tensor[], place: string, part: LoraPart): string {
  // In an order of their own, whatever the object's.
  const { rank, scale, a, b, magnitude, bias, loraBias } = part
  // A double prints as the shortest decimal that reads back as itself (and -0 as 0, which computes the same).
  const words = [`${place} rank ${rank} scale ${scale}`]
  for (const [name, tensor] of Object.entries({ a, b, magnitude, bias, loraBias })) {
    if (tensor) words.push(describe(tensors, name, tensor))
  }
  return words.join(' ')
}

function describeChange(tensors: Tensor[], module: string, { lora, rows }: VocabularyChange = {}): string[] {
  const tokens = rows?.tokens ? `tokens ${rows.tokens.join(' ')}` : 'every token'
  return [
    ...(lora ? [describePart(tensors, module, lora)] : []),
    ...(rows ? [describe(tensors, `${module} rows ${tokens}`, rows.matrix)] : []),
  ]
}

function describe(tensors: Tensor[], name: string, tensor: Tensor): string {
  tensors.push(tensor)
  return `${name} ${tensor.dtype} ${tensor.shape.join('x')}`
}

/** SHA-256, in hex, of the SHA-256 of each piece of their bytes. */
async function hashOf(tensors: readonly Tensor[]): Promise<string> {
  const sizes = tensors.map(({ dtype, shape: [rows, columns = 1] }) => rows * columns * FLOAT_BYTES[dtype])
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const piece = new Uint8Array(Math.min(PIECE_BYTES, total))
  const hashes = sha256.create()
  let length = 0
  for (const { bytes } of tensors) {
    for (let done = 0; done < bytes.byteLength; ) {
      const part = bytes.subarray(done, done + piece.byteLength - length)
      piece.set(part, length)
      length += part.byteLength
      done += part.byteLength
      if (length < piece.byteLength) continue
      hashes.update(await hashPiece(piece))
      length = 0
    }
  }
  if (length > 0) hashes.update(await hashPiece(piece.subarray(0, length)))
  return bytesToHex(hashes.digest())
}

/** Pages that are not served securely have no `subtle`; the result is the same. */
async function hashPiece(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) return sha256(bytes)
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}
