import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TokenizerError } from '../../src/text/errors.ts'
import { Tokenizer } from '../../src/text/tokenizer.ts'
import { cpuMs } from '../support/cpuTime.ts'
import { goldens, KINDS, readReference, referenceTokenizer } from './reference.ts'

describe.each(KINDS)('%s', (kind) => {
  const tokenizer = referenceTokenizer(kind)

  it('encodes and decodes every reference string as the Rust tokenizers do', () => {
    const rows = goldens(kind)
    expect(rows.length).toBe(90)
    for (const row of rows) {
      expect({
        text: row.text,
        ids: tokenizer.encode(row.text, { addSpecialTokens: false }),
        ids_with_special: tokenizer.encode(row.text),
        decoded: tokenizer.decode(row.ids),
        decoded_skip_special: tokenizer.decode(row.ids, { skipSpecialTokens: true }),
      }).toEqual(row)
    }
  })

  it('gives tokens whose bytes, joined, are the bytes of the text', () => {
    for (const { ids, decoded } of goldens(kind)) {
      const bytes = ids.flatMap((id) => tokenizer.tokenText(id).bytes)
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes))
      // SentencePiece texts start with a mark that decoding drops.
      expect(kind === 'llama2' ? text.replace(/^ /, '') : text).toBe(decoded)
    }
  })

  it('takes any text, lone surrogates included, and never gives an id outside the vocabulary', () => {
    const anyText = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) })
    fc.assert(
      fc.property(anyText, (text) => {
        for (const id of tokenizer.encode(text)) expect(id >= 0 && id < tokenizer.vocabSize).toBe(true)
      }),
      { seed: 7, numRuns: 200 },
    )
  })
})

describe.each(['llama3', 'smollm', 'llama2'])('%s', (kind) => {
  it('encodes long texts in bounded time', () => {
    const tokenizer = referenceTokenizer(kind)
    const mixed = goldens(kind).map((row) => row.text)
    const started = cpuMs()
    for (const text of ['x'.repeat(200_000), ' '.repeat(200_000), mixed.join('\n').repeat(50).slice(0, 100_000)]) {
      expect(tokenizer.encode(text).length).toBeGreaterThan(100)
    }
    // Linear work takes about a second here; quadratic work would take minutes.
    expect(cpuMs() - started).toBeLessThan(60_000)
  })
})

describe('decode', () => {
  const tokenizer = referenceTokenizer('llama3')

  it('is empty for no ids and leaves out ids that stand for no token', () => {
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.decode([tokenizer.vocabSize, 1_000_000, -1])).toBe('')
    expect(tokenizer.tokenText(1_000_000)).toEqual({ text: '', bytes: [] })
  })

  it('does not clean up spaces before punctuation', () => {
    expect(tokenizer.decode(tokenizer.encode("a ? b ! c , d 's", { addSpecialTokens: false }))).toBe("a ? b ! c , d 's")
  })

  it('keeps a byte order mark, also through byte fallback', () => {
    for (const kind of KINDS) {
      const one = referenceTokenizer(kind)
      expect(one.decode(one.encode('\ufeffBOM', { addSpecialTokens: false })).trimStart()).toBe('\ufeffBOM'.trimStart())
      expect(one.decode(one.encode('a\ufeff', { addSpecialTokens: false }))).toMatch(/a\ufeff$/)
    }
  })
})

describe('tokenText', () => {
  it('gives the raw bytes of a part of a character', () => {
    const tokenizer = referenceTokenizer('llama2')
    const parts = tokenizer.encode('😀', { addSpecialTokens: false }).map((id) => tokenizer.tokenText(id))
    expect(parts.slice(-4)).toEqual([0xf0, 0x9f, 0x98, 0x80].map((byte) => ({ text: '\ufffd', bytes: [byte] })))
  })

  it('keeps the space a word begins with', () => {
    const tokenizer = referenceTokenizer('llama2')
    const [the] = tokenizer.encode('the', { addSpecialTokens: false })
    expect(tokenizer.tokenText(the!)).toEqual({ text: ' the', bytes: [32, 116, 104, 101] })
  })
})

describe('special tokens', () => {
  const files = {
    tokenizerJson: readReference('models/llama-tiny/tokenizer.json'),
    tokenizerConfig: readReference('models/llama-tiny/tokenizer_config.json') as Record<string, unknown>,
    specialTokensMap: readReference('models/llama-tiny/special_tokens_map.json'),
  }

  it('come with content and id', () => {
    const tokenizer = Tokenizer.load(files)
    expect([tokenizer.bosToken, tokenizer.bosTokenId]).toEqual(['<|bos|>', 0])
    expect([tokenizer.eosToken, tokenizer.eosTokenId]).toEqual(['<|end|>', 6])
    expect([...tokenizer.specialIds].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(tokenizer.tokenId('<|user|>')).toBe(2)
    expect(tokenizer.tokenId('<|nobody|>')).toBeNull()
  })

  it('may be written as objects, or stand in special_tokens_map.json only', () => {
    const bos_token = { content: '<|bos|>', special: true }
    expect(Tokenizer.load({ ...files, tokenizerConfig: { bos_token } }).bosTokenId).toBe(0)
    expect(Tokenizer.load({ ...files, tokenizerConfig: undefined }).eosToken).toBe('<|end|>')
    const bare = Tokenizer.load({ tokenizerJson: files.tokenizerJson })
    expect([bare.bosToken, bare.bosTokenId, bare.eosTokenId]).toEqual([null, null, null])
  })

  it('that only tokenizer_config.json knows are added', () => {
    const id = Tokenizer.load(files).vocabSize
    const tokenizerConfig = { added_tokens_decoder: { [id]: { content: '<|extra|>', special: true } } }
    const tokenizer = Tokenizer.load({ ...files, tokenizerConfig })
    expect(tokenizer.encode('a<|extra|>', { addSpecialTokens: false }).at(-1)).toBe(id)
    expect(tokenizer.decode([id])).toBe('<|extra|>')
    expect(tokenizer.decode([id], { skipSpecialTokens: true })).toBe('')
    expect(tokenizer.vocabSize).toBe(id + 1)
  })
})

describe('pre-tokenizers the library has no exact form of', () => {
  const letters = Object.fromEntries([...' .,-abct▁'].map((letter, id) => [letter, id]))
  const merges = ['- a', 'a -', '- -', '▁ ▁', '▁ a', 'a b', 'c a']
  const vocab = { ...letters, '-a': 20, 'a-': 21, '--': 22, '▁a': 23, ab: 24, ca: 25, '▁▁': 26 }
  const pieces = (pre_tokenizer: unknown, text: string): string[] => {
    const tokenizer = Tokenizer.load({
      tokenizerJson: { model: { type: 'BPE', vocab, merges }, pre_tokenizer, decoder: { type: 'Fuse' } },
    })
    return tokenizer.encode(text).map((id) => tokenizer.tokenText(id).text)
  }
  const split = (behavior: string, invert = false) => ({ type: 'Split', pattern: { String: '-' }, behavior, invert })

  it.each([
    ['Isolated', ['a', '-', 'a', '-', '-', 'c']],
    ['Removed', ['a', 'a', 'c']],
    ['MergedWithPrevious', ['a-', 'a-', '-', 'c']],
    ['MergedWithNext', ['a', '-a', '-', '-', 'c']],
    ['Contiguous', ['a', '-', 'a', '--', 'c']],
  ])('Split %s', (behavior, expected) => {
    expect(pieces(split(behavior), 'a-a--c')).toEqual(expected)
  })

  it('Split inverted', () => {
    expect(pieces(split('Removed', true), 'a-a--c')).toEqual(['-', '-', '-'])
  })

  it('Metaspace splits at its marks and prepends once', () => {
    expect(pieces({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'first' }, 'a  a')).toEqual(['▁a', '▁', '▁a'])
    expect(pieces({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: false }, 'a  a')).toEqual([
      'a',
      '▁▁',
      'a',
    ])
  })
})

describe('Unigram with byte fallback', () => {
  it('writes what the vocabulary lacks as bytes', () => {
    const bytes = Array.from({ length: 256 }, (_, b) => [`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, -9])
    const tokenizer = Tokenizer.load({
      tokenizerJson: {
        model: {
          type: 'Unigram',
          unk_id: 0,
          byte_fallback: true,
          vocab: [['<unk>', 0], ['a', -1], ['b', -1], ...bytes],
        },
        decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
      },
    })
    expect(tokenizer.encode('aéb')).toEqual([1, 3 + 0xc3, 3 + 0xa9, 2])
    expect(tokenizer.decode([1, 3 + 0xc3, 3 + 0xa9, 2])).toBe('aéb')
  })
})

describe('malformed files', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] }

  it.each([
    [null, 'tokenizer.json'],
    [[], 'tokenizer.json'],
    [{}, 'tokenizer.json: model'],
    [{ model: { ...model, type: 'WordPiece' } }, 'tokenizer.json: model.type'],
    [{ model: { ...model, vocab: [] } }, 'tokenizer.json: model.vocab'],
    [{ model: { ...model, vocab: { a: -1 } } }, 'tokenizer.json: model.vocab["a"]'],
    [{ model: { ...model, vocab: { a: 1e12 } } }, 'tokenizer.json: model.vocab["a"]'],
    [{ model: { ...model, vocab: { a: 0, b: 0 } } }, 'tokenizer.json: model.vocab["b"]'],
    [{ model: { ...model, merges: null } }, 'tokenizer.json: model.merges'],
    [{ model: { ...model, merges: ['a b', 'a'] } }, 'tokenizer.json: model.merges[1]'],
    [{ model: { ...model, merges: [['a', 'b'], ['a']] } }, 'tokenizer.json: model.merges[1]'],
    [{ model: { ...model, unk_token: '<unk>' } }, 'tokenizer.json: model.unk_token'],
    [{ model: { type: 'Unigram', vocab: [['a', 0]], unk_id: 4 } }, 'tokenizer.json: model.unk_id'],
    [{ model, added_tokens: {} }, 'tokenizer.json: added_tokens'],
    [{ model, added_tokens: [{ id: 3 }] }, 'tokenizer.json: added_tokens[0].content'],
    [{ model, added_tokens: [{ id: 'x', content: 'x' }] }, 'tokenizer.json: added_tokens[0]'],
    [{ model, normalizer: { type: 'Nmt' } }, 'tokenizer.json'],
    [{ model, pre_tokenizer: { type: 'FixedLength', length: 0 } }, 'tokenizer.json: pre_tokenizer.type'],
    [
      { model, pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex: '(' } }] } },
      'tokenizer.json: pre_tokenizer.pretokenizers[0].pattern',
    ],
    [{ model, decoder: { type: 'WordPiece' } }, 'tokenizer.json: decoder.type'],
    [
      { model, decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'CTC' }] } },
      'tokenizer.json: decoder.decoders[1]',
    ],
  ])('%j is refused by name', (tokenizerJson, param) => {
    const load = () => Tokenizer.load({ tokenizerJson })
    expect(load).toThrow(TokenizerError)
    expect(load).toThrow(expect.objectContaining({ param, status: 400, code: 'invalid_tokenizer' }))
  })

  it('names tokenizer_config.json and special_tokens_map.json too', () => {
    const tokenizerJson = { model }
    expect(() => Tokenizer.load({ tokenizerJson, tokenizerConfig: { bos_token: 3 } })).toThrow(
      'tokenizer_config.json: bos_token',
    )
    expect(() => Tokenizer.load({ tokenizerJson, tokenizerConfig: { added_tokens_decoder: { x: {} } } })).toThrow(
      'tokenizer_config.json: added_tokens_decoder',
    )
    expect(() => Tokenizer.load({ tokenizerJson, specialTokensMap: [] })).toThrow('special_tokens_map.json')
  })

  it('never ends in anything but a TokenizerError, whatever is wrong', () => {
    const real = readReference('tokenizers/llama2.tokenizer.json') as Record<string, unknown>
    const junk = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(null, {}, [], { type: 'Sequence' }, '\u0000', 1e300),
    )
    const key = fc.constantFrom(...Object.keys(real))
    const inner = fc.constantFrom(
      'type',
      'vocab',
      'merges',
      'unk_token',
      'normalizers',
      'decoders',
      'single',
      '0',
      'pattern',
    )
    fc.assert(
      fc.property(key, fc.option(inner), junk, junk, (field, deeper, value, tokenizerConfig) => {
        const old = real[field]
        const changed = deeper !== null && typeof old === 'object' && old !== null ? { ...old, [deeper]: value } : value
        try {
          Tokenizer.load({ tokenizerJson: { ...real, [field]: changed }, tokenizerConfig }).encode('Hello, wörld')
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerError)
        }
      }),
      { seed: 11, numRuns: 400 },
    )
  })
})
