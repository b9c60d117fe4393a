/** Whom a request is for: which of the models of a scenario, by one of three policies. */
import type { Random } from './random.ts'

export type PickPolicy = 'uniform' | 'round-robin' | 'skewed'

export const PICK_POLICIES: readonly PickPolicy[] = ['uniform', 'round-robin', 'skewed']

/** How a policy picks, in words. */
export const PICK_WORDS: Readonly<Record<PickPolicy, string>> = {
  uniform: 'at random, each as often as the other',
  'round-robin': 'in turn',
  skewed: 'skewed: a fifth of them takes four fifths of the requests',
}

/** The skew of the practice: a fifth of the adapters takes four fifths of the requests. */
const HOT_ADAPTERS = 0.2
const HOT_REQUESTS = 0.8

/** Adapters that a skewed pick prefers: the first of them all. */
export function hotCount(count: number): number {
  return Math.ceil(count * HOT_ADAPTERS)
}

/** A function that picks one of `count` at each call. */
export function picker(policy: PickPolicy, count: number, random: Random): () => number {
  let turn = 0
  const hot = hotCount(count)
  switch (policy) {
    case 'round-robin':
      return () => turn++ % count
    case 'uniform':
      return () => random.below(count)
    case 'skewed':
      return () => {
        const isHot = random.next() < HOT_REQUESTS || hot === count
        return isHot ? random.below(hot) : hot + random.below(count - hot)
      }
  }
}
