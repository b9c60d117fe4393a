/**
 * What a token's bytes are. Every decoder of the models lorikeet runs (byte-level, SentencePiece with byte fallback,
 * Metaspace) comes down to a fixed byte string per token plus a rule for the start of the text, so decoding is joining
 * bytes. That is what makes streaming exact and cheap: no text is ever decoded twice, and a character that spans
 * tokens simply has not all of its bytes yet.
 */
import { characterBytes } from './byteLevel.ts'
import { TokenizerError } from './errors.ts'
import { isJson, type Json, show } from './tokenizerJson.ts'

/** Bytes of tokens, and what is dropped where a text starts. */
export interface Decoder {
  /** Bytes of one token, trained or added, in the middle of a text. */
  bytes(token: string): Uint8Array
  readonly start: StartRule
}

/**
 * `keep`: nothing is dropped. `strip`: up to `count` leading bytes equal to `byte` are dropped from the whole text.
 * `firstToken`: every space of the first token is dropped (Metaspace's mark, whichever token it comes in).
 * `separate`: no decoder at all; tokens are words with a space between them.
 */
export type StartRule =
  | { readonly kind: 'keep' | 'firstToken' | 'separate' }
  | { readonly kind: 'strip'; readonly byte: number; readonly count: number }

/** A token on its way: text, or the byte it stands for. */
type Piece = string | number
type Step = (piece: string) => Piece

const KEEP: StartRule = { kind: 'keep' }
const SPACE = 0x20
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/

/** Throws TokenizerError naming the field for a decoder that is malformed or cannot be streamed. */
export function createDecoder(json: Json | null): Decoder {
  if (json === null) return { bytes: utf8, start: { kind: 'separate' } }
  if (json.type === 'ByteLevel') return { bytes: (token) => characterBytes(token) ?? utf8(token), start: KEEP }
  const steps = json.type === 'Sequence' ? decoders(json) : [json]
  const perToken: Step[] = []
  let start = KEEP
  let fused = false
  for (const [i, step] of steps.entries()) {
    const field = json.type === 'Sequence' ? `decoder.decoders[${i}]` : 'decoder'
    if (step.type === 'Fuse') fused = true
    else if (fused && step.type === 'Strip') start = stripRule(step, field)
    else if (fused) throw refuse(field, `is ${show(step.type)} after Fuse, which cannot be streamed`)
    else if (step.type === 'ByteLevel' && steps.length === 1) return createDecoder(step)
    else {
      if (step.type === 'Metaspace' && step.prepend_scheme !== 'never') start = { kind: 'firstToken' }
      perToken.push(tokenStep(step, field))
    }
  }
  const bytes = (token: string): Uint8Array => {
    let piece: Piece = token
    for (const step of perToken) {
      if (typeof piece === 'number') break
      piece = step(piece)
    }
    return typeof piece === 'number' ? Uint8Array.of(piece) : utf8(piece)
  }
  return { bytes, start }
}

/** UTF-8 of a string. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/**
 * Applies a StartRule to the tokens of one text as they come. `take` returns what is left of a token's bytes;
 * a view of the argument, never a copy, except where words are separated.
 */
export class TextStart {
  readonly #rule: StartRule
  #first = true
  #toStrip: number

  constructor(rule: StartRule) {
    this.#rule = rule
    this.#toStrip = rule.kind === 'strip' ? rule.count : 0
  }

  take(bytes: Uint8Array): Uint8Array {
    const first = this.#first
    this.#first = false
    switch (this.#rule.kind) {
      case 'keep':
        return bytes
      case 'firstToken':
        return first ? bytes.filter((byte) => byte !== SPACE) : bytes
      case 'separate':
        return first ? bytes : Uint8Array.of(SPACE, ...bytes)
      case 'strip':
        return this.#strip(bytes, this.#rule.byte)
    }
  }

  #strip(bytes: Uint8Array, byte: number): Uint8Array {
    let from = 0
    while (from < bytes.length && this.#toStrip > 0) {
      if (bytes[from] === byte) {
        from++
        this.#toStrip--
      } else this.#toStrip = 0
    }
    return from === 0 ? bytes : bytes.subarray(from)
  }
}

function decoders(json: Json): Json[] {
  if (!Array.isArray(json.decoders)) throw refuse('decoder.decoders', 'must be an array')
  return json.decoders.map((step, i) => {
    if (!isJson(step)) throw refuse(`decoder.decoders[${i}]`, 'must be an object')
    return step
  })
}

function tokenStep(json: Json, field: string): Step {
  switch (json.type) {
    case 'Replace':
      return replace(json, field)
    case 'ByteFallback':
      return (token) => {
        const hex = BYTE_TOKEN.exec(token)?.[1]
        return hex === undefined ? token : Number.parseInt(hex, 16)
      }
    case 'Metaspace': {
      const mark = json.replacement ?? '▁'
      if (typeof mark !== 'string' || mark === '') throw refuse(`${field}.replacement`, `is ${show(mark)}`)
      return (token) => token.replaceAll(mark, ' ')
    }
    default:
      throw refuse(`${field}.type`, `is ${show(json.type)}, which is not implemented`)
  }
}

function replace(json: Json, field: string): Step {
  const { content, pattern } = json
  const from = isJson(pattern) ? pattern.String : undefined
  if (typeof from !== 'string' || from === '' || typeof content !== 'string') {
    throw refuse(field, 'must replace a {"String": ...} pattern by a string')
  }
  return (token) => token.replaceAll(from, () => content)
}

function stripRule(json: Json, field: string): StartRule {
  const { content, start, stop } = json
  const byte = typeof content === 'string' && content.length === 1 ? content.charCodeAt(0) : 0x80
  if (byte >= 0x80) throw refuse(`${field}.content`, `is ${show(content)}, not one ASCII character`)
  if (!Number.isInteger(start) || (start as number) < 0)
    throw refuse(`${field}.start`, `is ${show(start)}, not a count`)
  if (stop !== 0) throw refuse(`${field}.stop`, `is ${show(stop)}; the end of a stream is not known, so it must be 0`)
  return { kind: 'strip', byte, count: start as number }
}

function refuse(field: string, problem: string): TokenizerError {
  return new TokenizerError('tokenizer.json', field, problem)
}
