/**
 * What a prompt of 512 tokens costs, in chunks of 256, and what attention saves by taking its rows together: the same rows
 * are computed once as what they are, and once as if each was of a sequence of its own. SmolLM2-135M's shape, f16, made-up
 * weights, few layers; rounds interleaved.
 *
 *   node bench/run.mjs bench/prefill.ts [--rounds=5] [--layers=4]
 */
import type { Batch, Span } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { BLOCK_SIZE } from '../src/model/kvCache.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch } from './support/timing.ts'

const MIB = 1024 * 1024
const PROMPT = 512
const CHUNK = 256

const blockTable = Array.from({ length: PROMPT / BLOCK_SIZE }, (_, i) => i)
const span = (start: number, count: number): Span => ({
  tokens: Array.from({ length: count }, (_, i) => ((start + i) * 977) % 1000),
  start,
  blockTable,
  slot: null,
  logits: [],
})
const together = (start: number): Batch => ({ spans: [span(start, CHUNK)] })
const apart = (start: number): Batch => ({ spans: Array.from({ length: CHUNK }, (_, i) => span(start + i, 1)) })

async function main(): Promise<void> {
  const rounds = numberOption('rounds', 5)
  const layers = numberOption('layers', 4)
  const gpu = await openGpu()
  const sizes = { maxModelLen: PROMPT, maxNumSeqs: 1, maxNumBatchedTokens: CHUNK, loraMemory: 4 * MIB }
  const runtime = await Runtime.open(gpu, smolFolder(readModelSpec, { num_hidden_layers: layers }), { sizes })
  await runtime.tuner.done
  const starts = Array.from({ length: PROMPT / CHUNK }, (_, i) => i * CHUNK)
  const cases = [
    { name: 'rows together', batches: starts.map(together), watch: new Stopwatch() },
    { name: 'each row by itself', batches: starts.map(apart), watch: new Stopwatch() },
  ]
  const run = async (batches: readonly Batch[]): Promise<void> => {
    for (const batch of batches) await runtime.runner.submit(batch)
  }
  for (const { batches } of cases) await run(batches)
  for (let round = 0; round < rounds; round++) {
    for (const { batches, watch } of cases) await watch.time(() => run(batches), 1)
  }
  const figures = cases.map(({ name, watch: { wall, cpu } }) => [
    name,
    { msBest: Math.min(...wall), msMedian: median(wall), cpuMsBest: Math.min(...cpu), cpuMsMedian: median(cpu) },
  ])
  console.log(
    rounded({ device: gpu.can.adapter, rounds, layers, tokens: PROMPT, chunk: CHUNK, ...Object.fromEntries(figures) }),
  )
  await runtime.close()
  gpu.close()
}

await main()
