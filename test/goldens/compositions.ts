/** What PEFT computes with several active adapters whose scaling is multiplied (test/fixtures/compositions). */
import type { AdapterWeight } from '../../src/lora/composition.ts'
import compositions from '../fixtures/compositions/compositions.json' with { type: 'json' }
import { type GoldenCase, goldenLogits } from './golden.ts'

export interface GoldenComposition {
  readonly name: string
  readonly model: string
  /** Those at 0 included. */
  readonly lora: readonly AdapterWeight[]
  readonly cases: readonly GoldenCase[]
}

const index: { readonly compositions: Readonly<Record<string, Omit<GoldenComposition, 'name'>>> } =
  compositions as never

export const COMPOSITIONS: readonly GoldenComposition[] = Object.entries(index.compositions).map(([name, each]) => ({
  name,
  ...each,
}))

export function compositionLogits(golden: GoldenCase): Promise<Float32Array> {
  return goldenLogits({ golden: 'compositions.safetensors' }, golden, 'compositions')
}
