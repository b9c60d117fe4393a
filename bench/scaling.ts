/**
 * How a step grows (S8 and S15 of docs/performance.md): decode rows per step, and context length. SmolLM2-135M's shape,
 * f16, made-up weights; rounds interleaved.
 *
 *   node bench/run.mjs bench/scaling.ts [--rounds=5] [--layers=30]
 */
import type { Batch } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { kvBlockBytes } from '../src/model/kvCache.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch } from './support/timing.ts'

const MIB = 1024 * 1024
const ROWS = [1, 2, 4, 8, 16, 32]
const CONTEXTS = [128, 1024, 2048, 4096]
const CONTEXT_OF_ROWS = 64
const SAMPLE = { sample: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }, position: 0, banned: [] }

/** One decode row of each of `rows` sequences, every one with `context` tokens before it. */
function decode(rows: number, context: number): Batch {
  const blocks = Math.ceil((context + 1) / 16)
  return {
    spans: Array.from({ length: rows }, (_, i) => ({
      tokens: [(i * 977) % 49152],
      start: context,
      blockTable: Array.from({ length: blocks }, (_, j) => i * blocks + j),
      slot: null,
      register: i,
      logits: [{ row: 0, want: SAMPLE, topLogprobs: null }],
    })),
  }
}

async function main(): Promise<void> {
  const rounds = numberOption('rounds', 5)
  const layers = numberOption('layers', 30)
  const gpu = await openGpu()
  const sizes = {
    maxModelLen: 4352,
    maxNumSeqs: 32,
    kvCacheMemory: 256 * MIB,
    loraMemory: 4 * MIB,
    maxNumBatchedTokens: 64,
  }
  const runtime = await Runtime.open(gpu, smolFolder(readModelSpec, { num_hidden_layers: layers }), { sizes })
  await runtime.tuner.done
  const cases = [
    ...ROWS.map((rows) => ({ rows, context: CONTEXT_OF_ROWS })),
    ...CONTEXTS.map((context) => ({ rows: 1, context })),
  ].map((each) => ({ ...each, batch: decode(each.rows, each.context), watch: new Stopwatch() }))
  for (const { batch } of cases) await runtime.runner.submit(batch)
  for (let round = 0; round < rounds; round++) {
    for (const { batch, watch } of cases) await watch.time(() => runtime.runner.submit(batch), 3)
  }

  const figures = ({ rows, watch }: (typeof cases)[number]) => ({
    msMedian: median(watch.wall),
    msBest: Math.min(...watch.wall),
    cpuMs: median(watch.cpu),
    tokensPerSecondMedian: (1000 * rows) / median(watch.wall),
    tokensPerSecondBest: (1000 * rows) / Math.min(...watch.wall),
    tokensPerCpuSecond: (1000 * rows) / median(watch.cpu),
  })
  const byRows = cases.slice(0, ROWS.length)
  const one = figures(byRows[0]!)
  const sixteen = figures(byRows[ROWS.indexOf(16)]!)
  console.log(
    rounded({
      device: gpu.can.adapter,
      rounds,
      layers,
      'S8 rows per step, context 64': Object.fromEntries(byRows.map((each) => [each.rows, figures(each)])),
      'S8 16 rows against 1': {
        best: sixteen.tokensPerSecondBest / one.tokensPerSecondBest,
        median: sixteen.tokensPerSecondMedian / one.tokensPerSecondMedian,
        cpu: sixteen.tokensPerCpuSecond / one.tokensPerCpuSecond,
      },
      'S15 context, 1 row': Object.fromEntries(cases.slice(ROWS.length).map((each) => [each.context, figures(each)])),
      'S15 bytes of KV cache per token': kvBlockBytes(runtime.spec) / 16,
    }),
  )
  await runtime.close()
  gpu.close()
}

await main()
