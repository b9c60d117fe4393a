/**
 * Growth under load (S15 of docs/performance.md): 64 concurrent sequences over 16 adapters of llama-tiny, random lengths,
 * samplings and aborts, for minutes. What lorikeet holds on the GPU must not change, what it holds in JavaScript must not
 * grow.
 *
 *   node --expose-gc bench/run.mjs bench/soak.ts [--minutes=10]
 */
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { directoryFolder } from '../src/hosts/node/files.ts'
import { readAdapter } from '../src/lora/readAdapter.ts'
import { reference } from '../test/fixtures.ts'
import { PLAIN_ADAPTERS } from '../test/goldens/plainAdapters.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 1024 * 1024
const CONCURRENT = 64
const ADAPTERS = PLAIN_ADAPTERS['llama-tiny']!.slice(0, 16)
const SAMPLE_MS = 15_000

/** Deterministic: the same load in every run, as far as its timing lets it be. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

async function main(options: readonly string[]): Promise<void> {
  const minutes = Number(options.find((option) => option.startsWith('--minutes='))?.slice(10) ?? 10)
  const gpu = await openGpu()
  // Few blocks, so that sequences are preempted; room for half of the adapters, so that they come and go.
  const sizes = { kvCacheMemory: MIB, loraMemory: 4 * MIB, maxLoras: 8, maxNumSeqs: 32, maxNumBatchedTokens: 96 }
  const runtime = await Runtime.open(gpu, directoryFolder(reference('models/llama-tiny')), { sizes })
  for (const name of ADAPTERS) {
    const folder = directoryFolder(reference(`adapters/llama-tiny/${name}`))
    runtime.adapters.add(name, folder.name, (await readAdapter(folder, runtime.spec)).adapter)
  }
  const ends = { finished: 0, aborted: 0, tokens: 0 }
  const until = performance.now() + minutes * 60_000

  async function client(index: number): Promise<void> {
    const below = generator(index * 7919 + 1)
    for (let turn = 0; performance.now() < until; turn++) {
      const name = ADAPTERS[below(ADAPTERS.length + 1)]
      const controller = new AbortController()
      const abortAfter = below(4) === 0 ? below(20) : Number.POSITIVE_INFINITY
      const generation = runtime.engine.generate({
        id: `${index}/${turn}`,
        prompt: Array.from({ length: 1 + below(60) }, () => below(512)),
        adapter: name === undefined ? null : runtime.adapters.lease(name),
        sampling: {
          temperature: below(2),
          topK: below(3) * 20,
          topP: 1 - below(3) / 10,
          minP: 0,
          seed: below(2 ** 31),
        },
        maxTokens: 1 + below(48),
        minTokens: 0,
        stopIds: [6],
        topLogprobs: below(5) === 0 ? 3 : null,
        promptLogprobs: below(20) === 0 ? 1 : null,
        signal: controller.signal,
      })
      let seen = 0
      for await (const event of generation) {
        if (event.type === 'token') {
          ends.tokens++
          if (++seen > abortAfter) controller.abort()
        } else if (event.type === 'finish') ends[event.reason === 'abort' ? 'aborted' : 'finished']++
      }
    }
  }

  const samples: { readonly heap: number; readonly external: number; readonly rss: number; readonly gpu: number }[] = []
  const sample = () => {
    globalThis.gc?.()
    const { heapUsed, external, rss } = process.memoryUsage()
    samples.push({ heap: heapUsed, external, rss, gpu: gpu.ledger.bytes })
  }
  const timer = setInterval(sample, SAMPLE_MS)
  await Promise.all(Array.from({ length: CONCURRENT }, (_, index) => client(index)))
  clearInterval(timer)
  sample()

  const quarter = Math.max(1, samples.length >> 2)
  const early = samples.slice(quarter, 2 * quarter)
  const late = samples.slice(-quarter)
  const grown = (key: 'heap' | 'external' | 'rss') => ({
    secondQuarterMiB: median(early.map((each) => each[key])) / MIB,
    lastQuarterMiB: median(late.map((each) => each[key])) / MIB,
  })
  const stats = runtime.engine.stats()
  await runtime.close()
  console.log(
    rounded({
      device: gpu.can.adapter,
      minutes,
      collectedGarbage: globalThis.gc !== undefined,
      ...ends,
      steps: stats.steps,
      preemptions: stats.preemptions,
      ledgerBytes: [...new Set(samples.map((each) => each.gpu))],
      heap: grown('heap'),
      external: grown('external'),
      rss: grown('rss'),
      ledgerAfterClose: gpu.ledger.bytes,
    }),
  )
  gpu.close()
}

await main(process.argv.slice(2))
