/**
 * What the engine does, as a timeline that Perfetto and chrome://tracing open: JavaScript planning, submitting and
 * settling steps; the steps in flight between, overlapping where they run ahead; the device, if it is profiled; and each
 * request from its arrival to its end. Written as it happens, in the JSON array format, whose end may be missing.
 */
import { type EngineObserver, javaScriptMs, latenciesOf, type RequestTrace, type StepTrace } from './observer.ts'

/** Tracks. Perfetto makes more of its own for steps and requests, which overlap. */
const JAVASCRIPT = 1
const DEVICE = 2

type Phase = 'M' | 'X' | 'C' | 'b' | 'e'

interface TraceEvent {
  readonly ph: Phase
  readonly name: string
  /** Of the engine's clock, in ms. */
  readonly at?: number
  readonly track?: number
  readonly category?: string
  /** Tells apart what has the same name and overlaps. */
  readonly id?: string
  /** In ms. */
  readonly duration?: number
  readonly args?: Readonly<Record<string, unknown>>
}

export class ChromeTrace implements EngineObserver {
  readonly #write: (text: string) => void
  #isFirst = true
  #hasEnded = false
  /** From the device's clock to the engine's: no result arrives before its step has ended. */
  #deviceOffset = Infinity

  /** `write` takes the text piece by piece. */
  constructor(write: (text: string) => void) {
    this.#write = write
    this.#event({ ph: 'M', name: 'process_name', args: { name: 'lorikeet' } })
    this.#event({ ph: 'M', name: 'thread_name', track: JAVASCRIPT, args: { name: 'JavaScript' } })
    this.#event({ ph: 'M', name: 'thread_name', track: DEVICE, args: { name: 'device' } })
  }

  step(step: StepTrace): void {
    const { index, plannedAt, submittingAt, submittedAt, arrivedAt, settlingAt, settledAt } = step
    const { numRows, numSpans, numSegments, numLogitsRows, numRunning, numWaiting, numInFlight } = step
    const args = { step: index, rows: numRows, spans: numSpans, segments: numSegments, logits: numLogitsRows }
    this.#slice('plan', JAVASCRIPT, plannedAt, submittingAt, args)
    this.#slice('submit', JAVASCRIPT, submittingAt, submittedAt, args)
    this.#slice('settle', JAVASCRIPT, settlingAt, settledAt, { ...args, javaScriptMs: javaScriptMs(step) })
    this.#span('step', `${index}`, 'in flight', submittedAt, arrivedAt, args)
    const counts = { running: numRunning, waiting: numWaiting, 'in flight': numInFlight }
    for (const [name, count] of Object.entries(counts)) {
      this.#event({ ph: 'C', name, at: settledAt, args: { [name]: count } })
    }
    this.#onDevice(step, args)
  }

  finished(request: RequestTrace): void {
    const { id, adapter, queuedAt, admittedAt, firstTokenAt, outcome } = request
    const { numPromptTokens, numCachedTokens, numGeneratedTokens } = request
    const finishedAt = request.finishedAt!
    const whole = {
      id,
      adapter,
      outcome,
      numPromptTokens,
      numCachedTokens,
      numGeneratedTokens,
      ...latenciesOf(request),
    }
    this.#span('request', id, adapter ?? 'base', queuedAt, finishedAt, whole)
    this.#span('request', id, 'queue', queuedAt, admittedAt ?? finishedAt)
    if (admittedAt !== null) this.#span('request', id, 'prefill', admittedAt, firstTokenAt ?? finishedAt)
    if (firstTokenAt !== null) this.#span('request', id, 'decode', firstTokenAt, finishedAt)
  }

  /** Completes the array. What comes later is dropped. */
  end(): void {
    if (!this.#hasEnded) this.#write('\n]\n')
    this.#hasEnded = true
  }

  #onDevice({ gpuTime, arrivedAt }: StepTrace, args: TraceEvent['args'] & object): void {
    if (gpuTime === null) return
    this.#deviceOffset = Math.min(this.#deviceOffset, arrivedAt - gpuTime.end)
    const { begin, end } = gpuTime
    this.#slice('run', DEVICE, begin + this.#deviceOffset, end + this.#deviceOffset, args)
  }

  #slice(name: string, track: number, from: number, to: number, args: TraceEvent['args'] & object): void {
    this.#event({ ph: 'X', name, track, at: from, duration: to - from, args })
  }

  #span(category: string, id: string, name: string, from: number, to: number, args: TraceEvent['args'] = {}): void {
    this.#event({ ph: 'b', name, category, id, at: from, args })
    this.#event({ ph: 'e', name, category, id, at: to })
  }

  #event({ ph, name, at = 0, track = JAVASCRIPT, category, id, duration, args }: TraceEvent): void {
    if (this.#hasEnded) return
    const event = {
      ph,
      name,
      pid: 1,
      tid: track,
      ts: microseconds(at),
      ...(category !== undefined && { cat: category }),
      ...(id !== undefined && { id }),
      ...(duration !== undefined && { dur: microseconds(duration) }),
      ...(args && { args }),
    }
    this.#write(`${this.#isFirst ? '[\n' : ',\n'}${JSON.stringify(event)}`)
    this.#isFirst = false
  }
}

function microseconds(ms: number): number {
  return Math.round(ms * 1e6) / 1e3
}
