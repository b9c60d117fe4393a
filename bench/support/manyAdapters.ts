/**
 * A load over many more adapters than the GPU and host memory hold, out of a directory on disk: what S9 measures, small enough
 * to be a test where it is asked to be. Requests go to the engine itself, so that nothing but steps and adapters costs time.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '../../src/bench/load/random.ts'
import { syntheticFolder } from '../../src/bench/synthetic.ts'
import type { EngineObserver, RequestTrace } from '../../src/engine/observer.ts'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { hostBytesOf } from '../../src/lora/hostBytes.ts'
import { gpuBytesOf } from '../../src/lora/packing.ts'
import { readAdapter } from '../../src/lora/readAdapter.ts'
import type { RegistryLease } from '../../src/lora/registry.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { readModelSpec } from '../../src/model/config.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { readJson } from '../../src/weights/config.ts'

/** Ranks in turn; the first four have the mean of all, since steps with larger ones take longer. */
export const RANKS = [8, 24, 32, 64, 16, 48] as const
const PAGE_BYTES = 16 * 1024
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/** Whom the requests of a case ask: the first `hot` adapters take a share of them, the others the rest. */
export interface Case {
  readonly name: string
  readonly hot: number
  readonly share: number
}

export interface ManyAdaptersOptions {
  /** A folder with a model. */
  readonly model: string
  readonly registered: number
  /** Adapters that the GPU holds: as many, and as many bytes as the first of them take, times `slack`. */
  readonly room: number
  readonly slack: number
  /** Adapters of mean size that host memory holds. */
  readonly hostRoom: number
  readonly cases: readonly Case[]
  readonly rounds: number
  /** Of each round of a case. */
  readonly requests: number
  readonly clients: number
  readonly promptTokens: number
  readonly answerTokens: number
}

/** What one round of a case came to. */
export interface Round {
  readonly seconds: number
  readonly tokensPerSecond: number
  /** Of the whole process, the software device's threads included. */
  readonly cpuSeconds: number
  readonly misses: number
  readonly uploads: number
  readonly uploadedBytes: number
  readonly reads: number
  readonly readBytes: number
  /** Of all uploads, and all reads, together; and steps. */
  readonly uploadMs: number
  readonly readMs: number
  readonly steps: number
}

export interface ManyAdaptersReport {
  readonly device: string
  readonly registered: number
  readonly gpuBytes: number
  readonly hostBytes: number
  readonly adapterBytes: { readonly mean: number; readonly all: number }
  readonly rounds: ReadonlyMap<string, readonly Round[]>
  readonly failed: number
  /** Most steps in which a request that could have used a place saw a later one admitted, and the bound. */
  readonly overtaken: { readonly most: number; readonly bound: number }
  /** The most there was at any step. */
  readonly most: {
    readonly resident: number
    readonly gpuBytes: number
    readonly hostBytes: number
    readonly host: number
  }
  readonly moves: { readonly count: number; readonly bytes: number }
  readonly ledgerAfterClose: number
}

const BOUND = 32

/** Looks at every step. */
class Watch implements EngineObserver {
  readonly leases = new Map<string, RegistryLease>()
  mostOvertaken = 0
  readonly most = { resident: 0, gpuBytes: 0, hostBytes: 0, host: 0 }
  bird: Lorikeet | null = null
  /** Who waits, in the order of arrival, and how often each was overtaken. */
  readonly #waiting = new Map<string, number>()
  #latest = -1

  queued({ id }: RequestTrace): void {
    this.#waiting.set(id, 0)
  }

  admitted({ id }: RequestTrace): void {
    this.#waiting.delete(id)
    this.#latest = Math.max(this.#latest, Number(id))
  }

  finished({ id }: RequestTrace): void {
    this.#waiting.delete(id)
    this.leases.delete(id)
  }

  step(): void {
    for (const [id, count] of this.#waiting) {
      if (Number(id) > this.#latest) break
      if (this.leases.get(id)?.isRead) continue
      this.#waiting.set(id, count + 1)
      this.mostOvertaken = Math.max(this.mostOvertaken, count + 1)
    }
    this.#latest = -1
    const { host, residentCount, capacityBytes, freeBytes } = this.bird!.runtime.adapters
    const most = this.most
    most.resident = Math.max(most.resident, residentCount)
    most.gpuBytes = Math.max(most.gpuBytes, capacityBytes - freeBytes)
    most.hostBytes = Math.max(most.hostBytes, host.bytes)
    most.host = Math.max(most.host, host.size)
  }
}

export async function manyAdapters(options: ManyAdaptersOptions): Promise<ManyAdaptersReport> {
  const spec = readModelSpec(await readJson(directoryFolder(options.model), 'config.json'))
  const directory = mkdtempSync(join(tmpdir(), 'lorikeet-many-'))
  const names = Array.from({ length: options.registered }, (_, i) => `a${String(i).padStart(4, '0')}`)
  let bird: Lorikeet | null = null
  try {
    for (const [i, name] of names.entries())
      await writeAdapter(spec, join(directory, name), RANKS[i % RANKS.length]!, i)
    const sizes = await sizesOf(spec, directory, names.slice(0, Math.max(options.room, RANKS.length)))
    const gpuBytes = Math.ceil(options.slack * sizes.slice(0, options.room).reduce((sum, { gpu }) => sum + gpu, 0))
    const mean = sizes.slice(0, RANKS.length).reduce((sum, { host }) => sum + host, 0) / RANKS.length
    const hostBytes = Math.ceil(mean * options.hostRoom)
    const watch = new Watch()
    bird = await Lorikeet.open({
      model: options.model,
      sizes: { maxLoras: options.room, loraMemory: gpuBytes, maxNumSeqs: 32, kvCacheMemory: 2 ** 26 },
      engine: { observer: watch, maxPassedOver: BOUND },
      loraHostMemory: hostBytes,
      loraDirectory: { path: directory },
    })
    watch.bird = bird
    const rounds = new Map(options.cases.map(({ name }) => [name, [] as Round[]]))
    let failed = 0
    let next = 0
    for (let round = 0; round < options.rounds; round++) {
      for (const each of options.cases) {
        // The others have left their adapters behind: what is measured has begun before.
        for (const requests of [options.clients * 2, options.requests]) {
          const before = countsOf(bird)
          const begunAt = performance.now()
          const cpu = process.cpuUsage()
          const random = new Random(7, each.name, round, requests)
          failed += await load(
            bird,
            watch,
            { ...options, requests, pick: () => names[pick(each, names.length, random)]! },
            next,
          )
          next += requests
          const seconds = (performance.now() - begunAt) / 1000
          if (requests !== options.requests) continue
          const after = countsOf(bird)
          const { user, system } = process.cpuUsage(cpu)
          const grown = Object.fromEntries(Object.entries(after).map(([key, value]) => [key, value - before[key]!]))
          rounds.get(each.name)!.push({
            seconds,
            tokensPerSecond: (requests * options.answerTokens) / seconds,
            cpuSeconds: (user + system) / 1e6,
            ...(grown as unknown as Omit<Round, 'seconds' | 'tokensPerSecond' | 'cpuSeconds'>),
          })
        }
      }
    }
    const { adapters, gpu } = bird.runtime
    const report = {
      device: gpu.can.adapter,
      registered: adapters.list().length,
      gpuBytes: adapters.capacityBytes,
      hostBytes,
      adapterBytes: { mean, all: adapters.status().reduce((sum, { bytes }) => sum + bytes, 0) },
      rounds,
      failed,
      overtaken: { most: watch.mostOvertaken, bound: BOUND },
      most: watch.most,
      moves: adapters.moves,
    }
    await bird.close()
    return { ...report, ledgerAfterClose: gpu.ledger.count }
  } finally {
    await bird?.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** So many clients, each of which asks again when it is answered. Answers how many requests failed. */
async function load(
  bird: Lorikeet,
  watch: Watch,
  { requests, clients, promptTokens, answerTokens, pick }: ManyAdaptersOptions & { readonly pick: () => string },
  first: number,
): Promise<number> {
  const { engine, adapters, spec } = bird.runtime
  let asked = 0
  let failed = 0
  const client = async (): Promise<void> => {
    while (asked < requests) {
      const id = first + asked++
      const lease = adapters.lease(pick())!
      watch.leases.set(`${id}`, lease)
      try {
        const generation = engine.generate({
          id: `${id}`,
          // No two begin alike: what the prefix cache answers is not measured.
          prompt: Array.from({ length: promptTokens }, (_, i) => (id * 31 + i * (7 + id)) % spec.vocabSize),
          adapter: lease,
          sampling: GREEDY,
          maxTokens: answerTokens,
          minTokens: 0,
          stopIds: [],
          topLogprobs: null,
          promptLogprobs: null,
          signal: null,
        })
        for await (const event of generation) void event
      } catch {
        failed++
      }
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return failed
}

function pick({ hot, share }: Case, count: number, random: Random): number {
  return hot === count || random.next() < share ? random.below(hot) : hot + random.below(count - hot)
}

function countsOf({ runtime }: Lorikeet): Record<string, number> {
  const usages = runtime.adapters.status().map(({ usage }) => usage)
  const sum = (of: (usage: (typeof usages)[number]) => number) => usages.reduce((total, usage) => total + of(usage), 0)
  return {
    misses: sum(({ misses }) => misses),
    uploads: sum(({ arrivals }) => arrivals),
    uploadedBytes: sum(({ uploadedBytes }) => uploadedBytes),
    reads: sum(({ reads }) => reads),
    readBytes: sum(({ readBytes }) => readBytes),
    uploadMs: sum(({ uploadMs }) => uploadMs),
    readMs: sum(({ readMs }) => readMs),
    steps: runtime.engine.stats().steps,
  }
}

/** Writes the `index`-th adapter: the same as the others of its rank but for a few weights. */
async function writeAdapter(spec: ModelSpec, path: string, rank: number, index: number): Promise<void> {
  const folder = syntheticFolder(spec, path, rank)
  mkdirSync(path)
  for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
    const source = await folder.open(file)
    const bytes = await source.read(0, source.size)
    // Two halves of about 0.01, its own.
    if (file.endsWith('.safetensors')) {
      bytes.set([index & 0xff, 0x20, index >> 8, 0x20], bytes.length - 4)
    }
    writeFileSync(join(path, file), bytes)
  }
}

async function sizesOf(
  spec: ModelSpec,
  directory: string,
  names: readonly string[],
): Promise<readonly { readonly gpu: number; readonly host: number }[]> {
  const sizes = []
  for (const name of names) {
    const { adapter } = await readAdapter(directoryFolder(join(directory, name)), spec)
    const pages = Math.ceil(gpuBytesOf(adapter, spec) / PAGE_BYTES)
    sizes.push({ gpu: pages * PAGE_BYTES, host: hostBytesOf(adapter) })
  }
  return sizes
}
