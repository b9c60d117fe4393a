/**
 * Token ids to text, as they come. A character is given out once its last byte is there and never before; joined,
 * the pieces are exactly what decoding all ids at once gives. Each token costs its own bytes and nothing more.
 */
import { type StartRule, TextStart } from './decoder.ts'

/** How a detokenizer treats what it is given. */
export interface DetokenizerOptions {
  /** Leave special tokens out of the text. */
  readonly skipSpecialTokens: boolean
  /**
   * Ids that precede the first push and are not part of the output: the prompt. With it the first word keeps its
   * leading space, and a character begun by the prompt's last token is completed. Leave it out to detokenize from
   * the start of a text, and for `echo` push the prompt's ids like any others.
   */
  readonly prompt?: readonly number[]
}

/** What a detokenizer has to know about a vocabulary; the Tokenizer provides it. */
export interface TokenTable {
  readonly startRule: StartRule
  isSpecial(id: number): boolean
  /** Bytes in the middle of a text; empty for an id that stands for no token. */
  tokenBytes(id: number): Uint8Array
}

/** The last bytes of a text decide which character is unfinished; no UTF-8 sequence has more of them than this. */
const TAIL_BYTES = 3

/** One text in the making. */
export class Detokenizer {
  readonly #table: TokenTable
  readonly #skipSpecial: boolean
  readonly #start: TextStart
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  constructor(table: TokenTable, options: DetokenizerOptions) {
    this.#table = table
    this.#skipSpecial = options.skipSpecialTokens
    this.#start = new TextStart(table.startRule)
    for (const token of this.#tail(options.prompt ?? [])) this.push(token)
  }

  /** The text that `token` completes: often a word, an empty string for a part of a character. */
  push(token: number): string {
    const bytes = this.#visible(token)
    return bytes === null ? '' : this.#utf8.decode(this.#start.take(bytes), { stream: true })
  }

  /** What is left when no token follows: U+FFFD if a character was never finished. Ends this text. */
  finish(): string {
    return this.#utf8.decode()
  }

  #visible(token: number): Uint8Array | null {
    if (this.#skipSpecial && this.#table.isSpecial(token)) return null
    const bytes = this.#table.tokenBytes(token)
    return bytes.length === 0 ? null : bytes
  }

  /** As many of the prompt's last tokens as decide what follows. */
  #tail(prompt: readonly number[]): readonly number[] {
    let bytes = 0
    let from = prompt.length
    while (from > 0 && bytes <= TAIL_BYTES) bytes += this.#visible(prompt[--from]!)?.length ?? 0
    return prompt.slice(from)
  }
}
