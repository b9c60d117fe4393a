/**
 * Adapters of any rank and number, made in memory: speed does not depend on values. Adapters of one rank share their
 * bytes in JavaScript, while each takes its own place on the GPU.
 */
import type { LoraModule, NormalAdapter } from '../lora/normal.ts'
import { type ModelSpec, PROJECTIONS, projectionShape } from '../model/spec.ts'

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
