/** A model of SmolLM2-135M's shape with made-up weights in memory: speed does not depend on values, so benches need no download. */
import { REFERENCE_CONFIG } from '../../src/bench/referenceModel.ts'
import { fillHalves } from '../../src/bench/synthetic.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { expectedTensors } from '../../src/model/tensorNames.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'

/** `readSpec` reads the config: it says which tensors there are. `changes` may make the model smaller. */
export function smolFolder(
  readSpec: (config: unknown) => ModelSpec,
  changes: Readonly<Record<string, number>> = {},
): Folder {
  const config = { ...REFERENCE_CONFIG, ...changes }
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
