/**
 * The price of mixing adapters (S1, S2 and S3 of docs/performance.md): steps of base rows against steps of the same
 * rows each under another adapter, in one run, rounds interleaved. SmolLM2-135M's shape, f16, made-up weights.
 *
 *   node bench/run.mjs bench/mixing.ts [--rounds=7] [--decode]
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import type { Batch, Span } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import type { RegistryLease } from '../src/lora/registry.ts'
import { readModelSpec } from '../src/model/config.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch } from './support/timing.ts'

const MIB = 1024 * 1024
const ROWS = 8
const PROMPT = 64
const STEPS = 6
const SAMPLE = { sample: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }, position: 0, banned: [] }

async function main(options: readonly string[]): Promise<void> {
  const rounds = Number(options.find((option) => option.startsWith('--rounds='))?.slice(9) ?? 7)
  const gpu = await openGpu()
  const sizes = {
    maxModelLen: 512,
    maxNumSeqs: ROWS,
    kvCacheMemory: 256 * MIB,
    loraMemory: 1536 * MIB,
    maxNumBatchedTokens: 512,
  }
  const runtime = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes })
  const synthetic = new SyntheticAdapters(runtime.spec)
  const leases = new Map<number, RegistryLease[]>()
  const bringIn = async (rank: number, count: number) => {
    const held = leases.get(rank) ?? []
    for (let i = held.length; i < count; i++) {
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
  await bringIn(16, ROWS)
  await bringIn(64, ROWS)
  const cases = [
    { name: 'decode base', batch: batch(1, null), steps: STEPS },
    { name: 'decode r16', batch: batch(1, 16), steps: STEPS },
    { name: 'decode r64', batch: batch(1, 64), steps: STEPS },
    { name: 'prefill base', batch: batch(PROMPT, null), steps: 1 },
    { name: 'prefill r16', batch: batch(PROMPT, 16), steps: 1 },
  ]
    .filter(({ name }) => !options.includes('--decode') || name.startsWith('decode'))
    .map((each) => ({ ...each, timing: new Stopwatch() }))
  for (const each of cases) await runtime.runner.submit(each.batch)
  for (let round = 0; round < rounds; round++)
    for (const each of cases) await each.timing.time(() => runtime.runner.submit(each.batch), each.steps)

  // A hundred residents against none: two runtimes on one device, so that their rounds can take turns.
  for (const lease of leases.get(64)!.splice(0)) lease.release()
  await bringIn(16, 100)
  const bare = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes: { ...sizes, loraMemory: MIB } })
  const [none, hundred] = [new Stopwatch(), new Stopwatch()]
  await bare.runner.submit(batch(1, null))
  for (let round = 0; round < rounds; round++) {
    await none.time(() => bare.runner.submit(batch(1, null)), STEPS)
    await hundred.time(() => runtime.runner.submit(batch(1, null)), STEPS)
  }
  await bare.close()

  const named = (name: string) => cases.find((each) => each.name === name)!.timing
  const ratio = (one: string, other: string) => ({
    wallMedian: median(named(one).wall) / median(named(other).wall),
    wallBest: Math.min(...named(one).wall) / Math.min(...named(other).wall),
    cpuMedian: median(named(one).cpu) / median(named(other).cpu),
  })
  const report = {
    device: gpu.can.adapter,
    rounds,
    milliseconds: Object.fromEntries(
      cases.map(({ name, timing }) => [
        name,
        { median: median(timing.wall), best: Math.min(...timing.wall), cpu: median(timing.cpu) },
      ]),
    ),
    'S1 decode, 8 rows of 8 adapters r=16 against base': ratio('decode base', 'decode r16'),
    'S1 decode, 8 rows of 8 adapters r=64 against base': ratio('decode base', 'decode r64'),
    'S2 base step, 100 adapters resident against none': {
      residents: runtime.adapters.residentCount,
      cpuMedian: median(none.cpu) / median(hundred.cpu),
      wallMedian: median(none.wall) / median(hundred.wall),
      wallBest: Math.min(...none.wall) / Math.min(...hundred.wall),
    },
    ...(options.includes('--decode')
      ? {}
      : { 'S3 prefill, 8 x 64 of 8 adapters r=16 against base': ratio('prefill base', 'prefill r16') }),
  }
  console.log(rounded(report))
  for (const lease of [...leases.values()].flat()) lease.release()
  await runtime.close()
  gpu.close()
}

await main(process.argv.slice(2))
