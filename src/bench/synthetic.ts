/**
 * Adapters of any rank and number, made in memory: speed does not depend on values. Adapters of one rank share their
 * bytes in JavaScript, while each takes its own place on the GPU.
 */
import type { LoraModule, NormalAdapter } from '../lora/normal.ts'
import type { AdapterStore } from '../lora/store.ts'
import { type ModelSpec, PROJECTION_MODULES, PROJECTIONS, projectionShape } from '../model/spec.ts'
import { type Folder, memoryFolder } from '../weights/folder.ts'

export class SyntheticAdapters {
  readonly #spec: ModelSpec
  readonly #modules = new Map<number, readonly LoraModule[]>()

  constructor(spec: ModelSpec) {
    this.#spec = spec
  }

  /** A plain F16 adapter of `rank` on all seven linear layers of every block; another one for each `name`. */
  make(name: string, rank: number): NormalAdapter {
    const modules = this.#modules.get(rank) ?? modulesOf(this.#spec, rank)
    this.#modules.set(rank, modules)
    const byteLength = modules.reduce((sum, { a, b }) => sum + a.bytes.length + b.bytes.length, 0)
    return { digest: `synthetic ${name} of rank ${rank}`, modules, maxRank: rank, byteLength }
  }

  /** Where it can be had again, so that host memory need not hold them all. */
  store(name: string, rank: number): AdapterStore {
    return { name: 'synthetic', read: async () => this.make(name, rank) }
  }
}

/** The same as a PEFT folder, for who reads one. */
export function syntheticFolder(spec: ModelSpec, name: string, rank: number): Folder {
  const tensors = modulesOf(spec, rank).flatMap(({ layer, projection, a, b }) => {
    const path = `base_model.model.model.layers.${layer}.${PROJECTION_MODULES[projection]}`
    return [
      [`${path}.lora_A.weight`, a],
      [`${path}.lora_B.weight`, b],
    ] as const
  })
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [tensor, { shape, bytes }] of tensors) {
    header[tensor] = { dtype: 'F16', shape, data_offsets: [end, end + bytes.length] }
    end += bytes.length
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const file = new Uint8Array(8 + text.length + end)
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true)
  file.set(text, 8)
  let at = 8 + text.length
  for (const [, { bytes }] of tensors) {
    file.set(bytes, at)
    at += bytes.length
  }
  const config = {
    peft_type: 'LORA',
    r: rank,
    lora_alpha: 2 * rank,
    target_modules: PROJECTIONS.map((projection) => PROJECTION_MODULES[projection].split('.').at(-1)),
  }
  return memoryFolder(name, { 'adapter_config.json': JSON.stringify(config), 'adapter_model.safetensors': file })
}

function modulesOf(spec: ModelSpec, rank: number): LoraModule[] {
  // The layers are alike, so their tensors may be the same bytes too.
  const layer = PROJECTIONS.map((projection) => {
    const { in: inputs, out } = projectionShape(spec, projection)
    return {
      projection,
      rank,
      scale: 2,
      a: { dtype: 'F16', shape: [rank, inputs], bytes: smallHalves(rank * inputs) },
      b: { dtype: 'F16', shape: [out, rank], bytes: smallHalves(out * rank) },
    } as const
  })
  return Array.from({ length: spec.numLayers }, (_, index) =>
    layer.map((module) => ({ ...module, layer: index })),
  ).flat()
}

/** Halves of either sign around 0.01, little-endian: no kernel meets a denormal or an overflow. */
export function smallHalves(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count * 2)
  fillHalves(bytes)
  return bytes
}

export function fillHalves(bytes: Uint8Array): void {
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    bytes[i] = (i * 37) & 0xff
    bytes[i + 1] = 0x20 | ((i >> 4) & 3) | ((i & 2) << 6)
  }
}
