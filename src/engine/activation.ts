/**
 * Activated LoRA: an adapter that waits for its invocation. It works from the start of the last occurrence of its
 * invocation tokens in the prompt; what comes before is the base's, keys and values included, and can be shared with it.
 * Where that is, is fixed when a request arrives: the same tokens in an answer invoke nothing.
 */
import { numRowsOf, type Span } from './batch.ts'

/**
 * The position from which on an adapter works: 0 for one that needs no invocation, Infinity where a prompt lacks it.
 * Looks at each token of the prompt at most invocation.length times.
 */
export function activationStart(prompt: readonly number[], invocation: readonly number[] | null): number {
  if (invocation === null) return 0
  for (let start = prompt.length - invocation.length; start >= 0; start--) {
    if (invocation.every((token, i) => token === prompt[start + i])) return start
  }
  return Number.POSITIVE_INFINITY
}

/** The span, or where its adapter starts to work within it, its two parts: of the base, and of the adapter. */
export function splitAtActivation(span: Span): readonly Span[] {
  const { activeFrom = 0, start, slot, tokens, logits } = span
  const numBase = activeFrom - start
  if (slot === null || numBase <= 0) return [span]
  if (numBase >= numRowsOf(span) || tokens === null) return [{ ...span, slot: null }]
  const isBase = ({ row }: { readonly row: number }): boolean => row < numBase
  return [
    { ...span, slot: null, tokens: tokens.slice(0, numBase), logits: logits.filter(isBase) },
    {
      ...span,
      start: activeFrom,
      tokens: tokens.slice(numBase),
      logits: logits.filter((each) => !isBase(each)).map((each) => ({ ...each, row: each.row - numBase })),
    },
  ]
}
