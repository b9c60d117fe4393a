/** `POST /v1/chat/completions`: messages in, one assistant message for each choice out. */
import { NoChatTemplateError } from '../text/errors.ts'
import type { ChatParams } from './chatParams.ts'
import { collect, countTokens, generatedIds, generatedTokens, stopReason } from './collect.ts'
import { InvalidRequestError } from './errors.ts'
import { type AnswerHead, answerHead, type Exchange, usageOf } from './exchange.ts'
import { chatLogprobs, promptLogprobsJson, type TokenNames, tokenNames } from './logprobs.ts'
import { checkTextLength, type FitWishes, fitPrompt, makePlan, type Plan } from './plan.ts'
import type { ChatChunkChoice, ChatCompletion, ChatCompletionChunk } from './responses.ts'
import { type Run, startRun } from './run.ts'
import type { Service } from './service.ts'

/** A chat that has been started; read it whole or as chunks, once. */
export interface ChatRun {
  whole(): Promise<ChatCompletion>
  chunks(): AsyncGenerator<ChatCompletionChunk, void>
  abort(): void
}

/**
 * Checks everything that can be checked and starts the generations.
 * @throws LorikeetError with the status to answer with.
 */
export async function startChat(exchange: Exchange, params: ChatParams): Promise<ChatRun> {
  const { service } = exchange
  const maxTokens = params.max_completion_tokens ?? params.max_tokens ?? null
  if (maxTokens === 0) throw new InvalidRequestError('max_tokens must be at least 1, got 0.', 'max_tokens')
  const plan = makePlan(service, params, { ...logprobWishes(params), logprobsParam: 'top_logprobs', maxTokens })
  const wishes: FitWishes = {
    param: 'messages',
    maxTokens,
    truncate: params.truncate_prompt_tokens ?? null,
    side: params.truncation_side ?? 'left',
  }
  const text = renderChat(service, params)
  checkTextLength(service, text, wishes)
  const tokens = fitPrompt(service, encodeChat(service, params, text), wishes)
  const limit = service.engine.limits.maxModelLen - tokens.length
  const prompt = { tokens, maxTokens: Math.min(maxTokens ?? service.defaults.maxNewTokens ?? limit, limit) }
  const run = await startRun(exchange, plan, [prompt])
  const chat: Chat = {
    service,
    params,
    plan,
    prompt: tokens,
    run,
    head: answerHead(exchange, 'chatcmpl', plan),
    names: tokenNames(service, {
      asIds: params.return_tokens_as_token_ids ?? false,
      skipSpecialTokens: plan.skipSpecialTokens,
    }),
  }
  return { whole: () => whole(chat), chunks: () => chunks(chat), abort: () => run.abort() }
}

type Conversation = Pick<
  ChatParams,
  'messages' | 'add_generation_prompt' | 'chat_template_kwargs' | 'add_special_tokens'
>

/** A conversation as the model reads it. @throws NoChatTemplateError, and what the template refuses */
export function renderChat({ template, tokenizer }: Service, params: Conversation): string {
  if (template === null) throw new NoChatTemplateError()
  return template.render({
    messages: params.messages,
    addGenerationPrompt: params.add_generation_prompt ?? true,
    bosToken: tokenizer.bosToken,
    eosToken: tokenizer.eosToken,
    variables: params.chat_template_kwargs ?? {},
  })
}

/** Token ids of a rendered conversation. */
export function encodeChat({ tokenizer }: Service, params: Conversation, text: string): readonly number[] {
  // The template writes the special tokens itself.
  return tokenizer.encode(text, { addSpecialTokens: params.add_special_tokens ?? false })
}

function logprobWishes(params: ChatParams): Pick<Plan, 'topLogprobs' | 'promptLogprobs'> {
  const top = params.top_logprobs ?? 0
  if (top > 0 && !params.logprobs) {
    throw new InvalidRequestError('when using `top_logprobs`, `logprobs` must be set to true.', 'top_logprobs')
  }
  if (params.stream && (params.prompt_logprobs ?? 0) > 0) {
    throw new InvalidRequestError('`prompt_logprobs` are not available when `stream=True`.', 'prompt_logprobs')
  }
  return {
    topLogprobs: params.logprobs ? top : null,
    promptLogprobs: params.stream ? null : (params.prompt_logprobs ?? null),
  }
}

interface Chat {
  readonly service: Service
  readonly params: ChatParams
  readonly plan: Plan
  readonly prompt: readonly number[]
  readonly run: Run
  readonly head: AnswerHead
  readonly names: TokenNames
}

async function whole({ service, params, plan, prompt, run, head, names }: Chat): Promise<ChatCompletion> {
  const choices = await collect(run, plan.n)
  const numGenerated = choices.reduce((sum, { tokens, finish }) => sum + countTokens(tokens.length, finish), 0)
  const promptLogprobs = choices[0]?.promptLogprobs ?? null
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ text, tokens, finish }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: params.logprobs ? chatLogprobs(generatedTokens(tokens, finish), names) : null,
      finish_reason: finish.reason,
      stop_reason: stopReason(service, finish),
      ...(params.return_token_ids ? { token_ids: generatedIds(tokens, finish) } : {}),
    })),
    usage: usageOf(prompt.length, numGenerated, run.cachedTokens),
    ...(promptLogprobs === null ? {} : { prompt_logprobs: promptLogprobsJson(promptLogprobs, names) }),
    ...(params.return_token_ids ? { prompt_token_ids: [...prompt] } : {}),
  }
}

async function* chunks(chat: Chat): AsyncGenerator<ChatCompletionChunk, void> {
  const { service, params, plan, prompt, run, head, names } = chat
  const numGenerated = new Array<number>(plan.n).fill(0)
  const usage = () =>
    usageOf(
      prompt.length,
      numGenerated.reduce((sum, count) => sum + count, 0),
      run.cachedTokens,
    )
  const usageNow = params.stream_options?.include_usage
    ? { usage: params.stream_options.continuous_usage_stats ? usage : () => null }
    : null
  const chunk = (choice: ChatChunkChoice): ChatCompletionChunk => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [choice],
    ...(usageNow === null ? {} : { usage: usageNow.usage() }),
  })
  try {
    for (let index = 0; index < plan.n; index++) {
      const first = chunk({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null })
      yield params.return_token_ids ? { ...first, prompt_token_ids: [...prompt] } : first
    }
    for await (const { index, item } of run.events()) {
      if (item.type === 'prompt') continue
      const finish = item.type === 'finish' ? item : null
      const tokens = generatedTokens(item.type === 'text' ? item.tokens : [], finish)
      numGenerated[index]! += tokens.length
      yield chunk({
        index,
        delta: item.type === 'text' ? { content: item.text } : {},
        logprobs: params.logprobs && tokens.length > 0 ? chatLogprobs(tokens, names) : null,
        finish_reason: finish?.reason ?? null,
        ...(finish === null ? {} : { stop_reason: stopReason(service, finish) }),
        ...(params.return_token_ids ? { token_ids: tokens.map(({ token }) => token) } : {}),
      })
    }
    if (usageNow !== null) yield { ...head, object: 'chat.completion.chunk', choices: [], usage: usage() }
  } finally {
    run.abort()
  }
}
