/** A model passes through memory in slices: what JavaScript holds while loading does not grow with the file. */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { openCheckpoint } from '../../src/weights/checkpoint.ts'
import { SLICE_BYTES, tensorSlices } from '../../src/weights/tensorData.ts'
import { withHeader } from './makeSafetensors.ts'

const MIB = 1024 * 1024

/** A model folder of `numTensors` tensors, sparse: it takes no room on the disk. */
function sparseModel(directory: string, numTensors: number, tensorBytes: number): void {
  const entries = Array.from({ length: numTensors }, (_, i) => {
    const offsets = [i * tensorBytes, (i + 1) * tensorBytes]
    return [`model.layers.${i}.weight`, { dtype: 'F16', shape: [tensorBytes / 2], data_offsets: offsets }]
  })
  const header = withHeader(JSON.stringify(Object.fromEntries(entries)))
  const path = join(directory, 'model.safetensors')
  const file = openSync(path, 'w')
  writeSync(file, header)
  closeSync(file)
  truncateSync(path, header.byteLength + numTensors * tensorBytes)
}

/** What JavaScript holds: its heap, and the buffers beside it. */
function held(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

it.each([
  ['a few large tensors', 3, 100 * MIB],
  ['many small ones', 300, MIB],
])('reads 300 MiB of %s with one slice in memory', async (_, numTensors, tensorBytes) => {
  const directory = mkdtempSync(join(tmpdir(), 'lorikeet-memory-'))
  try {
    sparseModel(directory, numTensors, tensorBytes)
    const start = held()
    let peak = start
    let total = 0
    const checkpoint = await openCheckpoint(directoryFolder(directory))
    const scratch = new ArrayBuffer(SLICE_BYTES)
    for (const tensor of checkpoint.tensors.values()) {
      for await (const { bytes } of tensorSlices(tensor, SLICE_BYTES, undefined, scratch)) {
        total += bytes.byteLength
        peak = Math.max(peak, held())
      }
    }
    await checkpoint.close()
    expect(total).toBe(300 * MIB)
    // One slice, and room for what the collector has not looked at yet; the target for a load is 100 MiB.
    expect((peak - start) / MIB).toBeLessThan(40)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
