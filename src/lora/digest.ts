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
  const content = new ContentHash()
  const lines: string[] = []
  for (const module of modules) lines.push(await describePart(content, `${module.layer} ${module.projection}`, module))
  for (const { layer, norm, gain } of norms) lines.push(await describe(content, [`norm ${layer ?? '-'} ${norm}`, gain]))
  lines.push(...(await describeChange(content, 'embedding', embedding)))
  lines.push(...(await describeChange(content, 'head', head)))
  if (layers) lines.push(`layers ${layers.key}`)
  if (invocation) lines.push(`invocation ${invocation.join(' ')}`)
  const text = [FORMAT, ...lines, await content.end()].join('\n')
  return bytesToHex(sha256(new TextEncoder().encode(text)))
}

type Parts = Pick<NormalAdapter, 'layers' | 'modules' | 'norms' | 'embedding' | 'head' | 'invocation'>
type Named = readonly [name: string, tensor: LoraTensor | LoraVector]

async function describePart(content: ContentHash, place: string, part: LoraPart): Promise<string> {
  // In an order of their own, whatever the object's.
  const { rank, scale, a, b, magnitude, bias, loraBias } = part
  const named = Object.entries({ a, b, magnitude, bias, loraBias })
  const tensors = named.flatMap(([name, tensor]): Named[] => (tensor ? [[name, tensor]] : []))
  // A double prints as the shortest decimal that reads back as itself (and -0 as 0, which computes the same).
  const words = [`${place} rank ${rank} scale ${scale}`]
  for (const tensor of tensors) words.push(await describe(content, tensor))
  return words.join(' ')
}

async function describeChange(
  content: ContentHash,
  module: string,
  { lora, rows }: VocabularyChange = {},
): Promise<string[]> {
  const tokens = rows?.tokens ? `tokens ${rows.tokens.join(' ')}` : 'every token'
  return [
    ...(lora ? [await describePart(content, module, lora)] : []),
    ...(rows ? [await describe(content, [`${module} rows ${tokens}`, rows.matrix])] : []),
  ]
}

async function describe(content: ContentHash, [name, { dtype, shape, bytes }]: Named): Promise<string> {
  await content.add(bytes)
  return `${name} ${dtype} ${shape.join('x')}`
}

/** SHA-256 of the SHA-256 of each piece of what is added. */
class ContentHash {
  readonly #piece = new Uint8Array(PIECE_BYTES)
  #length = 0
  readonly #hashes = sha256.create()

  async add(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const part = bytes.subarray(done, done + PIECE_BYTES - this.#length)
      this.#piece.set(part, this.#length)
      this.#length += part.byteLength
      done += part.byteLength
      if (this.#length === PIECE_BYTES) await this.#hash()
    }
  }

  /** In hex. */
  async end(): Promise<string> {
    await this.#hash()
    return bytesToHex(this.#hashes.digest())
  }

  async #hash(): Promise<void> {
    this.#hashes.update(await hashPiece(this.#piece.subarray(0, this.#length)))
    this.#length = 0
  }
}

/** Pages that are not served securely have no `subtle`; the result is the same. */
async function hashPiece(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) return sha256(bytes)
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}
