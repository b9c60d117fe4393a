/**
 * One measurement of bench/hosts.ts, in a process of the host that is measured: eight streams of the model that comes along,
 * over all its voices and the base at once, warmed up. Prints a line of JSON.
 * Arguments: dawn, builtin or - for the host's first choice; then words from: no-subgroups, no-run-ahead.
 */
import type { StepTrace } from '../../src/engine/observer.ts'
import type { DeviceWish } from '../../src/gpu/capabilities.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { median, rounded } from './timing.ts'

const STREAMS = 8
const NUM_TOKENS = 64
const ADAPTERS = ['early-presidents', 'king-james', 'late-presidents', 'melville']
const aviary = (path: string): string =>
  decodeURIComponent(new URL(`../../models/aviary/${path}`, import.meta.url).pathname)

const [webgpu, ...words] = process.argv.slice(2)
const steps: StepTrace[] = []
const bird = await Lorikeet.open({
  model: aviary(''),
  servedModelNames: ['base'],
  adapters: ADAPTERS.map((name) => ({ name, source: aviary(`adapters/${name}`) })),
  gpu: {
    ...(webgpu !== '-' && { webgpu: webgpu as NonNullable<DeviceWish['webgpu']> }),
    ...(words.includes('no-subgroups') && { subgroups: false }),
  },
  sizes: { maxNumSeqs: STREAMS, kvCacheMemory: 32 * 2 ** 20, loraMemory: 32 * 2 ** 20 },
  engine: {
    observer: { step: (step) => steps.push(step) },
    ...(words.includes('no-run-ahead') && { depth: 1 }),
  },
})

/** Streams a completion to its end; returns the milliseconds to its first token. */
async function stream(model: string): Promise<number> {
  const began = performance.now()
  const body = { model, prompt: 'The ', max_tokens: NUM_TOKENS, temperature: 0, ignore_eos: true, stream: true }
  const response = await bird.fetch('http://bench/v1/completions', { method: 'POST', body: JSON.stringify(body) })
  const reader = response.body!.getReader()
  await reader.read()
  const first = performance.now() - began
  while (!(await reader.read()).done);
  return first
}

const names = Array.from({ length: STREAMS }, (_, i) => ['base', ...ADAPTERS][i % (ADAPTERS.length + 1)]!)
await Promise.all(names.map(stream))
steps.length = 0
const began = performance.now()
const firsts = await Promise.all(names.map(stream))
const seconds = (performance.now() - began) / 1000
const { depth, readbackMs } = bird.runtime.engine.stats()
const { implementation, can } = bird.runtime.gpu
await bird.close()
console.log(
  rounded({
    implementation,
    subgroups: can.subgroups,
    device: can.adapter,
    tokensPerSecond: (STREAMS * NUM_TOKENS) / seconds,
    firstTokenMs: median(firsts),
    depth,
    readbackMs,
    adaptersPerStep: Math.max(...steps.map(({ numSegments }) => numSegments)),
  }).replaceAll('\n', ''),
)
