/**
 * What bench/peers.ts asks of each runtime, in a process of its own, so that processor time can be told apart: lines of JSON
 * in both directions. The first line out says who it is; then each task that comes in is answered by one timing.
 * rig.py is the same for runtimes that are spoken to in Python.
 */
import { createInterface } from 'node:readline'

/** Greedy decoding of some prompts at once. A rig keeps what it knows of a prompt, so that rounds time the answer alone. */
export interface DecodeTask {
  readonly kind: 'decode'
  /** Token ids. */
  readonly prompts: readonly (readonly number[])[]
  /** Tokens of each answer, the first of which is not timed. The end of sequence does not end it. */
  readonly output: number
  /** Each prompt under another adapter, rank 16 on all linears; or all under none. */
  readonly adapters: boolean
}

/** From a prompt that begins as none before it to its first token. */
export interface PrefillTask {
  readonly kind: 'prefill'
  readonly prompt: readonly number[]
}

export type Task = DecodeTask | PrefillTask

export interface Timing {
  readonly seconds: number
  /** Of the whole process, a software device's threads included. */
  readonly cpuSeconds: number
  /** That were computed in this time: of answers, or of the prompt. */
  readonly tokens: number
  /** The first answer, to compare runtimes; of a prefill its first token. */
  readonly answer: readonly number[]
}

/** Who answers: names, versions and what matters for the figures. */
export type Introduction = Readonly<Record<string, unknown>> & {
  readonly device: string
  /** Kinds of tasks it can do. */
  readonly can: readonly ('decode' | 'prefill' | 'adapters')[]
}

export class Clock {
  readonly #began = performance.now()
  readonly #cpu = process.cpuUsage()

  stop(tokens: number, answer: readonly number[]): Timing {
    const { user, system } = process.cpuUsage(this.#cpu)
    return { seconds: (performance.now() - this.#began) / 1000, cpuSeconds: (user + system) / 1e6, tokens, answer }
  }
}

/** Answers tasks until the other side closes. */
export async function serveTasks(who: Introduction, run: (task: Task) => Promise<Timing>): Promise<void> {
  console.log(JSON.stringify(who))
  for await (const line of createInterface({ input: process.stdin }))
    console.log(JSON.stringify(await run(JSON.parse(line) as Task)))
}
