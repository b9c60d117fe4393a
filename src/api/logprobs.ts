/** Log probabilities in the three shapes clients know: chat, plain completions, and vLLM's prompt_logprobs. */

import type { ChatLogprobs, ChatTopLogprob, CompletionLogprobs, PromptLogprobsJson } from './responses.ts'
import type { Service } from './service.ts'
import type { PromptLogprobs, TokenRecord } from './textStream.ts'

/** JSON has no infinity; this is what OpenAI and vLLM write for a token that cannot be. */
const LEAST_LOGPROB = -9999

/** Token ids to what a client is shown in their place. */
export interface TokenNames {
  text(token: number): string
  bytes(token: number): number[]
  /** Characters (code points) that begin in this token. */
  width(token: number): number
}

/**
 * Names by the tokenizer, or `token_id:N` where the client asked for ids it can parse. Special tokens that are left out
 * of the text have no width in it.
 */
export function tokenNames(service: Service, options: { asIds: boolean; skipSpecialTokens: boolean }): TokenNames {
  const { tokenizer } = service
  return {
    text: (token) => (options.asIds ? `token_id:${token}` : tokenizer.tokenText(token).text),
    bytes: (token) => [...tokenizer.tokenText(token).bytes],
    width: (token) =>
      options.skipSpecialTokens && tokenizer.isSpecial(token) ? 0 : countLeadBytes(tokenizer.tokenBytes(token)),
  }
}

/** Tokens without log probabilities are left out. */
export function chatLogprobs(records: readonly TokenRecord[], names: TokenNames): ChatLogprobs {
  const entry = (token: number, logprob: number): ChatTopLogprob => ({
    token: names.text(token),
    logprob: Math.max(logprob, LEAST_LOGPROB),
    bytes: names.bytes(token),
  })
  return {
    content: records.flatMap(({ token, logprobs }) =>
      logprobs === null
        ? []
        : [
            {
              ...entry(token, logprobs.logprob),
              top_logprobs: logprobs.top.map((top) => entry(top.token, top.logprob)),
            },
          ],
    ),
    refusal: null,
  }
}

/**
 * `offset`: characters of the choice's text before the first record; the first `numHidden` records are not in the text
 * at all. The first token of a prompt has no logprobs.
 */
export function completionLogprobs(
  records: readonly TokenRecord[],
  names: TokenNames,
  offset: number,
  numHidden = 0,
): CompletionLogprobs {
  const result: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
  let at = offset
  for (const [index, { token, logprobs }] of records.entries()) {
    result.tokens.push(names.text(token))
    result.text_offset.push(at)
    at += index < numHidden ? 0 : names.width(token)
    result.token_logprobs.push(logprobs && Math.max(logprobs.logprob, LEAST_LOGPROB))
    result.top_logprobs.push(logprobs && topMap(token, logprobs, names))
  }
  return result
}

/** The token itself first, then the likeliest; fromEntries, because a token may be called `__proto__`. */
function topMap(token: number, logprobs: NonNullable<TokenRecord['logprobs']>, names: TokenNames) {
  return Object.fromEntries(
    [{ token, logprob: logprobs.logprob }, ...logprobs.top].map((top) => [
      names.text(top.token),
      Math.max(top.logprob, LEAST_LOGPROB),
    ]),
  )
}

export function promptLogprobsJson(logprobs: PromptLogprobs, names: TokenNames): PromptLogprobsJson {
  return logprobs.map((entry) => {
    if (entry === null) return null
    const { token, logprobs } = entry
    const all = [
      ...logprobs.top.map((top, index) => ({ ...top, rank: index + 1 })),
      { token, logprob: logprobs.logprob, rank: logprobs.rank },
    ]
    return Object.fromEntries(
      all.map(({ token, logprob, rank }) => [
        token,
        { logprob: Math.max(logprob, LEAST_LOGPROB), rank, decoded_token: names.text(token) },
      ]),
    )
  })
}

/** Bytes of UTF-8 that begin a character. */
function countLeadBytes(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) if ((byte & 0xc0) !== 0x80) count++
  return count
}

/** Code points, which is what Python calls the length of a string. */
export function countCharacters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}
