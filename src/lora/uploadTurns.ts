/**
 * When an upload may go on. While steps run, an adapter comes in between them: after each submitted step a piece at least,
 * and then as many as a tenth of a step's time allows, so that a large adapter makes the running sequences a little slower
 * for a while and none of them stop. While none runs there is nothing to spare, but the host gets its turn now and then.
 */

/** Of a step's time, what uploads may take. */
const SHARE = 0.1
/** Most bytes between two steps, however long these are: what is staged at once is bounded by it. */
const MOST_BYTES = 16 * 1024 * 1024
/** A write while steps run: large enough to make its cost small, small enough to be a small part of a step. */
const BUSY_PIECE_BYTES = 256 * 1024
/** Longest time, and most bytes in one write, between two turns of the host while no step runs. */
const IDLE_MS = 4
const IDLE_PIECE_BYTES = 4 * 1024 * 1024
/** Weight of the newest step in the mean. */
const NEWEST = 0.2

export interface UploadTurnsPort {
  /** In ms. */
  now(): number
  /** Lets everything else have its turn. */
  pause(): Promise<void>
}

export class UploadTurns {
  readonly #port: UploadTurnsPort
  #numInFlight = 0
  #submittedAt = 0
  /** Mean time from one submission to the next while steps follow each other, in ms. */
  #stepMs = 0
  /** What was used since the last step, or the last pause. */
  #usedBytes = 0
  #usedMs = 0
  /** When the work that goes on now began. */
  #begunAt = 0
  /** Ends the wait for the next step. */
  #goOn: (() => void) | null = null

  constructor(port: UploadTurnsPort) {
    this.#port = port
  }

  /** A step was submitted. Call what comes back once, when its result is there or is not going to be. */
  stepSubmitted(): () => void {
    const now = this.#port.now()
    if (this.#numInFlight > 0) {
      const since = now - this.#submittedAt
      this.#stepMs = this.#stepMs === 0 ? since : this.#stepMs + NEWEST * (since - this.#stepMs)
    }
    this.#submittedAt = now
    this.#numInFlight++
    this.#newTurn()
    return () => {
      this.#numInFlight--
      if (this.#numInFlight === 0) this.#newTurn()
    }
  }

  /** Most bytes of the next write. */
  get pieceBytes(): number {
    return this.#numInFlight > 0 ? BUSY_PIECE_BYTES : IDLE_PIECE_BYTES
  }

  /** The first piece of work may begin. */
  begin(): void {
    this.#begunAt = this.#port.now()
  }

  /** A piece of so many bytes has been done. Resolves when the next may be. */
  async next(bytes: number): Promise<void> {
    this.#usedBytes += bytes
    this.#usedMs += this.#port.now() - this.#begunAt
    if (this.#numInFlight === 0) {
      if (this.#usedBytes >= MOST_BYTES || this.#usedMs >= IDLE_MS) {
        await this.#port.pause()
        this.#newTurn()
      }
    } else if (this.#usedBytes >= MOST_BYTES || this.#usedMs >= SHARE * this.#stepMs) {
      await new Promise<void>((resolve) => {
        this.#goOn = resolve
      })
    }
    this.begin()
  }

  #newTurn(): void {
    this.#usedBytes = 0
    this.#usedMs = 0
    this.#goOn?.()
    this.#goOn = null
  }
}
