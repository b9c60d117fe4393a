/** Random loads for property tests of scheduler and engine: sizes on purpose so small that everything runs short. */
import fc from 'fast-check'
import type { RunnerLimits } from '../../src/engine/batch.ts'
import { contextLengthOf } from '../../src/engine/checkRequest.ts'
import type { GenerationRequest } from '../../src/engine/generation.ts'
import type { LayerList } from '../../src/model/layerList.ts'
import { FakeLease, GREEDY } from './requests.ts'

export const VOCAB_SIZE = 23

/** One request of a load. Times are ticks. */
export interface Arrival {
  readonly at: number
  /** Which adapter, or null for the base; the same number means the same weights, in the slot of that number. */
  readonly adapter: number | null
  /** How long after its arrival the adapter is on the GPU. */
  readonly adapterAfter: number
  /** How long after its arrival it is aborted, or null. */
  readonly abortAfter: number | null
  readonly request: Omit<GenerationRequest, 'id' | 'adapter' | 'signal'>
}

/** Layers of the adapters, by slot. The last two run others than the base, one of them more. */
export const LAYERS: readonly (LayerList | null)[] = [
  null,
  null,
  { layers: [0, 1, 2, 1], numFolds: 2, key: 'deeper' },
  { layers: [2, 1], numFolds: 1, key: 'other' },
]

/** Passes that steps may be of: the base's, and those of the adapters that run other layers. */
export const NUM_PASSES = 3

/** An adapter's lease, or null for the base. */
export function leaseOf({ adapter }: Arrival): FakeLease | null {
  return adapter === null ? null : new FakeLease(`${adapter}`, null, LAYERS[adapter]!)
}

type Sizes = Omit<RunnerLimits, 'maxLogitsRows' | 'vocabSize'> & { readonly moreLogitsRows: number }

/** Any sizes at all. */
const anySizes: fc.Arbitrary<Sizes> = fc.record({
  maxRows: fc.integer({ min: 1, max: 24 }),
  maxSpans: fc.integer({ min: 1, max: 6 }),
  moreLogitsRows: fc.nat(6),
  numBlocks: fc.integer({ min: 4, max: 24 }),
  blockSize: fc.integer({ min: 1, max: 5 }),
  maxModelLen: fc.integer({ min: 8, max: 48 }),
})

/** Many sequences that soon want more blocks than there are. */
const shortOfBlocks: fc.Arbitrary<Sizes> = fc.noBias(
  fc.record({
    maxRows: fc.integer({ min: 8, max: 24 }),
    maxSpans: fc.integer({ min: 4, max: 8 }),
    moreLogitsRows: fc.nat(6),
    numBlocks: fc.integer({ min: 16, max: 32 }),
    blockSize: fc.constantFrom(1, 2),
    maxModelLen: fc.integer({ min: 20, max: 40 }),
  }),
)

export const limits: fc.Arbitrary<RunnerLimits> = fc
  .oneof(anySizes, shortOfBlocks)
  .map(({ moreLogitsRows, ...rest }) => ({
    ...rest,
    maxLogitsRows: rest.maxSpans + moreLogitsRows,
    vocabSize: VOCAB_SIZE,
  }))

const token = fc.nat(VOCAB_SIZE - 1)

/** Prompts of one family begin with the same tokens. */
const prompt = fc
  .record({
    family: fc.nat(1),
    shared: fc.noBias(fc.nat(24)),
    own: fc.array(token, { minLength: 1, maxLength: 8 }),
  })
  .map(({ family, shared, own }) => [
    ...Array.from({ length: shared }, (_, i) => (i * (family + 2)) % VOCAB_SIZE),
    ...own,
  ])

export const arrival: fc.Arbitrary<Arrival> = fc.record({
  at: fc.nat(40),
  adapter: fc.option(fc.nat(LAYERS.length - 1), { freq: 2 }),
  adapterAfter: fc.oneof(fc.constant(0), fc.nat(30)),
  abortAfter: fc.option(fc.nat(40), { freq: 2 }),
  request: fc.record({
    prompt,
    sampling: fc.record({ temperature: fc.constantFrom(0, 1), seed: fc.nat(3) }).map((own) => ({ ...GREEDY, ...own })),
    maxTokens: fc.oneof(fc.nat(30), fc.constantFrom(0, 1, 1000)),
    minTokens: fc.constantFrom(0, 0, 5),
    stopIds: fc.oneof(fc.constant([]), fc.uniqueArray(token, { maxLength: 2 })),
    topLogprobs: fc.option(fc.nat(2)),
    promptLogprobs: fc.option(fc.nat(2), { freq: 2 }),
    awaitsTokens: fc.constantFrom(false, false, false, true),
  }),
})

/** The prompt cut to what the engine takes. */
export function fitting(arrival: Arrival, limits: RunnerLimits): Arrival {
  const contextLength = contextLengthOf(limits, leaseOf(arrival))
  const prompt = arrival.request.prompt.slice(0, contextLength - 1)
  return { ...arrival, request: { ...arrival.request, prompt } }
}
