/**
 * A process that reads inputs. It is told ranges of numbers, and says what became of them; where it is to be careful, it
 * says which input it begins with, so that whoever watches knows what a silent process is busy with.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getHeapStatistics } from 'node:v8'
import { Dice } from './dice.ts'
import { judge, type Meters, type Verdict } from './oracle.ts'
import type { Files, Target } from './target.ts'
import { TARGETS } from './targets/index.ts'

export interface Job {
  readonly target: string
  readonly seed: number
  /** Numbers of inputs: the first, and the one behind the last. Negative ones are the heavy inputs, from -1 on. */
  readonly from: number
  readonly to: number
  readonly careful: boolean
  /** Where the heavy inputs lie: making them would take memory that belongs to the reader. */
  readonly heavyFolder: string
}

export interface Failure {
  readonly target: string
  readonly index: number
  readonly why: string
}

export type Message =
  | { readonly kind: 'ready'; readonly heapBytes: number }
  | { readonly kind: 'begins'; readonly index: number }
  | {
      readonly kind: 'done'
      readonly job: Job
      readonly taken: number
      readonly refused: Readonly<Record<string, number>>
      readonly failures: readonly Failure[]
      readonly worstMs: number
      readonly worstMsIndex: number
      readonly worstBytes: number
      readonly worstBytesIndex: number
      readonly maxRssBytes: number
    }

const meters: Meters = {
  memory: () => {
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
    return heap + external
  },
  now: () => performance.now(),
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },
}

/** Input `index` of a target: the same for the same seed, in every process. */
export function inputOf(target: Target, seed: number, index: number): Files {
  const dice = Dice.of(seed, target.name, index)
  return index < 0 ? target.heavy[-1 - index]!(dice) : target.make(dice)
}

function filesIn(folder: string): Files {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]))
}

async function run(job: Job): Promise<Message> {
  const target = TARGETS.find(({ name }) => name === job.target)!
  const refused: Record<string, number> = {}
  const failures: Failure[] = []
  let taken = 0
  const worst = { ms: -1, msIndex: job.from, bytes: -1, bytesIndex: job.from }
  for (let index = job.from; index < job.to; index++) {
    if (job.careful) tell({ kind: 'begins', index })
    const files =
      index < 0 ? filesIn(join(job.heavyFolder, `${target.name}${index}`)) : inputOf(target, job.seed, index)
    if (index < 0) globalThis.gc?.()
    let verdict: Verdict = await judge(target, files, meters)
    // A machine that is busy makes anything slow now and then; what is slow itself is slow again.
    for (let again = 0; again < 2 && verdict.isSlow; again++) verdict = await judge(target, files, meters)
    if (verdict.outcome === 'taken') taken++
    else if (verdict.outcome === 'refused') refused[verdict.why] = (refused[verdict.why] ?? 0) + 1
    else failures.push({ target: target.name, index, why: verdict.why })
    if (verdict.ms > worst.ms) [worst.ms, worst.msIndex] = [verdict.ms, index]
    if (verdict.extraBytes > worst.bytes) [worst.bytes, worst.bytesIndex] = [verdict.extraBytes, index]
  }
  return {
    kind: 'done',
    job,
    taken,
    refused,
    failures,
    worstMs: worst.ms,
    worstMsIndex: worst.msIndex,
    worstBytes: worst.bytes,
    worstBytesIndex: worst.bytesIndex,
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
  }
}

function tell(message: Message): void {
  process.send!(message)
}

if (process.send) {
  process.on('message', (job: Job) => void run(job).then(tell))
  globalThis.gc?.()
  tell({ kind: 'ready', heapBytes: getHeapStatistics().used_heap_size })
}

export { TARGETS } from './targets/index.ts'
