/** Token ids in requests: whether the model has them. */
import { InvalidRequestError } from './errors.ts'
import type { Service } from './service.ts'

/** @throws InvalidRequestError for the first id the model does not have. */
export function checkVocabulary(service: Service, ids: readonly number[], param: string): void {
  const { vocabSize } = service.engine.limits
  const bad = ids.find((id) => id >= vocabSize)
  if (bad === undefined) return
  throw new InvalidRequestError(`Token id ${bad} is out of vocabulary: the model has ids below ${vocabSize}.`, param)
}
