/** What adapters say they are made of, for those whose kind their folder's name tells. */
import { describe, expect, it } from 'vitest'
import { kindsOf } from '../../src/lora/kinds.ts'
import { readAdapter } from '../../src/lora/readAdapter.ts'
import { referenceFolder, referenceSpec } from './referenceAdapters.ts'

describe('the kinds of an adapter', () => {
  it.each([
    ['r5', ['lora']],
    ['dora-r8', ['lora', 'dora']],
    ['dora-bias-all', ['lora', 'dora', 'bias']],
    ['lora-bias', ['lora', 'bias']],
    ['lora-embed', ['lora', 'embedding']],
    ['lora-lm-head', ['lora', 'head']],
    ['trainable-tokens', ['lora', 'embedding', 'rows']],
    ['save-norms-embed', ['lora', 'norms', 'embedding', 'rows']],
    ['layer-replication', ['lora', 'layers']],
    ['alora', ['lora', 'alora']],
  ])('%s', async (name, kinds) => {
    // Only the base of one family has biases.
    const model = name === 'dora-bias-all' ? 'qwen2-tiny' : 'llama-tiny'
    const { adapter } = await readAdapter(referenceFolder(`adapters/${model}/${name}`), referenceSpec(model))
    expect(kindsOf(adapter)).toEqual(kinds)
  })
})
