/**
 * llama.cpp as a rig of bench/peers.ts, through node-llama-cpp, on Vulkan or on the CPU. Sequences keep the prompt's keys and
 * values from round to round. Adapters belong to a context, so each has a context of its own and they take turns token by
 * token: as llama-server batches only requests of equal adapters, and without what changing a context's adapters costs there.
 * Arguments: the folder of the package node-llama-cpp, the folder that make_gguf.py wrote, vulkan or cpu, flash or plain
 * attention, threads on the CPU, rows per step.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { constants, runInThisContext } from 'node:vm'
import { Clock, type DecodeTask, type PrefillTask, serveTasks, type Timing } from './rig.ts'

interface Sequence {
  readonly nextTokenIndex: number
  clearHistory(): Promise<void>
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>
  evaluate(tokens: readonly number[], options: Readonly<Record<string, unknown>>): AsyncGenerator<number>
}

interface Context {
  getSequence(): Sequence
}

/** Of node-llama-cpp, what is used here. */
interface NodeLlamaCpp {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<{
    readonly llamaCppRelease: { readonly repo: string; readonly release: string }
    getGpuDeviceNames(): Promise<readonly string[]>
    loadModel(options: Readonly<Record<string, unknown>>): Promise<{
      readonly gpuLayers: number
      createContext(options: Readonly<Record<string, unknown>>): Promise<Context>
    }>
    dispose(): Promise<void>
  }>
}

const PREFILL_CONTEXT = 768
const DECODE_CONTEXT = 256
const GREEDY = { temperature: 0, yieldEogToken: true }

const [packageFolder, ggufFolder, where, attention, threads, batch] = process.argv.slice(2)
// This file runs in Vite (bench/run.mjs); the package must not: it tries its binary in a process that it starts by its own path.
process.execArgv.length = 0
const importFile: (url: string) => Promise<NodeLlamaCpp> = runInThisContext('(url) => import(url)', {
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})
const module = await importFile(pathToFileURL(join(packageFolder!, 'dist/index.js')).href)
const onGpu = where === 'vulkan'
const llama = await module.getLlama({
  gpu: onGpu && 'vulkan',
  build: 'never',
  logLevel: 'error',
  maxThreads: Number(threads),
})
const model = await llama.loadModel({
  modelPath: join(ggufFolder!, 'base-f16.gguf'),
  gpuLayers: onGpu ? 'max' : 0,
  ignoreMemorySafetyChecks: true,
})
// Without a layer on the GPU it would run on the CPU and call itself Vulkan.
if (onGpu && model.gpuLayers === 0) throw new Error('llama.cpp put no layer on the Vulkan device')

const newContext = (options: Readonly<Record<string, unknown>>): Promise<Context> =>
  model.createContext({
    threads: Number(threads),
    flashAttention: attention === 'flash',
    ignoreMemorySafetyChecks: true,
    ...options,
  })

/** Sequences by what they are for; those of adapters are of contexts of their own. */
const kept = new Map<string, Promise<readonly Sequence[]>>()

function sequences(count: number, adapters: boolean): Promise<readonly Sequence[]> {
  const key = `${count} ${adapters}`
  const found = kept.get(key) ?? (adapters ? adapted(count) : plain(count))
  kept.set(key, found)
  return found
}

async function plain(count: number): Promise<readonly Sequence[]> {
  const context = await newContext({ sequences: count, contextSize: DECODE_CONTEXT, batchSize: Number(batch) })
  return Array.from({ length: count }, () => context.getSequence())
}

async function adapted(count: number): Promise<readonly Sequence[]> {
  const made: Sequence[] = []
  for (let i = 0; i < count; i++) {
    const lora = { adapters: [{ filePath: join(ggufFolder!, `adapter-${i}.gguf`) }] }
    made.push((await newContext({ contextSize: DECODE_CONTEXT, batchSize: Number(batch), lora })).getSequence())
  }
  return made
}

/** The answer to a prompt of which all but the last token may be known to the sequence. */
async function answerTo(sequence: Sequence, prompt: readonly number[]): Promise<AsyncGenerator<number>> {
  if (sequence.nextTokenIndex < prompt.length) return sequence.evaluate(prompt, GREEDY)
  const start = prompt.length - 1
  await sequence.eraseContextTokenRanges([{ start, end: sequence.nextTokenIndex }])
  return sequence.evaluate(prompt.slice(start), GREEDY)
}

async function decode({ prompts, output, adapters }: DecodeTask): Promise<Timing> {
  const answers: AsyncGenerator<number>[] = []
  for (const [i, sequence] of (await sequences(prompts.length, adapters)).entries())
    answers.push(await answerTo(sequence, prompts[i]!))
  const next = async (answer: AsyncGenerator<number>): Promise<number> => (await answer.next()).value
  const step = async (): Promise<number> => {
    // What is asked for in one tick becomes one batch.
    if (!adapters) return (await Promise.all(answers.map(next)))[0]!
    const tokens: number[] = []
    for (const answer of answers) tokens.push(await next(answer))
    return tokens[0]!
  }
  const first = [await step()]
  const clock = new Clock()
  while (first.length < output) first.push(await step())
  const timing = clock.stop(prompts.length * (output - 1), first)
  await Promise.all(answers.map((answer) => answer.return(undefined)))
  return timing
}

let prefilling: Sequence | null = null

async function prefill({ prompt }: PrefillTask): Promise<Timing> {
  prefilling ??= (await newContext({ contextSize: PREFILL_CONTEXT, batchSize: Number(batch) })).getSequence()
  await prefilling.clearHistory()
  const clock = new Clock()
  for await (const token of prefilling.evaluate(prompt, GREEDY)) return clock.stop(prompt.length, [token])
  throw new Error('llama.cpp gave no token')
}

await serveTasks(
  {
    runtime: `llama.cpp ${llama.llamaCppRelease.release}`,
    weights: 'f16',
    device: onGpu ? `Vulkan: ${(await llama.getGpuDeviceNames()).join()}` : 'CPU',
    can: ['decode', 'prefill', 'adapters'],
    layersOnGpu: model.gpuLayers,
    threads: Number(threads),
    attention,
    kvCache: 'F16',
    rowsPerStep: Number(batch),
  },
  (task) => (task.kind === 'decode' ? decode(task) : prefill(task)),
)
await llama.dispose()
