/**
 * Checks a model's tokenizer files before anything is built from them, so that a malformed one is refused by name
 * instead of failing (or looping) somewhere inside the tokenizer, and merges what the three files say about added and
 * special tokens the way transformers does: tokenizer.json first, then what tokenizer_config.json adds to it.
 */
import { TokenizerError } from './errors.ts'

/** Parsed JSON of a model folder. */
export interface TokenizerFiles {
  readonly tokenizerJson: unknown
  readonly tokenizerConfig?: unknown
  readonly specialTokensMap?: unknown
}

/** A token outside the trained vocabulary: matched in the text before anything else. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  readonly normalized: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  readonly single_word: boolean
}

/** A JSON object; what is in it is still unknown. */
export type Json = Readonly<Record<string, unknown>>

/** tokenizer.json once checked. */
export interface TokenizerSpec {
  readonly model: Json
  readonly normalizer: Json | null
  readonly preTokenizer: Json | null
  readonly postProcessor: Json | null
  readonly decoder: Json | null
  readonly added: readonly AddedToken[]
  readonly byteFallback: boolean
  /** Contents of the named special tokens, as far as the files give them. */
  readonly bosToken: string | null
  readonly eosToken: string | null
}

const TOKENIZER = 'tokenizer.json'
const CONFIG = 'tokenizer_config.json'
const SPECIALS = 'special_tokens_map.json'
/** Far above any vocabulary; keeps a lying id from sizing a table. */
const MAX_ID = 1 << 24
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'] as const

/** True for a plain JSON object, narrowing it. */
export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Throws TokenizerError naming file and field. */
export function checkTokenizerFiles(files: TokenizerFiles): TokenizerSpec {
  const json = files.tokenizerJson
  if (!isJson(json)) throw new TokenizerError(TOKENIZER, null, 'must be a JSON object')
  const model = json.model
  if (!isJson(model)) throw new TokenizerError(TOKENIZER, 'model', 'must be an object')
  const trainedId = checkModel(model)
  const config = optionalObject(files.tokenizerConfig, CONFIG)
  const specials = optionalObject(files.specialTokensMap, SPECIALS)
  const named = (key: string): string | null =>
    tokenContent(config, key, CONFIG) ?? tokenContent(specials, key, SPECIALS)

  const added = new Map<string, AddedToken>()
  for (const token of checkAdded(json.added_tokens)) added.set(token.content, token)
  for (const token of checkAddedDecoder(config.added_tokens_decoder)) {
    if (!added.has(token.content)) added.set(token.content, token)
  }
  for (const content of NAMED.map(named)) {
    const id = content === null ? undefined : trainedId(content)
    if (content !== null && id !== undefined && !added.has(content)) added.set(content, specialToken(id, content))
  }
  return {
    model,
    normalizer: step(json, 'normalizer'),
    preTokenizer: step(json, 'pre_tokenizer'),
    postProcessor: step(json, 'post_processor'),
    decoder: step(json, 'decoder'),
    added: [...added.values()],
    byteFallback: model.byte_fallback === true,
    bosToken: named('bos_token'),
    eosToken: named('eos_token'),
  }
}

/** The id of a token of the trained vocabulary. */
type Lookup = (token: string) => number | undefined

/** Checks model.type, model.vocab and model.merges. Vocabularies are large: each entry is looked at once, nothing is copied. */
function checkModel(model: Json): Lookup {
  const kind = model.type ?? (Array.isArray(model.vocab) ? 'Unigram' : 'merges' in model ? 'BPE' : undefined)
  if (kind !== 'BPE' && kind !== 'Unigram') {
    throw new TokenizerError(TOKENIZER, 'model.type', `is ${show(kind)}; lorikeet reads BPE and Unigram tokenizers`)
  }
  if (typeof model.dropout === 'number' && model.dropout > 0) {
    throw new TokenizerError(TOKENIZER, 'model.dropout', 'must be null: dropout is for training a tokenizer')
  }
  const prefix = model.continuing_subword_prefix
  if (typeof prefix === 'string' && prefix !== '') {
    throw new TokenizerError(
      TOKENIZER,
      'model.continuing_subword_prefix',
      `is ${show(prefix)}, which is not implemented`,
    )
  }
  return kind === 'BPE' ? checkBpe(model) : checkUnigram(model)
}

function checkBpe(model: Json): Lookup {
  const { vocab, merges, unk_token } = model
  if (!isJson(vocab)) throw new TokenizerError(TOKENIZER, 'model.vocab', 'must be an object of token to id')
  const owner: string[] = []
  for (const token of Object.keys(vocab)) {
    const id = vocab[token]
    if (!isId(id)) {
      throw new TokenizerError(TOKENIZER, vocabField(token), `is ${show(id)}; an id is an integer from 0 to ${MAX_ID}`)
    }
    const other = owner[id]
    if (other !== undefined) {
      throw new TokenizerError(TOKENIZER, vocabField(token), `has id ${id}, which ${show(other)} has too`)
    }
    owner[id] = token
  }
  if (!Array.isArray(merges)) throw new TokenizerError(TOKENIZER, 'model.merges', 'must be an array')
  const isMerge = Array.isArray(merges[0]) ? isPair : isSpaced
  const wrong = merges.findIndex((merge) => !isMerge(merge))
  if (wrong !== -1) {
    throw new TokenizerError(TOKENIZER, `model.merges[${wrong}]`, `is ${show(merges[wrong])}, not a pair of tokens`)
  }
  const lookup: Lookup = (token) => (Object.hasOwn(vocab, token) ? (vocab[token] as number) : undefined)
  if (
    unk_token !== null &&
    unk_token !== undefined &&
    !(typeof unk_token === 'string' && lookup(unk_token) !== undefined)
  ) {
    throw new TokenizerError(TOKENIZER, 'model.unk_token', `is ${show(unk_token)}, which is not in the vocabulary`)
  }
  return lookup
}

function isPair(merge: unknown): boolean {
  return Array.isArray(merge) && merge.length === 2 && typeof merge[0] === 'string' && typeof merge[1] === 'string'
}

/** The older way of writing a pair: one text with one space in it. */
function isSpaced(merge: unknown): boolean {
  if (typeof merge !== 'string') return false
  const at = merge.indexOf(' ')
  return at !== -1 && merge.indexOf(' ', at + 1) === -1
}

function vocabField(token: string): string {
  return `model.vocab[${show(token)}]`
}

function checkUnigram(model: Json): Lookup {
  const { vocab, unk_id } = model
  if (!Array.isArray(vocab) || vocab.length === 0) {
    throw new TokenizerError(TOKENIZER, 'model.vocab', 'must be a non-empty array of [token, score]')
  }
  for (const [i, entry] of vocab.entries()) {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || !Number.isFinite(entry[1])) {
      throw new TokenizerError(TOKENIZER, `model.vocab[${i}]`, `is ${show(entry)}, not [token, score]`)
    }
  }
  if (!isId(unk_id) || unk_id >= vocab.length) {
    throw new TokenizerError(TOKENIZER, 'model.unk_id', `is ${show(unk_id)}, which is not in the vocabulary`)
  }
  return (token) => {
    const id = vocab.findIndex((entry) => entry[0] === token)
    return id === -1 ? undefined : id
  }
}

function checkAdded(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new TokenizerError(TOKENIZER, 'added_tokens', 'must be an array')
  return value.map((entry, i) =>
    addedToken(entry, isJson(entry) ? entry.id : undefined, TOKENIZER, `added_tokens[${i}]`),
  )
}

function checkAddedDecoder(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return []
  if (!isJson(value)) throw new TokenizerError(CONFIG, 'added_tokens_decoder', 'must be an object of id to token')
  return Object.entries(value).map(([id, entry]) =>
    addedToken(entry, Number(id), CONFIG, `added_tokens_decoder[${show(id)}]`),
  )
}

function addedToken(entry: unknown, id: unknown, file: string, field: string): AddedToken {
  if (!isJson(entry)) throw new TokenizerError(file, field, 'must be an object')
  const { content } = entry
  if (typeof content !== 'string') throw new TokenizerError(file, `${field}.content`, 'must be a string')
  if (!isId(id)) throw new TokenizerError(file, field, `has id ${show(id)}; an id is an integer from 0 to ${MAX_ID}`)
  const special = entry.special === true
  return {
    id,
    content,
    special,
    normalized: typeof entry.normalized === 'boolean' ? entry.normalized : !special,
    lstrip: entry.lstrip === true,
    rstrip: entry.rstrip === true,
    single_word: entry.single_word === true,
  }
}

function specialToken(id: number, content: string): AddedToken {
  return { id, content, special: true, normalized: false, lstrip: false, rstrip: false, single_word: false }
}

/** A processing step: null, or an object with a type. */
function step(json: Json, field: string): Json | null {
  const value = json[field]
  if (value === undefined || value === null) return null
  if (!isJson(value) || typeof value.type !== 'string') {
    throw new TokenizerError(TOKENIZER, field, 'must be null or an object with a type')
  }
  return value
}

function optionalObject(value: unknown, file: string): Json {
  if (value === undefined || value === null) return {}
  if (!isJson(value)) throw new TokenizerError(file, null, 'must be a JSON object')
  return value
}

/** A named special token is written as a string or as an added-token object. */
function tokenContent(file: Json, key: string, name: string): string | null {
  const value = file[key]
  if (value === undefined || value === null) return null
  const content = isJson(value) ? value.content : value
  if (typeof content !== 'string') throw new TokenizerError(name, key, 'must be a string or an object with content')
  return content
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID
}

/** A value as an error message shows it: JSON, cut to one short line. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
