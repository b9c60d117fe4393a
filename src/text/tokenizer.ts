/**
 * A model's own tokenizer. Encoding is @huggingface/tokenizers with the pre-tokenizer replaced (see preTokenizer.ts);
 * decoding is ours, byte for byte, so that a stream and a whole text come out the same.
 */
import { Tokenizer as Encoder } from '@huggingface/tokenizers'
import { createDecoder, type Decoder, type StartRule, TextStart, utf8 } from './decoder.ts'
import { Detokenizer, type DetokenizerOptions, type TokenTable } from './detokenizer.ts'
import { TokenizerError } from './errors.ts'
import { createPreTokenizer } from './preTokenizer.ts'
import { checkTokenizerFiles, type TokenizerFiles, type TokenizerSpec } from './tokenizerJson.ts'

const NO_BYTES = new Uint8Array(0)
const LONE_SURROGATE = /\p{Surrogate}/gu

/** Text to ids and back. Immutable; one serves all requests. */
export class Tokenizer implements TokenTable {
  /** Highest id plus one, added tokens included. A model's embedding may have more rows than this. */
  readonly vocabSize: number
  /** Characters of the longest token: a text makes at least its own length over this many tokens. */
  readonly maxTokenLength: number
  /** Ids left out by `skipSpecialTokens`. */
  readonly specialIds: ReadonlySet<number>
  /** As a chat template wants it; null if the model names none. */
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly #encoder: Encoder
  readonly #decoder: Decoder
  readonly #byteFallback: boolean
  readonly #bytes = new Map<number, Uint8Array>()

  /** Takes the parsed files of a model folder. Throws TokenizerError naming the file and the field. */
  static load(files: TokenizerFiles): Tokenizer {
    const spec = checkTokenizerFiles(files)
    const tokenizer = new Tokenizer(spec, createEncoder(spec))
    try {
      tokenizer.encode('a')
    } catch (error) {
      throw new TokenizerError('tokenizer.json', null, `cannot encode: ${String(error)}`, { cause: error })
    }
    return tokenizer
  }

  private constructor(spec: TokenizerSpec, encoder: Encoder) {
    this.#encoder = encoder
    this.#decoder = createDecoder(spec.decoder)
    this.#byteFallback = spec.byteFallback && spec.model.type === 'Unigram'
    this.specialIds = new Set(spec.added.filter((token) => token.special).map((token) => token.id))
    this.bosToken = spec.bosToken
    this.eosToken = spec.eosToken
    const vocab: readonly (string | undefined)[] = encoder.model?.vocab ?? []
    this.vocabSize = vocab.length
    this.maxTokenLength = vocab.reduce((longest, token) => Math.max(longest, token?.length ?? 0), 1)
  }

  get bosTokenId(): number | null {
    return this.bosToken === null ? null : this.tokenId(this.bosToken)
  }

  get eosTokenId(): number | null {
    return this.eosToken === null ? null : this.tokenId(this.eosToken)
  }

  /** Where a text starts some bytes are dropped: see decoder.ts. */
  get startRule(): StartRule {
    return this.#decoder.start
  }

  /**
   * Ids of `text`. Special tokens written out in the text are recognised. `addSpecialTokens` (default true) adds what
   * the model's post-processor adds, usually a leading bos; leave it off for a rendered chat template, which has its own.
   * A lone surrogate is read as U+FFFD.
   */
  encode(text: string, options: { readonly addSpecialTokens?: boolean } = {}): number[] {
    const { ids, tokens } = this.#encoder.encode(text.replace(LONE_SURROGATE, '\ufffd'), {
      add_special_tokens: options.addSpecialTokens ?? true,
    })
    const whole = this.#byteFallback ? ids.flatMap((id, i) => this.#fallBack(tokens[i]!) ?? [id]) : ids
    if (!whole.every(Number.isInteger)) {
      const at = whole.findIndex((id) => !Number.isInteger(id))
      throw new TokenizerError('tokenizer.json', 'model.vocab', `has no token ${JSON.stringify(tokens[at])}`)
    }
    return whole
  }

  /** Text of `ids`; ids that stand for no token are left out. `skipSpecialTokens` defaults to false. */
  decode(ids: readonly number[], options: { readonly skipSpecialTokens?: boolean } = {}): string {
    const start = new TextStart(this.startRule)
    const parts: Uint8Array[] = []
    let length = 0
    for (const id of ids) {
      if (options.skipSpecialTokens === true && this.isSpecial(id)) continue
      const bytes = this.tokenBytes(id)
      if (bytes.length === 0) continue
      const part = start.take(bytes)
      parts.push(part)
      length += part.length
    }
    const all = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return lossyText(all)
  }

  /** A streaming decoder over this vocabulary. */
  detokenizer(options: DetokenizerOptions): Detokenizer {
    return new Detokenizer(this, options)
  }

  /**
   * One token as logprobs show it: its text (U+FFFD where it is part of a character) and its own bytes. The bytes of
   * consecutive tokens, joined, are the bytes of the text.
   */
  tokenText(id: number): { readonly text: string; readonly bytes: readonly number[] } {
    const bytes = this.tokenBytes(id)
    return { text: lossyText(bytes), bytes: [...bytes] }
  }

  /** Bytes of a token in the middle of a text; empty for an id that stands for no token. Do not write to them. */
  tokenBytes(id: number): Uint8Array {
    const known = this.#bytes.get(id)
    if (known !== undefined) return known
    const token = this.#encoder.id_to_token(id)
    if (token === undefined) return NO_BYTES
    const bytes = this.#decoder.bytes(token)
    this.#bytes.set(id, bytes)
    return bytes
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id)
  }

  /** Id of a token given by its content, e.g. `<|im_end|>`; null if there is none. */
  tokenId(content: string): number | null {
    return this.#encoder.token_to_id(content) ?? null
  }

  /** Unigram with byte fallback: the byte tokens of a piece the vocabulary does not have, if it has all of them. */
  #fallBack(piece: string): number[] | null {
    if (this.#encoder.token_to_id(piece) !== undefined) return null
    const ids = Array.from(utf8(piece), (byte) =>
      this.#encoder.token_to_id(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    )
    return ids.every((id) => id !== undefined) ? (ids as number[]) : null
  }
}

function createEncoder(spec: TokenizerSpec): Encoder {
  const preTokenizer = createPreTokenizer(spec.preTokenizer)
  try {
    const encoder = new Encoder(
      {
        model: spec.model,
        normalizer: spec.normalizer,
        pre_tokenizer: null,
        post_processor: spec.postProcessor,
        decoder: null,
        added_tokens: spec.added,
      },
      {},
    )
    // The library calls it with the index of the section between added tokens; only the first starts the text.
    const split = (text: string, options: { section_index?: number }) => preTokenizer(text, options.section_index === 0)
    encoder.pre_tokenizer = split as unknown as NonNullable<Encoder['pre_tokenizer']>
    return encoder
  } catch (error) {
    throw new TokenizerError('tokenizer.json', null, `cannot be used: ${String(error)}`, { cause: error })
  }
}

/** UTF-8 with U+FFFD for what is not a character; a byte order mark is text like any other. */
function lossyText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}
