/**
 * lorikeet beside other runtimes on the same device (S4, S5 and S6 of docs/performance.md): llama.cpp on Vulkan and on the
 * CPU, ONNX Runtime on WebGPU. Every runtime is a process of its own that is asked in turn (bench/peers/rig.ts); rounds are
 * interleaved, and each begins with another. A runtime that is not given is left out. --into puts what is measured into an
 * earlier report, so that the lines can be measured one by one. The others are not part of this repository:
 *
 *   npm install node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64-vulkan@3.22.1
 *   pip install onnxruntime-webgpu==1.27.0 onnx==1.23.2 numpy gguf==0.19.0 safetensors==0.8.0
 *   python bench/peers/make_gguf.py MODEL GGUF
 *   python -m onnxruntime_genai.models.builder -i MODEL -o ONNX -p int4 -e webgpu -c CACHE --extra_options int4_accuracy_level=4
 *
 *   node bench/run.mjs bench/peers.ts --model=MODEL [--only=S4,S5,S6] [--rounds=3]
 *     [--into=docs/perf/peers.json]
 *     [--llama-package=…/node_modules/node-llama-cpp --llama-models=GGUF]
 *     [--llama-attention=plain|flash] [--llama-threads=N] [--llama-batch=64]
 *     [--ort-python=…/bin/python --ort-models=ONNX,ONNX]
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import type { Task, Timing } from './peers/rig.ts'
import { RigProcess } from './peers/rigProcess.ts'
import { numberOption, textOption } from './support/options.ts'
import { median, rounded } from './support/timing.ts'

/** Something to measure; `key` names it in the JSON. */
interface Case {
  readonly key: string
  readonly needs: 'decode' | 'prefill' | 'adapters'
  /** The task of a round; -1 is the warm-up. */
  readonly task: (round: number) => Task
}

const VOCABULARY = 49152

/** Token ids that begin with `seed`: no prefix cache knows what it has not seen. */
function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 977 + i * 31 + ((i * i) % 17)) % VOCABULARY)
}

const decode = (streams: number, output: number, adapters = false): Case['task'] => {
  const prompts = Array.from({ length: streams }, (_, i) => prompt(64, i))
  return () => ({ kind: 'decode', prompts, output, adapters })
}
const prefill =
  (length: number): Case['task'] =>
  (round) => ({ kind: 'prefill', prompt: prompt(length, 100 + length + round) })

const PLAIN = ['S5 decode, 4 streams, no adapters', 'S5 decode, 8 streams, no adapters']
const MIXED = 'S5 decode, 8 streams, 8 adapters'

const CASES: readonly Case[] = [
  { key: 'S4 decode, 1 stream', needs: 'decode', task: decode(1, 17) },
  { key: PLAIN[0]!, needs: 'decode', task: decode(4, 9) },
  { key: PLAIN[1]!, needs: 'decode', task: decode(8, 9) },
  { key: MIXED, needs: 'adapters', task: decode(8, 5, true) },
  { key: 'S6 prefill of 64', needs: 'prefill', task: prefill(64) },
  { key: 'S6 prefill of 512', needs: 'prefill', task: prefill(512) },
]

const rounds = numberOption('rounds', 3)
const attention = textOption('llama-attention') ?? 'plain'
/** Of llama.cpp on the CPU. They spin while they wait for each other: on a machine that others use, give fewer. */
const threads = numberOption('llama-threads', availableParallelism())
/** Rows of a llama.cpp step. Beyond 64 it takes its largest tile, which lavapipe needs many minutes to compile. */
const llamaBatch = numberOption('llama-batch', 64)
const only = textOption('only')?.split(',') ?? ['S4', 'S5', 'S6']
const cases = CASES.filter(({ key }) => only.some((line) => key.startsWith(line)))
const modelFolder = textOption('model')
if (modelFolder === null) throw new Error('Name the model: --model=FOLDER, of Hugging Face')

/** Rigs to start: their names and commands, or why there is none. */
function commands(): { readonly start: Map<string, readonly string[]>; readonly leftOut: string[] } {
  const script = (name: string) => [process.execPath, 'bench/run.mjs', `bench/peers/${name}.ts`]
  const start = new Map<string, readonly string[]>([['lorikeet', [...script('lorikeet'), modelFolder!]]])
  const leftOut: string[] = []
  const [package_, models] = [textOption('llama-package'), textOption('llama-models')]
  if (package_ && models) {
    const llama = (where: string) => [
      ...script('llamaCpp'),
      package_,
      models,
      where,
      attention,
      `${threads}`,
      `${llamaBatch}`,
    ]
    start.set('llama.cpp Vulkan', llama('vulkan'))
    start.set('llama.cpp CPU', llama('cpu'))
  } else leftOut.push('llama.cpp: --llama-package and --llama-models were not given')
  const [python, folders] = [textOption('ort-python'), textOption('ort-models')]
  if (python && folders) {
    for (const folder of folders.split(','))
      start.set(`ONNX Runtime WebGPU ${basename(folder)}`, [python, 'bench/peers/ort.py', folder])
  } else leftOut.push('ONNX Runtime: --ort-python and --ort-models were not given')
  return { start, leftOut }
}

const { start, leftOut } = commands()
const rigs: RigProcess[] = []
for (const [name, command] of start) {
  console.error(`starting ${name} …`)
  try {
    rigs.push(await RigProcess.start(name, command))
  } catch (error) {
    if (name === 'lorikeet') throw error
    leftOut.push(`${name}: ${(error as Error).message}`)
  }
}

/** Asks each rig that can; `first` begins. One that fails is asked no more; what it has answered stays. */
async function round(number: number, { key, needs, task }: Case, first: number): Promise<void> {
  for (let i = 0; i < rigs.length; i++) {
    const rig = rigs[(first + i) % rigs.length]!
    if (rig.failure !== null || !rig.who.can.includes(needs)) continue
    const timing = await rig.ask(task(number))
    const when = number < 0 ? 'warm-up' : `round ${number + 1}`
    console.error(`${when}, ${key}, ${rig.name}: ${timing === null ? rig.failure : `${timing.seconds.toFixed(1)} s`}`)
    if (timing === null && rig.name === 'lorikeet') throw new Error(rig.failure!)
    if (timing === null) leftOut.push(rig.failure!)
    else if (number >= 0) rig.timings.set(key, [...(rig.timings.get(key) ?? []), timing])
  }
}

for (const each of cases) await round(-1, each, 0)
for (let number = 0; number < rounds; number++) for (const each of cases) await round(number, each, number)

interface Figures {
  readonly tokensPerSecondMedian: number
  readonly tokensPerSecondBest: number
  readonly tokensPerCpuSecond: number
}

function figuresOf(timings: readonly Timing[]): Figures {
  const speeds = timings.map(({ tokens, seconds }) => tokens / seconds)
  return {
    tokensPerSecondMedian: median(speeds),
    tokensPerSecondBest: Math.max(...speeds),
    tokensPerCpuSecond: median(timings.map(({ tokens, cpuSeconds }) => tokens / cpuSeconds)),
  }
}

const over = (ours: Figures, theirs: Figures) => ({
  median: ours.tokensPerSecondMedian / theirs.tokensPerSecondMedian,
  best: ours.tokensPerSecondBest / theirs.tokensPerSecondBest,
  cpuMedian: ours.tokensPerCpuSecond / theirs.tokensPerCpuSecond,
})

/** Leading tokens of two answers that are the same. */
function numEqual(one: readonly number[], other: readonly number[]): number {
  const end = one.findIndex((token, i) => token !== other[i])
  return end < 0 ? one.length : end
}

function reportOf({ key, needs }: Case): object {
  const [ours, ...others] = rigs.filter((rig) => rig.timings.has(key))
  const mine = ours!.timings.get(key)!
  return {
    rounds: mine.length,
    [ours!.name]: figuresOf(mine),
    ...Object.fromEntries(
      others.map(({ name, timings }) => {
        const figures = figuresOf(timings.get(key)!)
        const answer = timings.get(key)![0]!.answer
        // Made-up adapters are other ones in each runtime.
        const equal = needs !== 'adapters' && {
          equalTokens: `${numEqual(mine[0]!.answer, answer)} of ${answer.length}`,
        }
        return [name, { ...figures, lorikeetOverIt: over(figuresOf(mine), figures), ...equal }]
      }),
    ),
  }
}

/** What adapters are an alternative to: 8 of them in one batch here, against whatever batch is best elsewhere without any. */
function mixedOverPlain(): object {
  const mixed = rigs[0]!.timings.get(MIXED)
  if (!mixed) return {}
  const ratios = rigs.slice(1).flatMap(({ name, timings }) => {
    if (!PLAIN.every((key) => timings.has(key))) return []
    const batches = PLAIN.map((key) => over(figuresOf(mixed), figuresOf(timings.get(key)!)))
    const least = (pick: (ratio: (typeof batches)[number]) => number) => Math.min(...batches.map(pick))
    return [
      [name, { median: least((r) => r.median), best: least((r) => r.best), cpuMedian: least((r) => r.cpuMedian) }],
    ]
  })
  return { 'S5 lorikeet with 8 adapters over the best batch without': Object.fromEntries(ratios) }
}

const into = textOption('into')
const report = rounded({
  ...(into !== null && existsSync(into) && JSON.parse(readFileSync(into, 'utf8'))),
  runtimes: Object.fromEntries(rigs.map(({ name, who }) => [name, who])),
  leftOut,
  ...Object.fromEntries(cases.map((each) => [each.key, reportOf(each)])),
  ...mixedOverPlain(),
})
console.log(report)
if (into !== null) writeFileSync(into, `${report}\n`)
for (const rig of rigs) await rig.close()
