/** `POST /tokenize` and `POST /detokenize`, with vLLM's bodies. */
import { nullish, object, string } from 'valibot'
import { encodeChat, renderChat } from './chatCompletions.ts'
import { type ChatParams, chatPromptFields } from './chatParams.ts'
import { InvalidRequestError } from './errors.ts'
import { flag, type Nullish, tokenIds } from './generationFields.ts'
import { resolveModel } from './models.ts'
import type { Service } from './service.ts'
import type { Fields, ParamsSchema } from './validate.ts'
import { checkVocabulary } from './vocabulary.ts'

/** Either a prompt or a conversation. */
export interface TokenizeParams {
  readonly model?: Nullish<string>
  readonly prompt?: Nullish<string>
  readonly messages?: Nullish<ChatParams['messages']>
  readonly add_generation_prompt?: Nullish<boolean>
  readonly chat_template_kwargs?: ChatParams['chat_template_kwargs']
  readonly add_special_tokens?: Nullish<boolean>
  readonly return_token_strs?: Nullish<boolean>
}

export const tokenizeSchema: ParamsSchema<TokenizeParams> = object({
  ...chatPromptFields,
  model: nullish(string()),
  prompt: nullish(string()),
  messages: nullish(chatPromptFields.messages),
  add_special_tokens: flag,
  return_token_strs: flag,
} satisfies Fields<TokenizeParams>)

export interface TokenizeResponse {
  readonly count: number
  readonly max_model_len: number
  readonly tokens: readonly number[]
  readonly token_strs: readonly string[] | null
}

/** @throws InvalidRequestError, ModelNotFoundError */
export function tokenize(service: Service, params: TokenizeParams): TokenizeResponse {
  resolveModel(service, params.model)
  const { prompt, messages } = params
  if ((prompt ?? null) !== null && messages) {
    throw new InvalidRequestError('Send either `prompt` or `messages`, not both.', 'messages')
  }
  const tokens = messages
    ? encodeChat(service, { ...params, messages }, renderChat(service, { ...params, messages }))
    : service.tokenizer.encode(required(prompt), { addSpecialTokens: params.add_special_tokens ?? true })
  return {
    count: tokens.length,
    max_model_len: service.engine.limits.maxModelLen,
    tokens,
    token_strs: params.return_token_strs ? tokens.map((token) => service.tokenizer.tokenText(token).text) : null,
  }
}

function required(prompt: Nullish<string>): string {
  if (prompt === null || prompt === undefined) throw new InvalidRequestError('`prompt` is required.', 'prompt')
  return prompt
}

export interface DetokenizeParams {
  readonly model?: Nullish<string>
  readonly tokens: readonly number[]
}

export const detokenizeSchema: ParamsSchema<DetokenizeParams> = object({
  model: nullish(string()),
  tokens: tokenIds,
} satisfies Fields<DetokenizeParams>)

/** @throws InvalidRequestError, ModelNotFoundError */
export function detokenize(service: Service, params: DetokenizeParams): { readonly prompt: string } {
  resolveModel(service, params.model)
  checkVocabulary(service, params.tokens, 'tokens')
  return { prompt: service.tokenizer.decode(params.tokens) }
}
