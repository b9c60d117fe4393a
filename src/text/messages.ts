/**
 * OpenAI's messages as a chat template wants them. Content may be a string, null, or a list of parts; templates differ
 * in which of the first and the last they understand, so the list is given to those that iterate over content and
 * joined for the others, as vLLM does.
 */
import { MessageError } from './errors.ts'
import { isJson, type Json, show } from './tokenizerJson.ts'

/** A message of a chat request. Fields beyond role and content (name, tool_calls, ...) reach the template untouched. */
export interface ChatMessage {
  readonly role: string
  readonly content?: string | readonly ContentPart[] | null
  readonly [field: string]: unknown
}

/** One part of a message's content; only text parts can be used. */
export interface ContentPart {
  readonly type: string
  readonly text?: string
  readonly [field: string]: unknown
}

/**
 * How a template takes content. `string`: text, parts joined by newlines. `parts`: a list stays a list, a string stays
 * a string. `onlyParts`: the template cannot take a string, so it becomes a list of one part.
 */
export type ContentFormat = 'string' | 'parts' | 'onlyParts'

/** Throws MessageError naming the message and the part. */
export function templateMessages(messages: readonly ChatMessage[], format: ContentFormat): Json[] {
  return messages.map((message, i) => {
    const at = `messages[${i}]`
    const { content } = message
    const prepared = { ...message, content: templateContent(content, format, `${at}.content`) }
    return Array.isArray(message.tool_calls)
      ? { ...prepared, tool_calls: message.tool_calls.map((call, k) => parsedCall(call, `${at}.tool_calls[${k}]`)) }
      : prepared
  })
}

function templateContent(content: ChatMessage['content'], format: ContentFormat, at: string): unknown {
  if (Array.isArray(content)) {
    const parts = content.map((part, k) => textPart(part, `${at}[${k}]`))
    return format === 'string' ? parts.map((part) => part.text).join('\n') : parts
  }
  if (content !== undefined && content !== null && typeof content !== 'string') {
    throw new MessageError(at, 'must be a string, a list of parts, or null')
  }
  const text = content ?? ''
  return format === 'onlyParts' ? [{ type: 'text', text }] : text
}

function textPart(part: unknown, at: string): { readonly type: string; readonly text: string } {
  if (!isJson(part)) throw new MessageError(at, 'must be an object with a type')
  if (part.type !== 'text') {
    throw new MessageError(
      at,
      `has type ${show(part.type)}; this model reads text only, so every part must have type "text"`,
    )
  }
  if (typeof part.text !== 'string') throw new MessageError(`${at}.text`, 'must be a string')
  return { type: 'text', text: part.text }
}

/** OpenAI sends arguments as JSON text; templates print the object. */
function parsedCall(call: unknown, at: string): unknown {
  if (!isJson(call) || !isJson(call.function) || typeof call.function.arguments !== 'string') return call
  const { arguments: text } = call.function
  try {
    return { ...call, function: { ...call.function, arguments: text.trim() === '' ? {} : JSON.parse(text) } }
  } catch {
    throw new MessageError(`${at}.function.arguments`, `is not JSON: ${show(text)}`)
  }
}
