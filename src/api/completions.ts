/** `POST /v1/completions`: prompts as text or token ids in, plain continuations out. */

import { collect, countTokens, generatedIds, generatedTokens, stopReason } from './collect.ts'
import { type CompletionParams, type PromptInput, readPrompts } from './completionParams.ts'
import { InvalidRequestError } from './errors.ts'
import { type AnswerHead, answerHead, type Exchange, usageOf } from './exchange.ts'
import { completionLogprobs, countCharacters, promptLogprobsJson, type TokenNames, tokenNames } from './logprobs.ts'
import { checkTextLength, type FitWishes, fitPrompt, MAX_GENERATIONS, makePlan, type Plan } from './plan.ts'
import type { Completion, CompletionChoice, CompletionLogprobs } from './responses.ts'
import { type Run, startRun } from './run.ts'
import type { Service } from './service.ts'
import type { PromptLogprobs, TokenRecord } from './textStream.ts'
import { checkVocabulary } from './vocabulary.ts'

export { completionSchema } from './completionParams.ts'

/** OpenAI's default length of a completion. */
const DEFAULT_MAX_TOKENS = 16

/** Completions that have been started; read them whole or as chunks, once. */
export interface CompletionRun {
  whole(): Promise<Completion>
  chunks(): AsyncGenerator<Completion, void>
  abort(): void
}

/**
 * Checks everything that can be checked and starts the generations.
 * @throws LorikeetError with the status to answer with.
 */
export async function startCompletion(exchange: Exchange, params: CompletionParams): Promise<CompletionRun> {
  const { service } = exchange
  const maxTokens = params.max_tokens ?? null
  if (maxTokens === 0 && !params.echo && (params.prompt_logprobs ?? null) === null) {
    throw new InvalidRequestError('max_tokens must be at least 1, got 0. (0 is for `echo`.)', 'max_tokens')
  }
  if (params.stream && (params.prompt_logprobs ?? 0) > 0) {
    throw new InvalidRequestError('`prompt_logprobs` are not available when `stream=True`.', 'prompt_logprobs')
  }
  const plan = makePlan(service, params, {
    topLogprobs: params.logprobs ?? null,
    logprobsParam: 'logprobs',
    promptLogprobs: (params.stream ? null : params.prompt_logprobs) ?? (params.echo ? params.logprobs : null) ?? null,
    maxTokens,
  })
  const inputs = readPrompts(params.prompt)
  if (inputs.length * plan.n > MAX_GENERATIONS) {
    throw new InvalidRequestError(
      `${inputs.length} prompts with n=${plan.n} make ${inputs.length * plan.n} generations; at most ${MAX_GENERATIONS} fit a request.`,
      'prompt',
    )
  }
  const prompts = inputs.map((input, index) => {
    const tokens = promptTokens(service, params, input, inputs.length > 1 ? `prompt[${index}]` : 'prompt')
    const limit = service.engine.limits.maxModelLen - tokens.length
    const text = params.echo ? (typeof input === 'string' ? input : service.tokenizer.decode(tokens)) : ''
    return { tokens, text, maxTokens: Math.min(maxTokens ?? DEFAULT_MAX_TOKENS, limit) }
  })
  const run = await startRun(exchange, plan, prompts)
  const completion: CompletionState = {
    service,
    params,
    plan,
    prompts,
    run,
    head: answerHead(exchange, 'cmpl', plan),
    names: tokenNames(service, {
      asIds: params.return_tokens_as_token_ids ?? false,
      skipSpecialTokens: plan.skipSpecialTokens,
    }),
  }
  return { whole: () => whole(completion), chunks: () => chunks(completion), abort: () => run.abort() }
}

function promptTokens(service: Service, params: CompletionParams, input: PromptInput, path: string): readonly number[] {
  const wishes: FitWishes = {
    param: 'prompt',
    maxTokens: params.max_tokens ?? null,
    truncate: params.truncate_prompt_tokens ?? null,
    side: params.truncation_side ?? 'left',
  }
  if (typeof input !== 'string') {
    checkVocabulary(service, input, path)
    return fitPrompt(service, input, wishes)
  }
  checkTextLength(service, input, wishes)
  const tokens = service.tokenizer.encode(input, { addSpecialTokens: params.add_special_tokens ?? true })
  return fitPrompt(service, tokens, wishes)
}

interface EchoedPrompt {
  readonly tokens: readonly number[]
  /** Empty unless it is echoed. */
  readonly text: string
  readonly maxTokens: number
}

/** Special tokens that the tokenizer put in front of the text, where an echo does not show them. */
function countHidden({ tokenizer }: Service, { tokens, text }: EchoedPrompt): number {
  const first = tokens.findIndex(
    (token) => !tokenizer.isSpecial(token) || text.startsWith(tokenizer.tokenText(token).text),
  )
  return first === -1 ? tokens.length : first
}

interface CompletionState {
  readonly service: Service
  readonly params: CompletionParams
  readonly plan: Plan
  readonly prompts: readonly EchoedPrompt[]
  readonly run: Run
  readonly head: AnswerHead
  readonly names: TokenNames
}

async function whole(state: CompletionState): Promise<Completion> {
  const { service, params, plan, prompts, run, head, names } = state
  const choices = await collect(run, prompts.length * plan.n)
  const numGenerated = choices.reduce((sum, { tokens, finish }) => sum + countTokens(tokens.length, finish), 0)
  return {
    ...head,
    object: 'text_completion',
    choices: choices.map(({ text, tokens, promptLogprobs, finish }, index): CompletionChoice => {
      const prompt = prompts[Math.floor(index / plan.n)]!
      return {
        index,
        text: prompt.text + text,
        logprobs: choiceLogprobs(state, prompt, promptLogprobs, generatedTokens(tokens, finish)),
        finish_reason: finish.reason,
        stop_reason: stopReason(service, finish),
        ...(params.return_token_ids
          ? { token_ids: generatedIds(tokens, finish), prompt_token_ids: [...prompt.tokens] }
          : {}),
        ...(promptLogprobs === null || (params.prompt_logprobs ?? null) === null
          ? {}
          : { prompt_logprobs: promptLogprobsJson(promptLogprobs, names) }),
      }
    }),
    usage: usageOf(numPromptTokens(prompts), numGenerated, run.cachedTokens),
  }
}

function choiceLogprobs(
  state: CompletionState,
  prompt: EchoedPrompt,
  promptLogprobs: PromptLogprobs | null,
  tokens: readonly TokenRecord[],
): CompletionLogprobs | null {
  const { params, names } = state
  if ((params.logprobs ?? null) === null) return null
  const answer = completionLogprobs(tokens, names, countCharacters(prompt.text))
  if (!params.echo || promptLogprobs === null) return answer
  const echoed = echoedLogprobs(state, prompt, promptLogprobs)
  return {
    tokens: [...echoed.tokens, ...answer.tokens],
    token_logprobs: [...echoed.token_logprobs, ...answer.token_logprobs],
    top_logprobs: [...echoed.top_logprobs, ...answer.top_logprobs],
    text_offset: [...echoed.text_offset, ...answer.text_offset],
  }
}

/** Of a prompt as it is echoed: special tokens that are written out in it do take their place. */
function echoedLogprobs(
  { service, params }: CompletionState,
  prompt: EchoedPrompt,
  promptLogprobs: PromptLogprobs,
): CompletionLogprobs {
  const records = prompt.tokens.map((token, index) => ({ token, logprobs: promptLogprobs[index]?.logprobs ?? null }))
  const names = tokenNames(service, { asIds: params.return_tokens_as_token_ids ?? false, skipSpecialTokens: false })
  return completionLogprobs(records, names, 0, countHidden(service, prompt))
}

function numPromptTokens(prompts: readonly EchoedPrompt[]): number {
  return prompts.reduce((sum, { tokens }) => sum + tokens.length, 0)
}

async function* chunks(state: CompletionState): AsyncGenerator<Completion, void> {
  const { service, params, plan, prompts, run, head, names } = state
  const wantsLogprobs = (params.logprobs ?? null) !== null
  const choices = Array.from({ length: prompts.length * plan.n }, (_, index) => ({
    prompt: prompts[Math.floor(index / plan.n)]!,
    numCharacters: 0,
    numTokens: 0,
    isFirst: true,
  }))
  const usage = () =>
    usageOf(
      numPromptTokens(prompts),
      choices.reduce((sum, { numTokens }) => sum + numTokens, 0),
      run.cachedTokens,
    )
  const usageNow = params.stream_options?.include_usage
    ? { usage: params.stream_options.continuous_usage_stats ? usage : () => null }
    : null
  const chunk = (choice: CompletionChoice): Completion => {
    const state = choices[choice.index]!
    const promptIds = state.isFirst && params.return_token_ids ? { prompt_token_ids: [...state.prompt.tokens] } : {}
    state.isFirst = false
    state.numCharacters += countCharacters(choice.text)
    return {
      ...head,
      object: 'text_completion',
      choices: [{ ...choice, ...promptIds }],
      ...(usageNow === null ? {} : { usage: usageNow.usage() }),
    }
  }
  try {
    if (params.echo && !wantsLogprobs) {
      for (const [index, { prompt }] of choices.entries()) {
        yield chunk({ index, text: prompt.text, logprobs: null, finish_reason: null })
      }
    }
    for await (const { index, item } of run.events()) {
      const choice = choices[index]!
      if (item.type === 'prompt') {
        const logprobs = echoedLogprobs(state, choice.prompt, item.logprobs)
        yield chunk({ index, text: choice.prompt.text, logprobs, finish_reason: null })
        continue
      }
      const finish = item.type === 'finish' ? item : null
      const tokens = generatedTokens(item.type === 'text' ? item.tokens : [], finish)
      choice.numTokens += tokens.length
      // A stop token whose text is kept has been written before the stream knows that it ended.
      const written = plan.keepStop && finish !== null && finish.stopId !== null ? names.width(finish.stopId) : 0
      const offset = choice.numCharacters - written
      yield chunk({
        index,
        text: item.type === 'text' ? item.text : '',
        logprobs: wantsLogprobs && tokens.length > 0 ? completionLogprobs(tokens, names, offset) : null,
        finish_reason: finish?.reason ?? null,
        ...(finish === null ? {} : { stop_reason: stopReason(service, finish) }),
        ...(params.return_token_ids ? { token_ids: tokens.map(({ token }) => token) } : {}),
      })
    }
    if (usageNow !== null) yield { ...head, object: 'text_completion', choices: [], usage: usage() }
  } finally {
    run.abort()
  }
}
