/** Small adapters made in memory, for tests that need one with something about it. */

import { projectionPath } from '../../src/lora/modules.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { type Projection, projectionShape } from '../../src/model/spec.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { type MadeTensor, makeSafetensors } from '../weights/makeSafetensors.ts'

export const TINY: ModelSpec = {
  family: 'llama',
  vocabSize: 32,
  hiddenSize: 8,
  intermediateSize: 12,
  numLayers: 2,
  numHeads: 2,
  numKvHeads: 1,
  headDim: 4,
  rotaryDim: 4,
  maxPositions: 64,
  normEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { type: 'default' },
  tiedEmbeddings: true,
  bias: { qkv: false, o: false, mlp: false },
  qkNorm: false,
  slidingWindows: [null, null],
}

/** A float32 tensor whose elements are `from`, `from` + 1, … */
export function f32(shape: readonly number[], from = 1): MadeTensor {
  const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => from + i)
  return { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }
}

/** `lora_A` and `lora_B` of the named projections, under the names PEFT saves them by. */
export function loraTensors(
  modules: readonly (readonly [layer: number, projection: Projection])[],
  rank = 2,
): Record<string, MadeTensor> {
  const tensors: Record<string, MadeTensor> = {}
  for (const [layer, projection] of modules) {
    const shape = projectionShape(TINY, projection)
    tensors[tensorName(layer, projection, 'A')] = f32([rank, shape.in], layer)
    tensors[tensorName(layer, projection, 'B')] = f32([shape.out, rank], layer + 0.5)
  }
  return tensors
}

export function tensorName(layer: number, projection: Projection, side: 'A' | 'B'): string {
  return `base_model.model.${projectionPath(layer, projection)}.lora_${side}.weight`
}

export const BOTH_Q: readonly (readonly [number, Projection])[] = [
  [0, 'q'],
  [1, 'q'],
]

export const Q_CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj'] } as const

export function adapterFolder(
  config: unknown = Q_CONFIG,
  tensors: Readonly<Record<string, MadeTensor>> = loraTensors(BOTH_Q),
): Folder {
  return memoryFolder('made', {
    'adapter_config.json': typeof config === 'string' ? config : JSON.stringify(config),
    'adapter_model.safetensors': makeSafetensors(tensors),
  })
}
