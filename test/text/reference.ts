/** The eight reference tokenizers and what the Rust library makes of 90 strings with each. */
import { readFileSync } from 'node:fs'
import { Tokenizer } from '../../src/text/tokenizer.ts'

const FOLDER = new URL('../fixtures/reference/', import.meta.url)

export const KINDS: readonly string[] = [
  'llama3',
  'llama3-ignore-merges',
  'qwen2',
  'gpt2',
  'gpt2-prefix',
  'smollm',
  'llama2',
  'gemma',
]

export interface TokenizerGolden {
  readonly text: string
  readonly ids: readonly number[]
  readonly ids_with_special: readonly number[]
  readonly decoded: string
  readonly decoded_skip_special: string
}

export function readReference(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, FOLDER), 'utf8'))
}

export function referenceTokenizer(kind: string): Tokenizer {
  return Tokenizer.load({ tokenizerJson: readReference(`tokenizers/${kind}.tokenizer.json`) })
}

export function goldens(kind: string): readonly TokenizerGolden[] {
  return readReference(`tokenizers/${kind}.golden.json`) as TokenizerGolden[]
}
