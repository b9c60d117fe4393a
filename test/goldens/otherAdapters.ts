/** The reference adapters that do more than add scale * B A to linear layers, by what they do. */
export const OTHER_ADAPTERS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  dora: {
    'llama-tiny': ['dora-r8', 'dora-rank-pattern', 'dora-f16'],
    'llama3-tiny': ['dora-r8'],
    'mistral-tiny': ['dora-r4'],
    'qwen2-tiny': ['dora-r8'],
    'qwen3-tiny': ['dora-qk'],
  },
  norms: {
    'llama-tiny': ['save-norms-embed'],
    'qwen3-tiny': ['save-qk-norm'],
  },
  embedding: {
    'llama-tiny': ['lora-embed', 'dora-embed', 'trainable-tokens'],
    'llama3-tiny': ['lora-embed', 'save-embed', 'trainable-tokens'],
  },
  activated: {
    'llama-tiny': ['alora'],
  },
  head: {
    'llama-tiny': ['lora-lm-head', 'save-lm-head'],
    'llama3-tiny': ['lora-lm-head', 'save-lm-head'],
  },
  layers: {
    'llama-tiny': ['layer-replication'],
  },
  bias: {
    'llama-tiny': ['lora-bias'],
    'qwen2-tiny': ['bias-all', 'bias-lora-only', 'lora-bias', 'dora-bias-all'],
  },
}

/** All of a model. */
export function otherAdapters(model: string): readonly string[] {
  return Object.values(OTHER_ADAPTERS).flatMap((byModel) => byModel[model] ?? [])
}
