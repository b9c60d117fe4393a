/**
 * Loading (S13 of docs/performance.md): the time to open a model from disk over what its bytes take by bare uploads, and how
 * much JavaScript holds meanwhile (heap and buffers; not RSS, which on a software device holds the "GPU's" memory). Without
 * `--model` a folder of SmolLM2-135M's shape with made-up weights is written and deleted again. Rounds interleaved.
 *
 *   node --expose-gc bench/run.mjs bench/loading.ts [--rounds=5] [--model=DIR]
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { directoryFolder } from '../src/hosts/node/files.ts'
import { readModelSpec } from '../src/model/config.ts'
import { numberOption, textOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const SIZES = { maxModelLen: 512, maxNumSeqs: 1, kvCacheMemory: 32 * MIB, loraMemory: MIB }
const SAMPLE_MS = 2

const rounds = numberOption('rounds', 5)
const given = textOption('model')
const folder = given ?? mkdtempSync(join(tmpdir(), 'lorikeet-loading-'))
if (given === null) await writeModel(folder)
const byteLength = statSync(join(folder, 'model.safetensors')).size

async function writeModel(path: string): Promise<void> {
  const files = smolFolder(readModelSpec)
  for (const name of ['config.json', 'model.safetensors']) {
    const source = await files.open(name)
    writeFileSync(join(path, name), await source.read(0, source.size))
    await source.close()
  }
}

/** Processor time of the whole process. */
function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

function held(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** The most that JavaScript holds while `run` runs, above the start. */
async function peakOf(run: () => Promise<void>): Promise<number> {
  globalThis.gc?.()
  const before = held()
  let most = before
  const look = (): void => {
    most = Math.max(most, held())
  }
  const timer = setInterval(look, SAMPLE_MS)
  await run()
  look()
  clearInterval(timer)
  return most - before
}

const gpu = await openGpu()
const pieces = 16 * MIB
const piece = new Uint8Array(pieces)
const bareMs: number[] = []
const loadMs: number[] = []
/** The same in processor time. */
const bareCpuMs: number[] = []
const loadCpuMs: number[] = []
const peaks: number[] = []
try {
  for (let round = 0; round < rounds + 1; round++) {
    const targets = []
    for (let at = 0; at < byteLength; at += pieces) {
      targets.push(await gpu.allocate({ label: 'bare upload', purpose: 'activations', byteLength: pieces }))
    }
    const start = performance.now()
    const cpu = process.cpuUsage()
    for (const [i, target] of targets.entries()) {
      await gpu.upload(target, 0, piece.subarray(0, Math.min(pieces, byteLength - i * pieces)))
    }
    await gpu.idle()
    const bare = performance.now() - start
    const bareCpu = cpuMsSince(cpu)
    for (const target of targets) target.destroy()
    let loaded = 0
    let loadCpu = 0
    const peak = await peakOf(async () => {
      const began = performance.now()
      const begunCpu = process.cpuUsage()
      const runtime = await Runtime.open(gpu, directoryFolder(folder), { sizes: SIZES, tuning: { mode: 'never' } })
      await gpu.idle()
      loaded = performance.now() - began
      loadCpu = cpuMsSince(begunCpu)
      await runtime.close()
    })
    // The first round reads the files from the disk and compiles the shaders.
    if (round === 0) continue
    bareMs.push(bare)
    loadMs.push(loaded)
    bareCpuMs.push(bareCpu)
    loadCpuMs.push(loadCpu)
    peaks.push(peak)
  }
} finally {
  if (given === null) rmSync(folder, { recursive: true })
}
console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    bytes: byteLength,
    collectedGarbage: globalThis.gc !== undefined,
    bareUploadMs: { best: Math.min(...bareMs), median: median(bareMs) },
    loadMs: { best: Math.min(...loadMs), median: median(loadMs) },
    'S13 loading over bare uploads': {
      best: Math.min(...loadMs) / Math.min(...bareMs),
      median: median(loadMs) / median(bareMs),
      cpu: median(loadCpuMs) / median(bareCpuMs),
    },
    'S13 most JavaScript memory above the start, MiB': { median: median(peaks) / MIB, worst: Math.max(...peaks) / MIB },
  }),
)
gpu.close()
