/** The body of `POST /v1/chat/completions`. What a message's content may be is the business of text/. */
import { array, custom, looseObject, minLength, nullish, object, pipe, string } from 'valibot'
import type { ChatMessage } from '../text/messages.ts'
import { flag, type GenerationParams, generationFields, type Nullish, wholeNumber } from './generationFields.ts'
import type { Fields, ParamsSchema } from './validate.ts'

export interface ChatParams extends GenerationParams {
  readonly messages: readonly ChatMessage[]
  /** Wins over `max_tokens`, its older name. */
  readonly max_completion_tokens?: Nullish<number>
  readonly logprobs?: Nullish<boolean>
  readonly top_logprobs?: Nullish<number>
  readonly add_generation_prompt?: Nullish<boolean>
  readonly chat_template_kwargs?: Nullish<Readonly<Record<string, unknown>>>
}

type ChatPromptParams = Pick<ChatParams, 'messages' | 'add_generation_prompt' | 'chat_template_kwargs'>

const kwargs = custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'an object',
)

export const chatPromptFields: Fields<ChatPromptParams> = {
  messages: pipe(
    array(looseObject({ role: pipe(string(), minLength(1, 'A role must not be empty.')) })),
    minLength(1, 'messages must hold at least one message.'),
  ),
  add_generation_prompt: flag,
  chat_template_kwargs: nullish(kwargs),
}

export const chatSchema: ParamsSchema<ChatParams> = object({
  ...generationFields,
  ...chatPromptFields,
  max_completion_tokens: wholeNumber('max_completion_tokens', 'at least 0', (value) => value >= 0),
  logprobs: flag,
  top_logprobs: wholeNumber('top_logprobs', 'non-negative', (value) => value >= 0),
} satisfies Fields<ChatParams>)
