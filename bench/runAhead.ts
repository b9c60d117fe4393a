/**
 * What running ahead is worth (S12 of docs/performance.md): the decode rate when results come back late, against the same
 * rate when they do not; and the time of JavaScript per step. (The share of time the device stands idle: bench/idle.ts.) SmolLM2-135M's
 * shape, f16, made-up weights. Where the device computes, it is a small piece of it, so that a step is short against the
 * delays; on a machine that others use too, the best of several rounds says most. The same again on Dawn's null backend,
 * which computes nothing, with a timer that takes so long for each step: there only JavaScript and Dawn are measured.
 *
 *   node bench/run.mjs bench/runAhead.ts [--rounds=7] [--layers=2]   (--layers=0: only on the null backend)
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import type { Batch, Runner, StepResult } from '../src/engine/batch.ts'
import { Engine } from '../src/engine/engine.ts'
import { javaScriptMs, type StepTrace } from '../src/engine/observer.ts'
import { Runtime, type RuntimeOptions } from '../src/engine/runtime.ts'
import { Faults } from '../src/gpu/faults.ts'
import type { Gpu } from '../src/gpu/gpu.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 1024 * 1024
const DELAYS = [0, 10, 100]
/** Of the timer that stands for a device. */
const STEP_MS = 12
const SEQUENCES = 16
const ADAPTERS = 4
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

async function open(
  gpu: Gpu,
  changes: Parameters<typeof smolFolder>[1],
  options: Pick<RuntimeOptions, 'tuning'> = {},
): Promise<Runtime> {
  const sizes = { maxModelLen: 512, maxNumSeqs: SEQUENCES, kvCacheMemory: 96 * MIB, loraMemory: 32 * MIB }
  const runtime = await Runtime.open(gpu, smolFolder(readModelSpec, changes), { sizes, ...options })
  await runtime.tuner.done
  const synthetic = new SyntheticAdapters(runtime.spec)
  for (let i = 0; i < ADAPTERS; i++) runtime.adapters.add(`${i}`, 'made up', synthetic.make(`${i}`, 8))
  return runtime
}

/** Decodes with all sequences, an adapter for each but the fifth ones, and returns the steps that every one took part in. */
async function decode(runtime: Runtime, runner: Runner, depth: number | null, numTokens: number) {
  const steps: StepTrace[] = []
  let stats: { readonly depth: number; readonly readbackMs: number | null } | null = null
  const engine: Engine = new Engine(runner, {
    observer: {
      step: (step) => {
        if (step.numRows === SEQUENCES && step.numLogitsRows === SEQUENCES) steps.push(step)
        if (steps.length === numTokens >> 1) stats = engine.stats()
      },
    },
    ...(depth === null ? {} : { depth }),
  })
  while (depth === null && engine.stats().readbackMs === null) await new Promise((resolve) => setTimeout(resolve, 1))
  const generations = Array.from({ length: SEQUENCES }, (_, i) =>
    engine.generate({
      id: `${i}`,
      prompt: [i, 7, 9],
      adapter: i % (ADAPTERS + 1) === ADAPTERS ? null : runtime.adapters.lease(`${i % (ADAPTERS + 1)}`),
      sampling: GREEDY,
      maxTokens: numTokens,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: null,
    }),
  )
  await Promise.all(
    generations.map(async (generation) => {
      for await (const event of generation) void event
    }),
  )
  await engine.close()
  return { steps: steps.slice(steps.length >> 2), stats: stats! }
}

/** Milliseconds from one result to the next, over all of `steps`. */
function interval(steps: readonly StepTrace[]): number {
  return (steps.at(-1)!.arrivedAt - steps[0]!.arrivedAt) / (steps.length - 1)
}

/** Rates with run-ahead and without, under each delay, rounds interleaved. */
async function late(runtime: Runtime, runner: Runner, setDelay: (ms: number) => void, rounds: number) {
  await decode(runtime, runner, null, 8)
  const cases = DELAYS.flatMap((delay) =>
    [null, 1].map((depth) => ({ delay, depth, msPerStep: [] as number[], depths: [] as number[] })),
  )
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) {
      setDelay(each.delay)
      const { steps, stats } = await decode(runtime, runner, each.depth, each.depth === 1 ? 24 : 64)
      each.msPerStep.push(interval(steps))
      each.depths.push(stats.depth)
    }
  }
  setDelay(0)
  return cases.map(({ delay, depth, msPerStep, depths }) => {
    const used = median(depths)
    const against = (pick: (values: readonly number[]) => number) => {
      const step = pick(cases[0]!.msPerStep)
      const rate = step / pick(msPerStep)
      return { msPerStep: pick(msPerStep), rate, ofPossible: rate / Math.min(1, (used * step) / (step + delay)) }
    }
    return {
      delayMs: delay,
      loop: depth === 1 ? 'plain' : 'ahead',
      depth: used,
      median: against(median),
      best: against((values) => Math.min(...values)),
    }
  })
}

async function onDevice(rounds: number, layers: number) {
  const faults = new Faults()
  const gpu = await openGpu({ faults })
  const runtime = await open(gpu, { num_hidden_layers: layers, vocab_size: 4096 })
  const setDelay = (ms: number): void => {
    faults.readbackDelayMs = ms
  }
  const rates = await late(runtime, runtime.runner, setDelay, rounds)
  await runtime.close()
  gpu.close()
  return { device: gpu.can.adapter, layers, 'rates of the undelayed': rates }
}

/** Times what stands between `gpu.recorder()` and the end of `submit()`: encoding. */
function timeEncoding(gpu: Gpu): { milliseconds: number } {
  const encoding = { milliseconds: 0 }
  const recorder = gpu.recorder.bind(gpu)
  gpu.recorder = (options) => {
    const start = performance.now()
    const made = recorder(options)
    const submit = made.submit.bind(made)
    made.submit = () => {
      submit()
      encoding.milliseconds += performance.now() - start
    }
    return made
  }
  return encoding
}

/**
 * The runner on the null backend. What that returns is whatever lay in memory: every draw is the same token instead. A
 * step takes `stepMs` on a timer that stands for the device, and its result comes `delayMs` after that.
 */
class BlindRunner implements Runner {
  readonly limits: Runner['limits']
  readonly #runner: Runner
  readonly #encoding: { milliseconds: number }
  #freeAt = 0
  stepMs = 0
  delayMs = 0
  /** Of each submitted step. */
  readonly encodingMs: number[] = []

  constructor(runner: Runner, encoding: { milliseconds: number }) {
    this.limits = runner.limits
    this.#runner = runner
    this.#encoding = encoding
  }

  async submit(batch: Batch): Promise<StepResult> {
    this.#encoding.milliseconds = 0
    const result = this.#runner.submit(batch)
    this.encodingMs.push(this.#encoding.milliseconds)
    this.#freeAt = Math.max(performance.now(), this.#freeAt) + this.stepMs
    const readyAt = this.#freeAt + this.delayMs
    await result
    await this.#until(readyAt)
    return { records: batch.spans.flatMap(({ logits }) => logits.map(() => ({ token: 7, logprobs: null }))) }
  }

  async echo(): Promise<void> {
    const readyAt = performance.now() + this.delayMs
    await this.#runner.echo()
    await this.#until(readyAt)
  }

  async #until(time: number): Promise<void> {
    const left = time - performance.now()
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left))
  }
}

async function onNothing(rounds: number) {
  const gpu = await openGpu({}, ['backend=null'])
  const runtime = await open(gpu, {}, { tuning: { mode: 'never' } })
  const runner = new BlindRunner(runtime.runner, timeEncoding(gpu))
  await decode(runtime, runner, 2, 100)
  runner.encodingMs.length = 0
  const before = gpu.counters.snapshot()
  const { steps } = await decode(runtime, runner, 2, 400)
  const { dispatches, submits, uploads, passes } = gpu.counters.since(before)
  const encoding = steps.map(({ index }) => runner.encodingMs[index]!)
  const all = steps.map(javaScriptMs)
  const javaScript = {
    sequences: SEQUENCES,
    medianMs: median(all),
    medianMsWithoutEncoding: median(all.map((ms, i) => ms - encoding[i]!)),
    planMs: median(steps.map((step) => step.submittingAt - step.plannedAt)),
    settleMs: median(steps.map((step) => step.settledAt - step.settlingAt)),
    encodeMs: median(encoding),
    dispatchesPerStep: dispatches / submits,
    microsecondsPerDispatch: (1000 * median(encoding)) / (dispatches / submits),
    uploadsPerStep: uploads / submits,
    passesPerStep: passes / submits,
  }
  const setDelay = (ms: number): void => {
    runner.delayMs = ms
  }
  runner.stepMs = STEP_MS
  const rates = await late(runtime, runner, setDelay, rounds)
  await runtime.close()
  gpu.close()
  return { 'JavaScript per step': javaScript, [`rates of the undelayed, steps of ${STEP_MS} ms`]: rates }
}

async function main(options: readonly string[]): Promise<void> {
  const option = (name: string, fallback: number): number =>
    Number(options.find((each) => each.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback)
  const rounds = option('rounds', 7)
  const layers = option('layers', 2)
  const nothing = await onNothing(Math.ceil(rounds / 2))
  const device = layers > 0 ? await onDevice(rounds, layers) : null
  console.log(rounded({ rounds, S12: { 'null backend': nothing, device } }))
}

await main(process.argv.slice(2))
