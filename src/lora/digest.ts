/**
 * The identity of an adapter: what it computes, not what its files look like. Two folders with the same modules, ranks,
 * scales and tensors have one digest, whatever the order of their keys, their shards, or the rest of their config.
 *
 * The tensors are hashed on their own and the digests hashed together with the description, so that large adapters can
 * be hashed by the host's own SHA-256, off the thread, wherever it has one.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { LoraModule, LoraTensor, LoraVector } from './normal.ts'

/** Changes whenever the description below does. */
const FORMAT = 'lorikeet adapter 1'

/** SHA-256, in hex, over `modules` in their order: place, rank, scale, and the type, shape and bytes of each tensor. */
export async function digestModules(modules: readonly LoraModule[]): Promise<string> {
  const lines = await Promise.all(
    modules.map(async ({ layer, projection, rank, scale, ...tensors }) => {
      // A double prints as the shortest decimal that reads back as itself (and -0 as 0, which computes the same).
      const place = `${layer} ${projection} rank ${rank} scale ${scale}`
      return [place, ...(await Promise.all(namedTensors(tensors).map(describe)))].join(' ')
    }),
  )
  const text = [FORMAT, ...lines].join('\n')
  return bytesToHex(sha256(new TextEncoder().encode(text)))
}

type Named = readonly [name: string, tensor: LoraTensor | LoraVector]

/** In an order of their own, whatever the object's. */
function namedTensors(tensors: Omit<LoraModule, 'layer' | 'projection' | 'rank' | 'scale'>): Named[] {
  const { a, b, magnitude, bias, loraBias } = tensors
  const named = { a, b, magnitude, bias, loraBias }
  return Object.entries(named).flatMap(([name, tensor]) => (tensor ? [[name, tensor] as const] : []))
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
