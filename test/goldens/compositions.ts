/** What PEFT computes with several active adapters whose scaling is multiplied (test/fixtures/compositions). */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { AdapterWeight } from '../../src/lora/composition.ts'
import { type GoldenCase, goldenLogits } from './golden.ts'

export interface GoldenComposition {
  readonly name: string
  readonly model: string
  /** Those at 0 included. */
  readonly lora: readonly AdapterWeight[]
  readonly cases: readonly GoldenCase[]
}

const FOLDER = fileURLToPath(new URL('../fixtures/compositions/', import.meta.url))
const index: { readonly compositions: Readonly<Record<string, Omit<GoldenComposition, 'name'>>> } = JSON.parse(
  readFileSync(`${FOLDER}compositions.json`, 'utf8'),
)

export const COMPOSITIONS: readonly GoldenComposition[] = Object.entries(index.compositions).map(([name, each]) => ({
  name,
  ...each,
}))

export function compositionLogits(golden: GoldenCase): Promise<Float32Array> {
  return goldenLogits({ golden: 'compositions.safetensors' }, golden, FOLDER)
}
