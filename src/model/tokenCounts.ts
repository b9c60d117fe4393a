/**
 * Which tokens a sequence has seen, for penalties. The counts live on the device, because the tokens do: with steps
 * submitted ahead of the readback, a token is drawn, counted and penalised before the CPU knows it. A sequence gets a slot
 * and one write of its tokens so far when it first draws under penalties, and again when it draws at another position than
 * the one after its last draw (it was preempted and computed again); in between the sampler counts what it draws.
 */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'

/** Bit of a count that says the prompt holds the token; the others count the tokens generated. */
const IN_PROMPT = 0x80000000

/** A sequence, as far as penalties are concerned. Its identity is the object's. */
export interface TokenHistory {
  /** Prompt and answer, at least as far as needed to begin anew: up to the position of a draw that follows no other. */
  readonly tokens: readonly number[]
  readonly numPrompt: number
  /** False once it has ended or was preempted: its slot may be given away. */
  readonly isRunning: boolean
}

export class TokenCounts {
  /** u32 [slots, vocabSize]. */
  readonly buffer: Tracked
  readonly #gpu: Gpu
  readonly #numSlots: number
  /** One row of the buffer; all zero between uses. */
  readonly #row: Uint32Array<ArrayBuffer>
  readonly #held = new Map<TokenHistory, { readonly slot: number; numCounted: number }>()

  private constructor(gpu: Gpu, buffer: Tracked, vocabSize: number, numSlots: number) {
    this.#gpu = gpu
    this.buffer = buffer
    this.#numSlots = numSlots
    this.#row = new Uint32Array(vocabSize)
  }

  /** @param numSlots at least as many as sequences run at once. @throws GpuOutOfMemoryError, GpuLimitError */
  static async create(gpu: Gpu, vocabSize: number, numSlots: number): Promise<TokenCounts> {
    const byteLength = numSlots * vocabSize * 4
    const buffer = await gpu.allocate({ label: 'token counts', purpose: 'activations', byteLength })
    return new TokenCounts(gpu, buffer, vocabSize, numSlots)
  }

  /** The slot that counts the first `position` tokens of `history`, for the draw of the token at `position`. */
  slotFor(history: TokenHistory, position: number): number {
    const known = this.#held.get(history)
    const isCounted = known?.numCounted === position
    invariant(isCounted || history.tokens.length >= position, `The tokens before ${position} are not all known`)
    const held = known ?? { slot: this.#freeSlot(), numCounted: 0 }
    if (!isCounted) this.#write(held.slot, history, position)
    held.numCounted = position + 1
    this.#held.set(history, held)
    return held.slot
  }

  close(): void {
    this.buffer.destroy()
  }

  /** Writes of later steps come after the steps before, so a slot can be given away while those are on their way. */
  #freeSlot(): number {
    if (this.#held.size < this.#numSlots) return this.#held.size
    for (const [history, { slot }] of this.#held) {
      if (history.isRunning) continue
      this.#held.delete(history)
      return slot
    }
    invariant(false, 'More sequences run under penalties than there are slots')
  }

  #write(slot: number, { tokens, numPrompt }: TokenHistory, position: number): void {
    const row = this.#row
    for (let i = 0; i < position; i++) {
      const id = tokens[i]!
      if (i < numPrompt) row[id]! |= IN_PROMPT
      else row[id]! += 1
    }
    this.#gpu.write(this.buffer, slot * row.byteLength, row)
    for (let i = 0; i < position; i++) row[tokens[i]!] = 0
  }
}
