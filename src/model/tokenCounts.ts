/**
 * Which tokens a sequence has seen, for penalties. The counts live on the device, because the tokens do: with steps
 * submitted ahead of the readback, a token is drawn, counted and penalised before the CPU knows it. A sequence has the slot
 * of its register. That gets one write of its tokens so far when it first draws under penalties there, and again when it
 * draws at another position than the one after its last draw (it was preempted and computed again); in between the sampler
 * counts what it draws.
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
}

/** Whose tokens a slot counts, and how many. */
interface Held {
  readonly history: TokenHistory
  readonly numCounted: number
}

export class TokenCounts {
  /** u32 [slots, vocabSize]. */
  readonly buffer: Tracked
  readonly #gpu: Gpu
  /** One row of the buffer; all zero between uses. */
  readonly #row: Uint32Array<ArrayBuffer>
  /** By slot. */
  readonly #held: (Held | undefined)[] = []

  private constructor(gpu: Gpu, buffer: Tracked, vocabSize: number) {
    this.#gpu = gpu
    this.buffer = buffer
    this.#row = new Uint32Array(vocabSize)
  }

  /** @param numSlots as many as there are registers. @throws GpuOutOfMemoryError, GpuLimitError */
  static async create(gpu: Gpu, vocabSize: number, numSlots: number): Promise<TokenCounts> {
    const byteLength = numSlots * vocabSize * 4
    const buffer = await gpu.allocate({ label: 'token counts', purpose: 'activations', byteLength })
    return new TokenCounts(gpu, buffer, vocabSize)
  }

  /**
   * Makes `slot` count the first `position` tokens of `history`, for the draw of the token at `position`. A write comes
   * after the steps before it, so a slot may change its owner while those are on their way.
   */
  prepare(slot: number, history: TokenHistory, position: number): void {
    const held = this.#held[slot]
    const isCounted = held?.history === history && held.numCounted === position
    invariant(isCounted || history.tokens.length >= position, `The tokens before ${position} are not all known`)
    if (!isCounted) this.#write(slot, history, position)
    this.#held[slot] = { history, numCounted: position + 1 }
  }

  close(): void {
    this.buffer.destroy()
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
