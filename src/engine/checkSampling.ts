/** The last look at how a request wants its tokens drawn: the sampler's tables hold these numbers and no others. */
import { MAX_BIASES, maskWords } from '../model/adjustment.ts'
import type { SamplingParams } from './batch.ts'
import { InvalidGenerationError } from './errors.ts'

/** What logits can be changed by and stay finite in f32. */
const LARGEST = 1e20

/** Throws InvalidGenerationError with the field's name as `param`. */
export function checkSampling(sampling: SamplingParams, vocabSize: number): void {
  const { temperature, topK, topP, minP, seed } = sampling
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1 } = sampling
  const check = (field: string, value: number, fits: boolean, wanted: string): void => {
    if (!fits) refuse(field, `is ${wanted}, not ${value}`)
  }
  check('temperature', temperature, temperature >= 0 && temperature <= Number.MAX_VALUE, 'a finite number from 0')
  check('topK', topK, Number.isSafeInteger(topK) && topK >= 0, 'a whole number from 0')
  check('topP', topP, topP >= 0 && topP <= 1, 'a number from 0 to 1')
  check('minP', minP, minP >= 0 && minP <= 1, 'a number from 0 to 1')
  check('seed', seed, Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, 'a 32-bit whole number')
  for (const [field, value] of Object.entries({ presencePenalty, frequencyPenalty })) {
    check(field, value, Math.abs(value) <= LARGEST, `a number from ${-LARGEST} to ${LARGEST}`)
  }
  const divides = repetitionPenalty >= 1 / LARGEST && repetitionPenalty <= LARGEST
  check('repetitionPenalty', repetitionPenalty, divides, `a number from ${1 / LARGEST} to ${LARGEST}`)
  checkBiases(sampling, vocabSize)
  checkMask(sampling, vocabSize)
}

function checkBiases({ logitBias = [] }: SamplingParams, vocabSize: number): void {
  if (logitBias.length > MAX_BIASES) refuse('logitBias', `has at most ${MAX_BIASES} entries, not ${logitBias.length}`)
  let last = -1
  for (const { id, bias } of logitBias) {
    if (!Number.isInteger(id) || id >= vocabSize) refuse('logitBias', `is made of ids below ${vocabSize}, not ${id}`)
    if (id <= last) refuse('logitBias', `has its ids in ascending order, but ${id} follows ${last}`)
    if (!(bias <= LARGEST)) refuse('logitBias', `has a number up to ${LARGEST} for id ${id}, not ${bias}`)
    last = id
  }
}

function checkMask({ allowed }: SamplingParams, vocabSize: number): void {
  const words = maskWords(vocabSize)
  if (allowed && allowed.length !== words) refuse('allowed', `has ${words} words, not ${allowed.length}`)
}

function refuse(field: string, complaint: string): never {
  throw new InvalidGenerationError(`sampling.${field}`, `sampling.${field} ${complaint}.`)
}
