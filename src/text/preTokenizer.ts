/**
 * Splits text into the pieces that BPE works on, exactly as the Rust tokenizers do. The library's own pre-tokenizers
 * differ where JavaScript's `\s`, `\d` and `\w` differ from Unicode's (a no-break BOM, Arabic digits, NEL), and in
 * how a match joins its neighbours; SmolLM, GPT-2 and Gemma all meet one of those. Its translation of Oniguruma
 * patterns is right and is used here.
 */
import { SplitPreTokenizer } from '@huggingface/tokenizers'
import { byteCharacters } from './byteLevel.ts'
import { TokenizerError } from './errors.ts'
import { isJson, type Json, show } from './tokenizerJson.ts'

/** A text to its pieces; `first` is true for the piece that starts the input. */
export type PreTokenizer = (text: string, first: boolean) => string[]

/** How a match of the pattern ends up in the pieces. */
type Behavior = 'Isolated' | 'Removed' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous'

const BEHAVIORS: readonly string[] = ['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu

/** Throws TokenizerError naming the field for a step that is malformed or not implemented. */
export function createPreTokenizer(json: Json | null): PreTokenizer {
  return json === null ? (text) => [text] : build(json, 'pre_tokenizer')
}

function build(json: Json, field: string): PreTokenizer {
  switch (json.type) {
    case 'Sequence':
      return sequence(json, field)
    case 'Split':
      return splitter(pattern(json.pattern, `${field}.pattern`), behavior(json, field), json.invert === true)
    case 'ByteLevel':
      return byteLevel(json)
    case 'Metaspace':
      return metaspace(json, field)
    case 'Digits':
      return splitter(/\p{N}/gu, json.individual_digits === true ? 'Isolated' : 'Contiguous')
    case 'Punctuation':
      return splitter(PUNCTUATION, json.behavior === undefined ? 'Isolated' : behavior(json, field))
    case 'Whitespace':
      return splitter(translate({ Regex: '\\w+|[^\\w\\s]+' }, field), 'Removed', true)
    case 'WhitespaceSplit':
      return splitter(/\p{White_Space}/gu, 'Removed')
    default:
      throw new TokenizerError('tokenizer.json', `${field}.type`, `is ${show(json.type)}, which is not implemented`)
  }
}

function sequence(json: Json, field: string): PreTokenizer {
  const { pretokenizers } = json
  if (!Array.isArray(pretokenizers)) {
    throw new TokenizerError('tokenizer.json', `${field}.pretokenizers`, 'must be an array')
  }
  const steps = pretokenizers.map((step, i) => {
    const name = `${field}.pretokenizers[${i}]`
    if (!isJson(step)) throw new TokenizerError('tokenizer.json', name, 'must be an object')
    return build(step, name)
  })
  return (text, first) =>
    steps.reduce((pieces, step) => pieces.flatMap((piece, i) => step(piece, first && i === 0)), [text])
}

function byteLevel(json: Json): PreTokenizer {
  const prefixed = json.add_prefix_space !== false
  const words = json.use_regex === false ? null : splitter(translate({ Regex: GPT2_WORDS }, 'use_regex'), 'Isolated')
  return (text, first) => {
    const whole = prefixed && !text.startsWith(' ') ? ` ${text}` : text
    return (words?.(whole, first) ?? [whole]).map(byteCharacters)
  }
}

function metaspace(json: Json, field: string): PreTokenizer {
  const mark = json.replacement ?? '▁'
  if (typeof mark !== 'string' || [...mark].length !== 1) {
    throw new TokenizerError('tokenizer.json', `${field}.replacement`, `is ${show(mark)}, not one character`)
  }
  const legacy = json.add_prefix_space === false ? 'never' : 'always'
  const scheme = json.prepend_scheme ?? legacy
  const split = json.split === false ? null : splitter(translate({ String: mark }, field), 'MergedWithNext')
  return (text, first) => {
    const marked = text.replaceAll(' ', mark)
    const prepend = !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && first))
    const whole = prepend ? mark + marked : marked
    return split?.(whole, first) ?? [whole]
  }
}

function behavior(json: Json, field: string): Behavior {
  const name = json.behavior
  const found = BEHAVIORS.find((known) => known.toLowerCase() === String(name).toLowerCase())
  if (found === undefined) throw new TokenizerError('tokenizer.json', `${field}.behavior`, `is ${show(name)}`)
  return found as Behavior
}

function pattern(json: unknown, field: string): RegExp {
  if (!isJson(json) || (typeof json.Regex !== 'string' && typeof json.String !== 'string')) {
    throw new TokenizerError('tokenizer.json', field, 'must be {"String": ...} or {"Regex": ...}')
  }
  if (json.String === '') throw new TokenizerError('tokenizer.json', field, 'must not be empty')
  return translate(json as { Regex: string } | { String: string }, field)
}

/** Oniguruma's syntax to JavaScript's, global and Unicode. */
function translate(source: { readonly Regex: string } | { readonly String: string }, field: string): RegExp {
  try {
    const made = new SplitPreTokenizer({ type: 'Split', pattern: source, behavior: 'Isolated', invert: true } as never)
    if (made.pattern !== null) return made.pattern
  } catch (error) {
    throw new TokenizerError('tokenizer.json', field, `is not a pattern JavaScript can run: ${String(error)}`)
  }
  throw new TokenizerError('tokenizer.json', field, 'is not a pattern')
}

/** The five ways a Split treats its matches; `invert` swaps what matches and what lies between. */
function splitter(regex: RegExp, how: Behavior, invert = false): PreTokenizer {
  return (text) => {
    const spans: { text: string; match: boolean }[] = []
    let end = 0
    for (const found of text.matchAll(regex)) {
      if (found[0] === '') continue
      if (found.index > end) spans.push({ text: text.slice(end, found.index), match: invert })
      end = found.index + found[0].length
      spans.push({ text: found[0], match: !invert })
    }
    if (end < text.length) spans.push({ text: text.slice(end), match: invert })
    return join(spans, how)
  }
}

function join(spans: readonly { readonly text: string; readonly match: boolean }[], how: Behavior): string[] {
  if (how === 'Isolated') return spans.map((span) => span.text)
  if (how === 'Removed') return spans.filter((span) => !span.match).map((span) => span.text)
  const pieces: string[] = []
  for (const [i, span] of spans.entries()) {
    const before = spans[i - 1]
    const glued =
      before !== undefined &&
      (how === 'Contiguous'
        ? span.match === before.match
        : how === 'MergedWithPrevious'
          ? span.match && !before.match
          : !span.match && before.match)
    if (glued) pieces[pieces.length - 1] += span.text
    else pieces.push(span.text)
  }
  return pieces
}
