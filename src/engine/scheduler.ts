/**
 * Decides what each step computes, out of plain data: no GPU, no clock, no promise.
 *
 * 1. Running sequences go first. Those that only wait for their next token get their one row before any prompt gets a
 *    chunk, so no stream stalls behind somebody's long prompt. When one needs a block and none is free, the newest
 *    running sequence is preempted: it loses its blocks, keeps its tokens, and computes them again when it is back.
 * 2. With the room that is left, waiting sequences are admitted in order of arrival. Those whose adapter is still being read
 *    are left out of account. Two kinds are passed over: those whose adapter is still on its way to the GPU, and those that begin with blocks which a running one is about to
 *    complete, for a step later they need not compute them. After `maxPassedOver` steps in which others were admitted
 *    before it, the latter is admitted as it is; the former stops the line: nobody behind it is admitted while anything
 *    runs, so that what runs ends and unpins the slot that it waits for. One that lacks blocks stops the line at once:
 *    those behind it would take what it waits for.
 *
 * Sequences whose adapter runs other layers than the base's (layerList.ts) cannot share a step with the others. Passes take
 * turns: a step is of the one that has waited longest among those with something to compute, so that each running sequence
 * gets its token as often as any other. Blocks, registers and the order of arrival are everybody's.
 *
 * Steps are planned while earlier ones run. The device runs them in order, so what a sequence leaves behind (blocks, a
 * register, an adapter's slot) can be given to another at once: the steps of that one come later. Only a sequence that was
 * preempted waits until all its results are there, for it computes its tokens again and has to know them.
 *
 * A sequence owns the blocks of its whole prompt from admission on, so only decoding can run out of blocks, and the
 * oldest running sequence always gets on: whatever is queued ends.
 */
import { invariant } from '../errors.ts'
import { numRowsOf, type RunnerLimits } from './batch.ts'
import { contextLengthOf } from './checkRequest.ts'
import { QueueFullError } from './errors.ts'
import { KvBlocks } from './kvBlocks.ts'
import { type Plan, PlanBuilder } from './plan.ts'
import { PrefixCache } from './prefixCache.ts'
import type { Sequence } from './sequence.ts'

export interface SchedulerOptions {
  /** Most sequences that wait; the next one is refused. Default 1024. */
  readonly maxWaiting?: number
  /** Most steps in which a waiting sequence is passed over. Default 32. */
  readonly maxPassedOver?: number
  /** Whether sequences that begin alike share blocks. Default true. */
  readonly prefixCache?: boolean
  /** Stands in the addresses of shared blocks. Default '', since one scheduler serves one model. */
  readonly modelDigest?: string
}

export class Scheduler {
  readonly blocks: KvBlocks
  readonly #prefixes: PrefixCache
  readonly #limits: RunnerLimits
  readonly #maxWaiting: number
  readonly #maxPassedOver: number
  /** Every running sequence can have a span and a row in each step. */
  readonly #maxRunning: number
  /** In order of arrival; preempted ones in front. */
  readonly #waiting: Sequence[] = []
  /** In order of admission: the newest is last. */
  readonly #running: Sequence[] = []
  /** Passes of running sequences in the order of their turns: who has waited longest comes first. */
  #turns: readonly string[] = []
  /** Registers of the device that no running sequence has. */
  readonly #registers: number[]
  #numPreemptions = 0
  #numPromptTokens = 0
  #numCachedTokens = 0

  constructor(limits: RunnerLimits, options: SchedulerOptions = {}) {
    const { maxWaiting = 1024, maxPassedOver = 32, prefixCache = true, modelDigest = '' } = options
    this.blocks = new KvBlocks(limits.numBlocks, limits.blockSize)
    this.#prefixes = new PrefixCache(this.blocks, modelDigest, prefixCache)
    this.#limits = limits
    this.#maxWaiting = maxWaiting
    this.#maxPassedOver = maxPassedOver
    this.#maxRunning = Math.min(limits.maxSpans, limits.maxRows)
    this.#registers = Array.from({ length: this.#maxRunning }, (_, i) => i)
  }

  /** Most tokens a sequence of the base may have, prompt and answer. */
  get contextLength(): number {
    return contextLengthOf(this.#limits, null)
  }

  get numWaiting(): number {
    return this.#waiting.length
  }

  get numRunning(): number {
    return this.#running.length
  }

  /** Preemptions since the start. */
  get numPreemptions(): number {
    return this.#numPreemptions
  }

  /** Prompt tokens admitted since the start, and those of them that came out of the prefix cache. */
  get numPromptTokens(): number {
    return this.#numPromptTokens
  }

  get numCachedTokens(): number {
    return this.#numCachedTokens
  }

  /** Queues a sequence with something to compute. Throws QueueFullError. */
  add(sequence: Sequence): void {
    if (this.#waiting.length >= this.#maxWaiting) throw new QueueFullError(this.#maxWaiting)
    this.#waiting.push(sequence)
  }

  /** Takes a sequence out, wherever it is, and frees its blocks. */
  remove(sequence: Sequence): void {
    drop(sequence.isRunning ? this.#running : this.#waiting, sequence)
    this.#release(sequence)
  }

  /** The next step, or null if there is nothing to run now. */
  plan(): Plan | null {
    const step = new PlanBuilder(this.#limits)
    for (const pass of this.#passesInTurn()) {
      this.#continueRunning(step, pass)
      if (!step.isEmpty) break
    }
    this.#admitWaiting(step)
    const plan = step.build()
    if (plan) this.#hadTurn(plan.sequences[0]!.pass)
    return plan
  }

  /**
   * The oldest planned step has run: what it computed can be shared from now on, and what it drew is accepted next. Comes
   * before any of its sequences is removed.
   */
  confirm({ batch, sequences }: Plan): void {
    for (const [index, span] of batch.spans.entries()) {
      const sequence = sequences[index]!
      sequence.settled(span.logits)
      if (sequence.isRunning) this.#prefixes.confirm(sequence, span.start + numRowsOf(span))
    }
  }

  /** Throws InvariantError if a block is leaked, owned twice, or owned by a sequence that does not run. */
  checkIntegrity(): void {
    invariant(
      this.#running.every((sequence) => sequence.isRunning),
      'A running sequence owns no block',
    )
    invariant(!this.#waiting.some((sequence) => sequence.isRunning), 'A waiting sequence owns blocks')
    invariant(this.#registers.length + this.#running.length === this.#maxRunning, 'A register is lost')
    this.blocks.checkIntegrity(this.#running.map((sequence) => sequence.blocks))
  }

  /** Of running sequences that have something to compute. */
  #passesInTurn(): readonly string[] {
    const passes = new Set(this.#running.filter(({ isPlannable }) => isPlannable).map(({ pass }) => pass))
    // Who comes new lines up behind those that wait.
    return [...new Set([...this.#turns, ...passes])].filter((pass) => passes.has(pass))
  }

  #hadTurn(pass: string): void {
    const passes = new Set(this.#running.map((sequence) => sequence.pass))
    const others = [...new Set([...this.#turns, ...passes])].filter((other) => other !== pass && passes.has(other))
    this.#turns = [...others, pass]
  }

  #continueRunning(step: PlanBuilder, pass: string): void {
    const plannable = this.#running.filter((sequence) => sequence.pass === pass && sequence.isPlannable)
    const decoding = plannable.filter((sequence) => sequence.numPending === 1)
    const prefilling = plannable.filter((sequence) => sequence.numPending > 1)
    for (const sequence of decoding) {
      if (sequence.isRunning && this.#growOrPreempt(sequence)) step.add(sequence)
    }
    for (const sequence of prefilling) {
      if (sequence.isRunning) step.add(sequence)
    }
  }

  /** Gets the block that the newest token of `sequence` may need. False if it was itself the one to give way. */
  #growOrPreempt(sequence: Sequence): boolean {
    const numMissing = this.#numBlocksFor(sequence) - sequence.blocks.length
    while (!this.blocks.canAllocate(numMissing)) {
      const newest = this.#running.at(-1)!
      this.#preempt(newest)
      if (newest === sequence) return false
    }
    sequence.blocks.push(...this.blocks.allocate(numMissing))
    return true
  }

  #preempt(sequence: Sequence): void {
    drop(this.#running, sequence)
    this.#release(sequence)
    this.#waiting.unshift(sequence)
    this.#numPreemptions++
  }

  #admitWaiting(step: PlanBuilder): void {
    const passedOver: Sequence[] = []
    const isIdle = this.#running.length === 0
    for (const sequence of [...this.#waiting]) {
      if (!step.hasRoom || this.#running.length >= this.#maxRunning) return
      if (sequence.numStepsInFlight > 0) return // preempted
      const mayPass = sequence.numPassedOver < this.#maxPassedOver
      if (!sequence.isResident) {
        // No place on the GPU would help it, so the line need not wait for one.
        if (sequence.adapter?.isRead) continue
        if (!mayPass && !isIdle) return
        passedOver.push(sequence)
        continue
      }
      const prefix = this.#prefixes.find(sequence)
      if (mayPass && this.#prefixes.isComing(sequence, prefix.length / sequence.numFolds, this.#running)) {
        passedOver.push(sequence)
        continue
      }
      if (!this.#canAdmit(sequence, prefix)) return
      this.#admit(sequence, prefix)
      if (step.takes(sequence)) step.add(sequence) // else at the turn of its pass
      for (const earlier of passedOver.splice(0)) earlier.numPassedOver++
    }
  }

  /** Beside others it must leave one block for each of them and itself, or the next few tokens would cost a preemption. */
  #canAdmit(sequence: Sequence, prefix: readonly number[]): boolean {
    const others = this.#running.reduce((sum, { numFolds }) => sum + numFolds, 0)
    const numSpare = others === 0 ? 0 : others + sequence.numFolds
    const numNew = this.#numBlocksFor(sequence) - prefix.length
    return this.blocks.canAllocate(numNew + this.blocks.countFree(prefix) + numSpare)
  }

  #admit(sequence: Sequence, prefix: readonly number[]): void {
    drop(this.#waiting, sequence)
    sequence.adapter?.pin()
    this.blocks.share(prefix)
    const numNew = this.#numBlocksFor(sequence) - prefix.length
    sequence.blocks.push(...prefix, ...this.blocks.allocate(numNew))
    sequence.numComputed = (prefix.length / sequence.numFolds) * this.blocks.blockSize
    sequence.numConfirmed = sequence.numComputed
    sequence.numPassedOver = 0
    sequence.register = this.#registers.pop()!
    this.#running.push(sequence)
    if (sequence.numCached !== null) return // back from a preemption
    sequence.numCached = sequence.numComputed
    this.#numPromptTokens += sequence.numPrompt
    this.#numCachedTokens += sequence.numCached
  }

  #numBlocksFor({ numWanted, numFolds }: Sequence): number {
    return this.blocks.blocksFor(numWanted) * numFolds
  }

  #release(sequence: Sequence): void {
    if (!sequence.isRunning) return
    sequence.adapter?.unpin()
    this.#registers.push(sequence.register!)
    sequence.register = null
    this.blocks.free(sequence.blocks.splice(0))
    sequence.numComputed = 0
    sequence.numConfirmed = 0
  }
}

function drop(list: Sequence[], sequence: Sequence): void {
  const index = list.indexOf(sequence)
  invariant(index >= 0, `Request ${sequence.request.id} is not where it should be`)
  list.splice(index, 1)
}
