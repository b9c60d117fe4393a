/**
 * Fields that OpenAI's or vLLM's API defines and lorikeet does not implement (yet). Each comes with the values that ask
 * for nothing, which clients send by habit and which are let through; anything else is a 400 that names the field.
 */
import { UnsupportedFieldError } from './errors.ts'

type Harmless = (value: unknown) => boolean

const only =
  (...values: readonly unknown[]): Harmless =>
  (value) =>
    values.includes(value)
const nothing: Harmless = () => false
const anything: Harmless = () => true
const empty: Harmless = (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 0
const textFormat: Harmless = (value) =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'text'
const textModality: Harmless = (value) => Array.isArray(value) && value.every((item) => item === 'text')

/** `null` is harmless for every one of them. */
const FIELDS: ReadonlyMap<string, Harmless> = new Map<string, Harmless>([
  // Sampling.
  ['best_of', only(1)],
  ['use_beam_search', only(false)],
  ['length_penalty', only(1)],
  ['bad_words', empty],
  ['logprob_token_ids', nothing],
  ['repetition_detection', nothing],
  ['thinking_token_budget', only(-1)],
  // Structured output and tools.
  ['response_format', textFormat],
  ['structured_outputs', nothing],
  ['guided_json', nothing],
  ['guided_regex', nothing],
  ['guided_choice', nothing],
  ['guided_grammar', nothing],
  ['tools', empty],
  ['tool_choice', only('none', 'auto')],
  ['parallel_tool_calls', anything],
  ['functions', empty],
  ['function_call', only('none', 'auto')],
  // Prompts.
  ['suffix', only('')],
  ['prompt_embeds', nothing],
  ['chat_template', nothing],
  ['continue_final_message', only(false)],
  // Of chats; a completion has it as a field of its own.
  ['echo', only(false)],
  ['documents', empty],
  ['reasoning_effort', nothing],
  ['mm_processor_kwargs', empty],
  ['media_io_kwargs', empty],
  // Output.
  ['modalities', textModality],
  ['audio', nothing],
  ['prediction', nothing],
  ['verbosity', only('medium')],
  ['web_search_options', nothing],
  ['store', only(false)],
  ['service_tier', only('auto', 'default')],
  ['spaces_between_special_tokens', only(true)],
  ['include_reasoning', only(true)],
  ['stream_interval', only(1)],
  // Serving.
  ['priority', only(0)],
  ['cache_salt', nothing],
  ['kv_transfer_params', nothing],
  ['ec_transfer_params', nothing],
  ['vllm_xargs', empty],
  // Marks for the server's own books: nothing in the answer depends on them.
  ['user', anything],
  ['metadata', anything],
  ['safety_identifier', anything],
  ['prompt_cache_key', anything],
])

/**
 * Of the fields a schema does not have, refuses those that ask for something known and returns those that nobody knows.
 * @throws UnsupportedFieldError
 */
export function refuseUnsupported(
  body: Readonly<Record<string, unknown>>,
  fields: readonly string[],
): readonly string[] {
  return fields.filter((field) => {
    const harmless = FIELDS.get(field)
    if (harmless === undefined) return true
    const value = body[field]
    if (value !== null && !harmless(value))
      throw new UnsupportedFieldError(field, 'lorikeet does not implement it yet.')
    return false
  })
}
