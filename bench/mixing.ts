/**
 * The price of mixing adapters (S1 and S3 of docs/performance.md): steps of base rows against steps of the same
 * rows each under another adapter, in one run, rounds interleaved. SmolLM2-135M's shape, f16, made-up weights.
 *
 *   node bench/run.mjs bench/mixing.ts [--rounds=7] [--steps=6] [--layers=30] [--only=decode|prefill]
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import type { Batch, Span } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import type { RegistryLease } from '../src/lora/registry.ts'
import { readModelSpec } from '../src/model/config.ts'
import { numberOption, textOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch, speedOver } from './support/timing.ts'

const MIB = 1024 * 1024
const ROWS = 8
const PROMPT = 64
const SAMPLE = { sample: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }, position: 0, banned: [] }

async function main(): Promise<void> {
  const rounds = numberOption('rounds', 7)
  const steps = numberOption('steps', 6)
  const layers = numberOption('layers', 30)
  const only = textOption('only')
  const gpu = await openGpu()
  const sizes = {
    maxModelLen: 512,
    maxNumSeqs: ROWS,
    kvCacheMemory: 256 * MIB,
    loraMemory: 512 * MIB,
    maxNumBatchedTokens: 512,
  }
  const runtime = await Runtime.open(gpu, smolFolder(readModelSpec, { num_hidden_layers: layers }), { sizes })
  await runtime.tuner.done
  const synthetic = new SyntheticAdapters(runtime.spec)
  const leases = new Map<number, RegistryLease[]>()
  const bringIn = async (rank: number) => {
    const held: RegistryLease[] = []
    for (let i = 0; i < ROWS; i++) {
      const name = `r${rank}-${i}`
      runtime.adapters.add(name, 'made up', synthetic.make(name, rank), { store: synthetic.store(name, rank) })
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      held.push(lease)
    }
    leases.set(rank, held)
  }

  const span = (i: number, tokens: number, slot: number | null): Span => ({
    tokens: Array.from({ length: tokens }, (_, j) => (i * 977 + j * 31) % 49152),
    start: tokens === 1 ? PROMPT : 0,
    blockTable: Array.from({ length: Math.ceil((PROMPT + 1) / 16) }, (_, j) => i * 8 + j),
    slot,
    logits: [{ row: tokens - 1, want: SAMPLE, topLogprobs: null }],
  })
  const batch = (tokens: number, rank: number | null): Batch => ({
    spans: Array.from({ length: ROWS }, (_, i) => span(i, tokens, rank === null ? null : leases.get(rank)![i]!.slot)),
  })
  await bringIn(16)
  await bringIn(64)
  const cases = [
    { name: 'decode base', batch: batch(1, null), steps },
    { name: 'decode r16', batch: batch(1, 16), steps },
    { name: 'decode r64', batch: batch(1, 64), steps },
    { name: 'prefill base', batch: batch(PROMPT, null), steps: 1 },
    { name: 'prefill r16', batch: batch(PROMPT, 16), steps: 1 },
  ]
    .filter(({ name }) => only === null || name.startsWith(only))
    .map((each) => ({ ...each, timing: new Stopwatch() }))
  for (const each of cases) await runtime.runner.submit(each.batch)
  for (let round = 0; round < rounds; round++) {
    // Who begins changes: what else the machine does falls on each alike.
    for (let i = 0; i < cases.length; i++) {
      const { timing, batch, steps } = cases[(round + i) % cases.length]!
      await timing.time(() => runtime.runner.submit(batch), steps)
    }
  }

  const named = (name: string) => cases.find((each) => each.name === name)!.timing
  const ratio = (one: string, other: string) => speedOver(named(one), named(other))
  const report = {
    device: gpu.can.adapter,
    rounds,
    layers,
    milliseconds: Object.fromEntries(
      cases.map(({ name, timing }) => [
        name,
        { median: median(timing.wall), best: Math.min(...timing.wall), cpu: median(timing.cpu) },
      ]),
    ),
    ...(only !== 'prefill' && {
      'S1 decode, 8 rows of 8 adapters r=16 against base': ratio('decode base', 'decode r16'),
      'S1 decode, 8 rows of 8 adapters r=64 against base': ratio('decode base', 'decode r64'),
    }),
    ...(only !== 'decode' && {
      'S3 prefill, 8 x 64 of 8 adapters r=16 against base': ratio('prefill base', 'prefill r16'),
    }),
  }
  console.log(rounded(report))
  for (const lease of [...leases.values()].flat()) lease.release()
  await runtime.close()
  gpu.close()
}

await main()
