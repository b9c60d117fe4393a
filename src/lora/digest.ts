/**
 * The identity of an adapter: what it computes, not what its files look like. Two folders with the same modules, ranks,
 * scales and tensors have one digest, whatever the order of their keys, their shards, or the rest of their config.
 *
 * The tensors are hashed on their own and the digests hashed together with the description, so that large adapters can
 * be hashed by the host's own SHA-256, off the thread, wherever it has one.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { LoraPart, LoraTensor, LoraVector, NormalAdapter, VocabularyChange } from './normal.ts'

/** Changes whenever the description below does. */
const FORMAT = 'lorikeet adapter 1'

/**
 * SHA-256, in hex, over everything that an adapter computes with: the layers it runs, its modules in their order with place,
 * rank and scale, its norms, its changes to embedding and output layer, its invocation, and the type, shape and bytes of each tensor.
 */
export async function digestAdapter(adapter: Parts): Promise<string> {
  const { layers, modules, norms = [], embedding, head, invocation } = adapter
  const lines = await Promise.all([
    ...modules.map((module) => describePart(`${module.layer} ${module.projection}`, module)),
    ...norms.map(({ layer, norm, gain }) => describe([`norm ${layer ?? '-'} ${norm}`, gain])),
    ...describeChange('embedding', embedding),
    ...describeChange('head', head),
  ])
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
  return [`${place} rank ${rank} scale ${scale}`, ...(await Promise.all(tensors.map(describe)))].join(' ')
}

function describeChange(module: string, { lora, rows }: VocabularyChange = {}): Promise<string>[] {
  const tokens = rows?.tokens ? `tokens ${rows.tokens.join(' ')}` : 'every token'
  return [
    ...(lora ? [describePart(module, lora)] : []),
    ...(rows ? [describe([`${module} rows ${tokens}`, rows.matrix])] : []),
  ]
}

async function describe([name, { dtype, shape, bytes }]: Named): Promise<string> {
  return `${name} ${dtype} ${shape.join('x')} ${bytesToHex(await hash(bytes))}`
}

/** Pages that are not served securely have no `subtle`; the result is the same. */
async function hash(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) return sha256(bytes)
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}
