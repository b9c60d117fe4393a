/** The sampler by kind of row: what it costs to draw a token out of a row of logits. */
import { Sampler } from '../../model/sampler.ts'
import { StepTables } from '../../model/stepTables.ts'
import { Random } from '../load/random.ts'
import type { KernelCase } from './kernelCase.ts'

export interface SamplerKind {
  readonly name: string
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  /** Likeliest tokens to report; null for no log probabilities. */
  readonly top: number | null
}

export const SAMPLER_KINDS: readonly SamplerKind[] = [
  { name: 'greedy', temperature: 0, topK: 0, topP: 1, top: null },
  { name: 'temperature', temperature: 0.8, topK: 0, topP: 1, top: null },
  { name: 'top-k, top-p', temperature: 0.8, topK: 50, topP: 0.95, top: null },
  { name: '5 logprobs', temperature: 0, topK: 0, topP: 1, top: 5 },
]

export function samplerCase(vocabSize: number, kind: SamplerKind, rows: number): KernelCase {
  return {
    kernel: 'sample',
    shape: `${kind.name}, vocabulary ${vocabSize}`,
    rows,
    macs: 0,
    bytes: rows * vocabSize * 4,
    async prepare(bench) {
      const { gpu } = bench
      const tables = new StepTables(16 + rows * 64)
      tables.begin({ rows, tiles: 0, logits: rows, splits: 1 })
      for (let row = 0; row < rows; row++) tables.addRow({ token: 0, position: 0, blockTable: 0, slot: null })
      const { temperature, topK, topP, top: topLogprobs } = kind
      for (let row = 0; row < rows; row++) {
        const draw = { temperature, topK, topP, minP: 0, seed: 1, position: row }
        tables.addLogits({ row, score: null, topLogprobs, ...draw, adjustment: null })
      }
      const [step, logits, registers] = [
        await bench.upload(tables.words),
        await bench.upload(logitsOf(rows * vocabSize)),
        await bench.zeros(rows * 4),
      ]
      const sampler = await Sampler.create(gpu, { step, logits, registers, vocabSize, maxLogits: rows })
      return {
        record: (recorder) => sampler.record(recorder, rows, topLogprobs !== null),
        close: () => sampler.close(),
      }
    },
  }
}

/** Like a language model's: a bell of unlikely tokens, and one in a thousand that stands out. */
function logitsOf(count: number): Float32Array<ArrayBuffer> {
  const random = new Random('logits')
  return Float32Array.from({ length: count }, () => random.normal() + (random.next() < 1e-3 ? 8 : 0))
}
