/** The body of `POST /v1/completions`, and its prompts in the four shapes OpenAI allows. */
import { object, unknown } from 'valibot'
import { InvalidRequestError } from './errors.ts'
import { flag, type GenerationParams, generationFields, type Nullish, wholeNumber } from './generationFields.ts'
import { type Fields, type ParamsSchema, show } from './validate.ts'

export interface CompletionParams extends GenerationParams {
  /** A text, token ids, or a list of either: see `readPrompts`. */
  readonly prompt?: unknown
  readonly echo?: Nullish<boolean>
  /** Likeliest tokens to report per token. */
  readonly logprobs?: Nullish<number>
}

export const completionSchema: ParamsSchema<CompletionParams> = object({
  ...generationFields,
  prompt: unknown(),
  echo: flag,
  logprobs: wholeNumber('logprobs', 'non-negative', (value) => value >= 0),
} satisfies Fields<CompletionParams>)

export type PromptInput = string | readonly number[]

/**
 * The prompts of a request, each a text or token ids (not yet held against the vocabulary). None is empty.
 * @throws InvalidRequestError naming the prompt that is wrong.
 */
export function readPrompts(prompt: unknown): readonly PromptInput[] {
  if (prompt === undefined || prompt === null || prompt === '' || (Array.isArray(prompt) && prompt.length === 0)) {
    throw new InvalidRequestError('`prompt` must be provided and non-empty.', 'prompt')
  }
  if (typeof prompt === 'string') return [prompt]
  if (!Array.isArray(prompt)) throw wrong('prompt', 'a string, an array of strings, or token ids', prompt)
  if (typeof prompt[0] === 'number') return [readTokenIds(prompt, 'prompt')]
  return prompt.map((item: unknown, index) => {
    const path = `prompt[${index}]`
    if (item === '' || (Array.isArray(item) && item.length === 0)) {
      throw new InvalidRequestError(`\`${path}\` must not be empty.`, path)
    }
    if (typeof item === 'string') return item
    if (Array.isArray(item)) return readTokenIds(item, path)
    throw wrong(path, 'a string or an array of token ids', item)
  })
}

function readTokenIds(items: readonly unknown[], path: string): readonly number[] {
  items.forEach((item, index) => {
    if (!Number.isInteger(item) || (item as number) < 0) throw wrong(`${path}[${index}]`, 'a token id', item)
  })
  return items as readonly number[]
}

function wrong(path: string, expected: string, value: unknown): InvalidRequestError {
  return new InvalidRequestError(`\`${path}\` must be ${expected}, got ${show(value)}.`, path)
}
