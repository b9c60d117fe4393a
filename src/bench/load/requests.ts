/**
 * The requests of one measurement, made before it begins. They follow from the seed and from where they stand (scenario,
 * clients, round), and no prompt begins like another: what a prefix cache could answer would not be measured.
 */
import { drawLength, type Lengths } from './lengths.ts'
import { type PickPolicy, picker } from './pick.ts'
import { Random } from './random.ts'

export interface Workload {
  /** Tokens of prompts and of answers. */
  readonly isl: Lengths
  readonly osl: Lengths
  readonly pick: PickPolicy
  readonly seed: number
}

export interface LoadRequest {
  /** What the request names as its model. */
  readonly model: string
  /** Token ids, or a text of about `promptTokens` tokens. */
  readonly prompt: readonly number[] | string
  readonly promptTokens: number
  readonly maxTokens: number
}

/** Where requests stand among all that are made. */
export interface Place {
  readonly scenario: string
  readonly concurrency: number
  readonly round: number | 'warm-up'
}

/** Makes a prompt of so many tokens. */
export type PromptMaker = (numTokens: number, random: Random) => readonly number[] | string

/** @param models whom the scenario asks; the workload's policy picks among them */
export function makeRequests(
  { isl, osl, pick, seed }: Workload,
  count: number,
  models: readonly string[],
  prompt: PromptMaker,
  { scenario, concurrency, round }: Place,
): LoadRequest[] {
  // Lengths and picks are the same in every scenario, so that two scenarios differ in whom they ask alone.
  const lengths = new Random(seed, 'lengths', concurrency, round)
  const next = picker(pick, models.length, new Random(seed, 'picks', concurrency, round))
  const words = new Random(seed, 'prompts', scenario, concurrency, round)
  return Array.from({ length: count }, () => {
    const promptTokens = drawLength(isl, lengths)
    return {
      model: models[next()]!,
      prompt: prompt(promptTokens, words),
      promptTokens,
      maxTokens: drawLength(osl, lengths),
    }
  })
}

/** Token ids of a vocabulary, each as likely as the other. */
export function tokenPrompts(vocabSize: number): PromptMaker {
  return (numTokens, random) => Array.from({ length: numTokens }, () => random.below(vocabSize))
}

/**
 * Words that most vocabularies have as one token each. How many tokens a text really is, only the server knows: reports
 * go by its count.
 */
export const wordPrompts: PromptMaker = (numTokens, random) =>
  Array.from({ length: numTokens }, () => WORDS[random.below(WORDS.length)]!).join(' ')

const WORDS = (
  'time year people way day man thing woman life child world school state family student group country problem hand ' +
  'part place case week company system program question work government number night point home water room mother ' +
  'area money story fact month lot right study book eye job word business issue side kind head house service friend ' +
  'father power hour game line end member law car city community name president team minute idea kid body information ' +
  'back parent face others level office door health person art war history party result change morning reason research ' +
  'girl guy moment air teacher force education foot boy age policy process music market sense nation plan college'
).split(' ')
