/** Steps that decode: one row for each of some sequences, as the engine makes them. */
import type { Batch } from '../../src/engine/batch.ts'
import { BLOCK_SIZE } from '../../src/model/kvCache.ts'

const GREEDY = { sample: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }, position: 0, banned: [] }

/** One row for each of `slots`, every one with `context` tokens before it; null is the base. */
export function decodeStep(slots: readonly (number | null)[], context: number): Batch {
  const blocks = Math.ceil((context + 1) / BLOCK_SIZE)
  return {
    spans: slots.map((slot, i) => ({
      tokens: [(i * 977) % 1000],
      start: context,
      blockTable: Array.from({ length: blocks }, (_, j) => i * blocks + j),
      slot,
      logits: [{ row: 0, want: GREEDY, topLogprobs: null }],
    })),
  }
}
