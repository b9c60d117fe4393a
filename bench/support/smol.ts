/**
 * A model of SmolLM2-135M's shape and adapters of any rank for it, with made-up weights in memory: speed does not depend
 * on values, so benches need no download.
 */
import type { LoraModule, NormalAdapter } from '../../src/lora/normal.ts'
import { type ModelSpec, PROJECTION_MODULES, PROJECTIONS, projectionShape } from '../../src/model/spec.ts'
import { expectedTensors } from '../../src/model/tensorNames.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  hidden_act: 'silu',
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: 'float16',
}

/** `readSpec` reads the config: it says which tensors there are. `changes` may make the model smaller. */
export function smolFolder(
  readSpec: (config: unknown) => ModelSpec,
  changes: Readonly<Record<string, number>> = {},
): Folder {
  const config = { ...CONFIG, ...changes }
  const tensors = [...expectedTensors(readSpec(config))].filter(([name]) => name !== 'lm_head.weight')
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [name, shape] of tensors) {
    const bytes = 2 * shape.reduce((product, size) => product * size, 1)
    header[name] = { dtype: 'F16', shape, data_offsets: [end, end + bytes] }
    end += bytes
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const file = new Uint8Array(8 + text.length + end)
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true)
  file.set(text, 8)
  fillHalves(file.subarray(8 + text.length))
  return memoryFolder('smol', { 'config.json': JSON.stringify(config), 'model.safetensors': file })
}

/** A plain F16 adapter of one rank on all seven linears. */
export function smolAdapter(spec: ModelSpec, rank: number, seed: number): NormalAdapter {
  const modules: LoraModule[] = []
  for (let layer = 0; layer < spec.numLayers; layer++) {
    for (const projection of PROJECTIONS) {
      const { in: inputs, out } = projectionShape(spec, projection)
      modules.push({
        layer,
        projection,
        rank,
        scale: 2,
        a: { dtype: 'F16', shape: [rank, inputs], bytes: fillHalves(new Uint8Array(rank * inputs * 2)) },
        b: { dtype: 'F16', shape: [out, rank], bytes: fillHalves(new Uint8Array(rank * out * 2)) },
      })
    }
  }
  const byteLength = modules.reduce((sum, { a, b }) => sum + a.bytes.length + b.bytes.length, 0)
  return { digest: `${rank}/${seed}/${PROJECTION_MODULES.q}`, modules, maxRank: rank, byteLength }
}

/** Halves of either sign around 0.01, little-endian. */
function fillHalves(bytes: Uint8Array): Uint8Array {
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    bytes[i] = (i * 37) & 0xff
    bytes[i + 1] = 0x20 | ((i >> 4) & 3) | ((i & 2) << 6)
  }
  return bytes
}
