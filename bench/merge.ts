/**
 * What folding an adapter into the base costs when a model is loaded: time of the CPU to read every tensor through
 * src/lora/merge.ts, against reading them as they are, and the most that JavaScript has in memory meanwhile. SmolLM2-135M's
 * shape with made-up weights, or a model's folder. No device.
 *
 *   node bench/run.mjs bench/merge.ts [--model=DIR]
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import { directoryFolder } from '../src/hosts/node/files.ts'
import { mergeIntoBase } from '../src/lora/merge.ts'
import { readModelSpec } from '../src/model/config.ts'
import { openCheckpoint } from '../src/weights/checkpoint.ts'
import { readJson } from '../src/weights/config.ts'
import type { TensorInfo } from '../src/weights/safetensors.ts'
import { SLICE_BYTES, tensorSlices } from '../src/weights/tensorData.ts'
import { smolFolder } from './support/smol.ts'

const MIB = 1024 * 1024
const model = process.argv.find((argument) => argument.startsWith('--model='))?.slice('--model='.length)
const folder = model ? directoryFolder(model) : smolFolder(readModelSpec)
const spec = readModelSpec(await readJson(folder, 'config.json'))
const checkpoint = await openCheckpoint(folder)
const scratch = new ArrayBuffer(SLICE_BYTES)
const made = new SyntheticAdapters(spec)

/** Reads all tensors as loading a model does. */
async function read(tensors: Iterable<TensorInfo>): Promise<{ cpu: string; memory: string }> {
  const before = process.cpuUsage()
  let most = 0
  for (const tensor of tensors) {
    for await (const _ of tensorSlices(tensor, SLICE_BYTES, undefined, scratch)) {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      most = Math.max(most, arrayBuffers + heapUsed)
    }
  }
  const { user, system } = process.cpuUsage(before)
  return { cpu: `${((user + system) / 1e6).toFixed(2)} s`, memory: `${Math.round(most / MIB)} MiB` }
}

console.log(`${folder.name}: ${Math.round(checkpoint.byteLength / MIB)} MiB of weights`)
console.log('as it is', await read(checkpoint.tensors.values()))
for (const rank of [8, 16, 64]) {
  const adapter = made.make(`r${rank}`, rank)
  const { tensors } = mergeIntoBase({ spec, checkpoint }, 'adapter', adapter).checkpoint
  console.log(`rank ${rank}, ${Math.round(adapter.byteLength / MIB)} MiB`, await read(tensors.values()))
}
await checkpoint.close()
