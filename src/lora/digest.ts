/**
 * The identity of an adapter: what it computes, not what its files look like. Two folders with the same modules, ranks,
 * scales and tensors have one digest, whatever the order of their keys, their shards, or the rest of their config.
 *
 * The tensors are hashed on their own and the digests hashed together with the description, so that large adapters can
 * be hashed by the host's own SHA-256, off the thread, wherever it has one. It copies what it is given, so it is given one
 * piece after the other.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { LoraPart, LoraTensor, LoraVector, NormalAdapter, VocabularyChange } from './normal.ts'

/** Changes whenever the description below does. */
const FORMAT = 'lorikeet adapter 2'
const PIECE_BYTES = 4 * 1024 * 1024

/**
 * SHA-256, in hex, over everything that an adapter computes with: the layers it runs, its modules in their order with place,
 * rank and scale, its norms, its changes to embedding and output layer, its invocation, and the type, shape and bytes of each tensor.
 */
export async function digestAdapter(adapter: Parts): Promise<string> {
  const { layers, modules, norms = [], embedding, head, invocation } = adapter
  const lines: string[] = []
  for (const module of modules) lines.push(await describePart(`${module.layer} ${module.projection}`, module))
  for (const { layer, norm, gain } of norms) lines.push(await describe([`norm ${layer ?? '-'} ${norm}`, gain]))
  lines.push(...(await describeChange('embedding', embedding)), ...(await describeChange('head', head)))
  if (layers) lines.push(`layers ${layers.key}`)
  if (invocation) lines.push(`invocation ${invocation.join(' ')}`)
  const text = [FORMAT, ...lines].join('\n')
  return bytesToHex(sha256(new TextEncoder().encode(text)))
}

type Parts = Pick<NormalAdapter, 'layers' | 'modules' | 'norms' | 'embedding' | 'head' | 'invocation'>
type Named = readonly [name: string, tensor: LoraTensor | LoraVector]

async function describePart(place: string, part: LoraPart): Promise<string> {
  // In an order of their own, whatever the object's.
  const { rank, scale, a, b, magnitude, bias, loraBias } = part
  const named = Object.entries({ a, b, magnitude, bias, loraBias })
  const tensors = named.flatMap(([name, tensor]): Named[] => (tensor ? [[name, tensor]] : []))
  // A double prints as the shortest decimal that reads back as itself (and -0 as 0, which computes the same).
  const words = [`${place} rank ${rank} scale ${scale}`]
  for (const tensor of tensors) words.push(await describe(tensor))
  return words.join(' ')
}

async function describeChange(module: string, { lora, rows }: VocabularyChange = {}): Promise<string[]> {
  const tokens = rows?.tokens ? `tokens ${rows.tokens.join(' ')}` : 'every token'
  return [
    ...(lora ? [await describePart(module, lora)] : []),
    ...(rows ? [await describe([`${module} rows ${tokens}`, rows.matrix])] : []),
  ]
}

async function describe([name, { dtype, shape, bytes }]: Named): Promise<string> {
  return `${name} ${dtype} ${shape.join('x')} ${bytesToHex(await hash(bytes))}`
}

/** SHA-256; of what is longer than a piece, that of the pieces' SHA-256 one after the other. */
async function hash(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength <= PIECE_BYTES) return await hashPiece(bytes)
  const pieces = sha256.create()
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
    pieces.update(await hashPiece(bytes.subarray(at, at + PIECE_BYTES)))
  }
  return pieces.digest()
}

/** Pages that are not served securely have no `subtle`; the result is the same. */
async function hashPiece(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) return sha256(bytes)
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}
