/** Our responses are what the openai package says responses are, and its requests are bodies we take. Checked by tsc. */
import type OpenAI from 'openai'
import { expect, expectTypeOf, it } from 'vitest'
import type { ChatParams } from '../../src/api/chatParams.ts'
import type { CompletionParams } from '../../src/api/completionParams.ts'
import type { ModelCard } from '../../src/api/models.ts'
import type { ChatCompletion, ChatCompletionChunk, Completion } from '../../src/api/responses.ts'

type ChatFields = keyof Omit<ChatParams, 'messages'> & keyof OpenAI.ChatCompletionCreateParams
type CompletionFields = keyof CompletionParams & keyof OpenAI.CompletionCreateParams

it('matches the types of the openai package', () => {
  expectTypeOf<ChatCompletion>().toExtend<OpenAI.ChatCompletion>()
  expectTypeOf<ChatCompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>()
  expectTypeOf<ModelCard>().toExtend<OpenAI.Model>()
  expectTypeOf<Pick<OpenAI.ChatCompletionCreateParams, ChatFields>>().toExtend<Omit<ChatParams, 'messages'>>()
  expectTypeOf<Pick<OpenAI.CompletionCreateParams, CompletionFields>>().toExtend<CompletionParams>()
  // OpenAI's type has no null where its own streams send one (finish_reason of a chunk, usage) nor null logprobs.
  type Whole = Omit<Completion, 'usage' | 'choices'> & {
    usage: OpenAI.CompletionUsage
    choices: (Omit<Completion['choices'][number], 'finish_reason' | 'logprobs'> & {
      finish_reason: 'stop' | 'length'
      logprobs: null
    })[]
  }
  expectTypeOf<Whole>().toExtend<OpenAI.Completion>()
  expect.assertions(0)
})
