/**
 * What sampling costs per step, by kind of row and number of rows, on each crew the sampler may have: wall time and CPU
 * time in ms, best and median of interleaved rounds, and what the kernels took to compile.
 *
 *   node bench/run.mjs bench/sampler.ts [part of a kind] [--vocab=49152] [--rounds=7]
 *
 * Compile times are those of a first run only with the driver's cache off: MESA_SHADER_CACHE_DISABLE=true.
 */
import { adjustmentOf, isAdjusted } from '../src/engine/adjustmentOf.ts'
import type { SamplingParams, TokenHistory } from '../src/engine/batch.ts'
import type { DeviceWish } from '../src/gpu/capabilities.ts'
import type { Tracked } from '../src/gpu/ledger.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { type CrewShape, workgroupCrew } from '../src/model/kernels/crew.ts'
import { Sampler } from '../src/model/sampler.ts'
import { StepTables } from '../src/model/stepTables.ts'

interface Kind {
  readonly sample?: Partial<SamplingParams>
  /** Likeliest tokens to report. */
  readonly top?: number
}

const SAMPLED = { temperature: 0.8, topK: 50, topP: 0.95 }
const KINDS: Readonly<Record<string, Kind>> = {
  greedy: {},
  'no filter': { sample: { temperature: 0.8 } },
  'top-k': { sample: { temperature: 0.8, topK: 50 } },
  'top-p': { sample: { temperature: 0.8, topP: 0.95 } },
  'top-k top-p': { sample: SAMPLED },
  'hot top-k top-p': { sample: { temperature: 2, topK: 50, topP: 0.5 } },
  penalties: { sample: { ...SAMPLED, repetitionPenalty: 1.1, frequencyPenalty: 0.2 } },
  '300 biases': {
    sample: { ...SAMPLED, logitBias: Array.from({ length: 300 }, (_, i) => ({ id: i * 160, bias: 1 })) },
  },
  logprob: { top: 0 },
  '5 logprobs': { top: 5 },
  '20 logprobs': { top: 20 },
}
const ROWS = [1, 8, 32]
const CREWS: readonly { name: string; wish: DeviceWish; crew?: CrewShape }[] = [
  { name: 'the device’s own', wish: {} },
  { name: 'without subgroups', wish: { subgroups: false } },
  { name: 'workgroups of 256', wish: {}, crew: workgroupCrew(256) },
]
const MOST_ROWS = Math.max(...ROWS)
/** Steps in one timing. */
const REPEATS = 4

const options = process.argv.slice(2)
const option = (name: string, otherwise: number) =>
  Number(options.find((text) => text.startsWith(`--${name}=`))?.split('=')[1] ?? otherwise)
const wanted = options.filter((text) => !text.startsWith('--'))
const vocabSize = option('vocab', 49152)
const rounds = option('rounds', 7)

/** Like a language model's: a bell of unlikely tokens and a few dozen that stand out. */
function logitsOf(count: number): Float32Array<ArrayBuffer> {
  let state = 1
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
  const logits = Float32Array.from({ length: count * vocabSize }, () => 2.5 * normal())
  for (let i = 0; i < 40 * count; i++) logits[Math.floor(uniform() * logits.length)] = 8 + 8 * uniform()
  return logits
}

async function measure({ name, wish, crew }: (typeof CREWS)[number]): Promise<void> {
  const gpu = await openGpu(wish)
  const tables = new StepTables(64 * 1024)
  const [step, logits, registers] = (await gpu.allocateAll([
    { label: 'step', purpose: 'tables', byteLength: tables.words.byteLength },
    { label: 'logits', purpose: 'activations', byteLength: MOST_ROWS * vocabSize * 4 },
    { label: 'registers', purpose: 'tables', byteLength: MOST_ROWS * 4 },
  ])) as [Tracked, Tracked, Tracked]
  await gpu.upload(logits, 0, new Uint8Array(logitsOf(MOST_ROWS).buffer))
  const histories = Array.from({ length: MOST_ROWS }, (_, row): TokenHistory => {
    return {
      tokens: Array.from({ length: 500 }, (_, i) => (i * i * 31 + row) % 40000),
      numPrompt: 300,
    }
  })
  const compiling = process.cpuUsage()
  const sampler = await Sampler.create(gpu, {
    step,
    logits,
    registers,
    vocabSize,
    maxLogits: MOST_ROWS,
    ...(crew && { crew }),
  })

  const run = async ({ sample, top }: Kind, rows: number, times: number): Promise<void> => {
    const params = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1, ...sample }
    const want = (row: number) => ({ sample: params, position: 500, banned: [], history: histories[row]! })
    const adjusted = isAdjusted(want(0)) ? rows : 0
    tables.begin({ rows, tiles: 0, logits: rows, splits: 1, adjusted })
    for (let row = 0; row < rows; row++) tables.addRow({ token: 0, position: 0, blockTable: 0, slot: null })
    for (let row = 0; row < rows; row++) {
      const adjustment = adjusted ? tables.addAdjustment(adjustmentOf(want(row), row, sampler.counts)) : null
      tables.addLogits({ row, score: null, topLogprobs: top ?? null, ...params, position: row, adjustment })
    }
    gpu.write(step, 0, tables.words, tables.length)
    const recorder = gpu.recorder()
    for (let i = 0; i < times; i++) sampler.record(recorder, rows, top !== undefined, adjusted)
    recorder.submit()
    await gpu.idle()
  }

  for (const kind of Object.values(KINDS)) await run(kind, 1, 1)
  const { user, system } = process.cpuUsage(compiling)
  console.log(
    `\n${gpu.can.adapter}, crew: ${name}; vocabulary ${vocabSize}; compiled in ${Math.round((user + system) / 1000)} ms CPU`,
  )
  const kinds = Object.entries(KINDS).filter(([kind]) => wanted.every((part) => kind.includes(part)))
  const times = new Map<string, { wall: number; cpu: number }[]>()
  for (let round = 0; round < rounds; round++) {
    for (const [label, kind] of kinds) {
      for (const rows of ROWS) {
        const [start, cpu] = [performance.now(), process.cpuUsage()]
        await run(kind, rows, REPEATS)
        const spent = process.cpuUsage(cpu)
        const key = `${label.padEnd(16)} ${String(rows).padStart(2)} rows`
        const all = times.get(key) ?? []
        times.set(key, all)
        all.push({
          wall: (performance.now() - start) / REPEATS,
          cpu: (spent.user + spent.system) / 1000 / REPEATS,
        })
      }
    }
  }
  for (const [key, all] of times) {
    const show = (of: 'wall' | 'cpu') => {
      const values = all.map((one) => one[of]).sort((one, other) => one - other)
      return `${of} ${values[0]!.toFixed(2).padStart(6)} ${values[values.length >> 1]!.toFixed(2).padStart(6)}`
    }
    console.log(`${key}  ${show('wall')}  ${show('cpu')}`)
  }
  sampler.close()
  gpu.close()
}

for (const crew of CREWS) await measure(crew)
