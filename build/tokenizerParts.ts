import type { Plugin } from 'vite'

const PACKAGE = /@huggingface\/tokenizers\/dist\/tokenizers\.mjs$/
/** The places where its tokenizer makes parts that src/text/ has its own of, and gives it null for. */
const UNUSED: readonly string[] = [
  'create_pre_tokenizer_default(this.tokenizer.pre_tokenizer)',
  'create_decoder_default(this.tokenizer.decoder)',
]

/**
 * Leaves the pre-tokenizers and decoders of @huggingface/tokenizers out: its constructor can make any of them, so that no bundler
 * sees that none is made.
 */
export function tokenizerParts(): Plugin {
  return {
    name: 'tokenizer-parts',
    transform(code, id) {
      if (!PACKAGE.test(id)) return null
      for (const made of UNUSED) if (!code.includes(made)) this.error(`${id} does not have "${made}" any more.`)
      return { code: UNUSED.reduce((left, made) => left.replace(made, 'null'), code), map: null }
    },
  }
}
