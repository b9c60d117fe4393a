/**
 * A cold adapter (S10 of docs/performance.md): what bringing it to the GPU costs those who are decoding, in steps, when it is
 * in host memory and when it has to be read from its files first; and how fast its bytes go up against bare uploads.
 * SmolLM2-135M's shape, f16, made-up weights; rounds interleaved.
 *
 *   node bench/run.mjs bench/coldAdapter.ts [--rounds=7] [--rank=16] [--layers=30]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { syntheticFolder } from '../src/bench/synthetic.ts'
import { Engine } from '../src/engine/engine.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { directoryFolder } from '../src/hosts/node/files.ts'
import type { HostAdapter } from '../src/lora/packing.ts'
import { readAdapter } from '../src/lora/readAdapter.ts'
import { readModelSpec } from '../src/model/config.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const SEQUENCES = 8
/** Steps before the adapter is asked for, and after it has come. */
const QUIET_STEPS = 6
/** Of uploads while nothing runs, in each round. */
const UPLOAD_ROUNDS = 4
/** Adapters in host memory. */
const HOST_ROOM = 256
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

const rounds = numberOption('rounds', 7)
const rank = numberOption('rank', 16)
const layers = numberOption('layers', 30)
const gpu = await openGpu()
const sizes = { maxModelLen: 512, maxNumSeqs: SEQUENCES, kvCacheMemory: 96 * MIB, loraMemory: 96 * MIB }
const folder = smolFolder(readModelSpec, { num_hidden_layers: layers })
// Names take host memory's room, and share the bytes of a few copies.
const runtime = await Runtime.open(gpu, folder, { sizes, maxHostLoras: HOST_ROOM })
await runtime.tuner.done
const directory = mkdtempSync(join(tmpdir(), 'lorikeet-cold-'))
const written = syntheticFolder(runtime.spec, directory, rank)
for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
  const source = await written.open(file)
  writeFileSync(join(directory, file), await source.read(0, source.size))
}
const read = async (signal?: AbortSignal) =>
  (await readAdapter(directoryFolder(directory), runtime.spec, { isKnown: true, ...(signal && { signal }) })).adapter

const { byteLength } = await read()
/** As many as the slab has places: neither upload writes, or reads, where the processor still has what was there. */
const places = Math.floor((sizes.loraMemory * 0.9) / byteLength)
const copies: HostAdapter[] = []
while (copies.length < places) copies.push(await read())
let made = 0

/** Registers one that was never on the GPU. */
function cold(): string {
  const name = `cold-${made++}`
  const adapter = { ...copies[made % places]!, digest: name }
  runtime.adapters.add(name, 'made up', adapter, { store: { name, read: async () => adapter } })
  return name
}

/** Takes the one that lies in files off the GPU and out of host memory. */
async function coldFromFiles(): Promise<string> {
  runtime.adapters.remove('filed')
  runtime.adapters.add('filed', directory, await read(), { store: { name: directory, read } })
  for (let i = 0; i < HOST_ROOM; i++) cold()
  return 'filed'
}

/** Decodes until `stop`; calls `onStep` with the time of each result. */
async function decoding(onStep: (at: number) => void, stop: AbortSignal): Promise<void> {
  const engine = new Engine(runtime.runner, {
    observer: {
      step: ({ numLogitsRows, arrivedAt }) => {
        if (numLogitsRows === SEQUENCES) onStep(arrivedAt)
      },
    },
  })
  const generations = Array.from({ length: SEQUENCES }, (_, i) =>
    engine.generate({
      id: `${i}`,
      prompt: [i, 7, 9],
      adapter: null,
      sampling: GREEDY,
      maxTokens: 500,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: stop,
    }),
  )
  await Promise.all(
    generations.map(async (generation) => {
      for await (const event of generation) void event
    }),
  )
  await engine.close()
}

/** Brings a cold one in while others decode: the longest time between two results around it, and the usual one. */
async function delayed(name: string): Promise<{ usualMs: number; longestMs: number; arrivalMs: number }> {
  const stop = new AbortController()
  const times: number[] = []
  let asked = 0
  let came = 0
  const running = decoding((at) => {
    times.push(at)
    if (times.length === QUIET_STEPS) void bringIn()
    if (came > 0 && at > came && --after === 0) stop.abort()
  }, stop.signal)
  let after = QUIET_STEPS
  const bringIn = async (): Promise<void> => {
    asked = performance.now()
    const lease = runtime.adapters.lease(name)!
    await lease.ready
    came = performance.now()
    lease.release()
  }
  await running
  const gaps = times.slice(1).map((at, i) => ({ from: times[i]!, to: at, ms: at - times[i]! }))
  const around = gaps.filter(({ from, to }) => to >= asked && from <= came)
  const others = gaps.filter((gap) => !around.includes(gap))
  return {
    usualMs: median(others.map(({ ms }) => ms)),
    longestMs: Math.max(...around.map(({ ms }) => ms)),
    arrivalMs: came - asked,
  }
}

const bare = copies.map(() => new Uint8Array(byteLength).fill(1))
const target = await gpu.allocate({ label: 'bare uploads', purpose: 'activations', byteLength: places * byteLength })

async function bareUploads(): Promise<Taken> {
  const start = performance.now()
  const cpu = process.cpuUsage()
  for (const [i, bytes] of bare.entries()) {
    await gpu.upload(target, i * byteLength, bytes)
    await gpu.idle()
  }
  return sinceOf(start, cpu)
}

async function adapterUploads(): Promise<Taken> {
  const names = Array.from({ length: places }, cold)
  const start = performance.now()
  const cpu = process.cpuUsage()
  for (const name of names) {
    const lease = runtime.adapters.lease(name)!
    await lease.ready
    await gpu.idle()
    lease.release()
  }
  const taken = sinceOf(start, cpu)
  for (const name of names) runtime.adapters.remove(name)
  return taken
}

interface Taken {
  readonly ms: number
  /** Of the whole process. */
  readonly cpuMs: number
}

/** Of one upload, on average over so many that each place has one. */
function sinceOf(start: number, before: NodeJS.CpuUsage): Taken {
  const { user, system } = process.cpuUsage(before)
  return { ms: (performance.now() - start) / places, cpuMs: (user + system) / 1000 / places }
}

const plain: Taken[] = []
const own: Taken[] = []
const busy: Awaited<ReturnType<typeof delayed>>[] = []
const reading: Awaited<ReturnType<typeof delayed>>[] = []
for (let round = 0; round < rounds + 1; round++) {
  // Several times, because one takes a few milliseconds.
  for (let i = 0; i < UPLOAD_ROUNDS; i++) {
    const [bareTaken, ownTaken] = [await bareUploads(), await adapterUploads()]
    if (round === 0) continue
    plain.push(bareTaken)
    own.push(ownTaken)
  }
  const found = await delayed(cold())
  const foundReading = await delayed(await coldFromFiles())
  // The first round compiles and touches memory for the first time.
  if (round === 0) continue
  busy.push(found)
  reading.push(foundReading)
}
target.destroy()

rmSync(directory, { recursive: true })

function extraSteps(found: typeof busy) {
  const extra = found.map(({ usualMs, longestMs }) => (longestMs - usualMs) / usualMs)
  return { best: Math.min(...extra), median: median(extra), worst: Math.max(...extra), rounds: extra }
}
const msOf = (taken: readonly Taken[]) => taken.map(({ ms }) => ms)
const gbs = (ms: number) => byteLength / ms / 1e6
console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    rank,
    layers,
    adapterBytes: byteLength,
    'S10 extra delay, in steps': extraSteps(busy),
    'S10 the same when it is read from files': extraSteps(reading),
    'S10 upload rate over bare': {
      best: Math.min(...msOf(plain)) / Math.min(...msOf(own)),
      median: median(msOf(plain)) / median(msOf(own)),
      cpu: median(plain.map(({ cpuMs }) => cpuMs)) / median(own.map(({ cpuMs }) => cpuMs)),
    },
    bareGBs: { best: gbs(Math.min(...msOf(plain))), median: gbs(median(msOf(plain))) },
    adapterGBs: { best: gbs(Math.min(...msOf(own))), median: gbs(median(msOf(own))) },
    stepMs: median(busy.map(({ usualMs }) => usualMs)),
    arrivalWhileBusyMs: median(busy.map(({ arrivalMs }) => arrivalMs)),
    arrivalFromFilesMs: median(reading.map(({ arrivalMs }) => arrivalMs)),
  }),
)
await runtime.close()
gpu.close()
