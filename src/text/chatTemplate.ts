/**
 * A model's chat template: messages in, prompt text out. The template comes with the model, the messages from anyone,
 * so the template's own refusals reach the caller word for word and everything else that goes wrong is a typed error.
 */
import { detectContentFormat } from './contentFormat.ts'
import { ChatTemplateError, TemplateSyntaxError } from './errors.ts'
import { JinjaError, JinjaSyntaxError } from './jinja/error.ts'
import { GLOBAL_NAMES, JinjaTemplate } from './jinja/template.ts'
import { type ChatMessage, type ContentFormat, templateMessages } from './messages.ts'

/** One of several templates of a model; `default` is used unless a request has tools and there is a `tool_use`. */
export interface NamedTemplate {
  readonly name: string
  readonly template: string
}

export interface CompileOptions {
  /**
   * How content given as a list of parts reaches the template: `string` joins the texts by newlines, `openai` passes
   * the list, `auto` (default) passes it to templates that loop over content. vLLM's --chat-template-content-format.
   */
  readonly contentFormat?: 'auto' | 'string' | 'openai'
}

/** What a template is rendered with. */
export interface RenderOptions {
  readonly messages: readonly ChatMessage[]
  readonly tools?: readonly unknown[] | null
  /** End with the header of an assistant's turn; default true. */
  readonly addGenerationPrompt?: boolean
  readonly bosToken: string | null
  readonly eosToken: string | null
  /** More variables (`chat_template_kwargs`); they may not take the place of what a request already says elsewhere. */
  readonly variables?: Readonly<Record<string, unknown>>
  /** The clock behind `strftime_now`; default the current time. */
  readonly now?: Date
}

interface Compiled {
  readonly template: JinjaTemplate
  readonly format: ContentFormat
}

/** Longer than any template in use by an order of magnitude. */
const MAX_TEMPLATE_LENGTH = 512 * 1024
const RESERVED: ReadonlySet<string> = new Set([...GLOBAL_NAMES, 'messages', 'tools', 'bos_token', 'eos_token', 'loop'])

/** A parsed template. Immutable; one serves all requests. */
export class ChatTemplate {
  readonly #default: Compiled | null
  readonly #toolUse: Compiled | null

  /** Takes the template's text, or a model's list of named ones. Throws TemplateSyntaxError with the line. */
  static compile(source: string | readonly NamedTemplate[], options: CompileOptions = {}): ChatTemplate {
    const named = typeof source === 'string' ? [{ name: 'default', template: source }] : source
    const compiled = new Map(named.map(({ name, template }) => [name, compile(name, template, options)]))
    const chosen = compiled.get('default') ?? (compiled.size === 1 ? [...compiled.values()][0]! : null)
    if (chosen === null && !compiled.has('tool_use')) {
      throw new TemplateSyntaxError(
        `none of the chat templates (${[...compiled.keys()].join(', ')}) is named "default"`,
      )
    }
    return new ChatTemplate(chosen, compiled.get('tool_use') ?? null)
  }

  private constructor(normal: Compiled | null, toolUse: Compiled | null) {
    this.#default = normal
    this.#toolUse = toolUse
  }

  /**
   * The prompt. It holds the model's special tokens as text: encode it with `addSpecialTokens: false`.
   * Throws ChatTemplateError (400), with the template's own words where it refuses the conversation, or MessageError
   * naming the message.
   */
  render(options: RenderOptions): string {
    const tools = options.tools ?? null
    const compiled = tools === null ? this.#default : (this.#toolUse ?? this.#default)
    if (compiled === null) throw new ChatTemplateError('This model has a chat template for requests with tools only.')
    const reserved = Object.keys(options.variables ?? {}).find((name) => RESERVED.has(name))
    if (reserved !== undefined) {
      throw new ChatTemplateError(`chat_template_kwargs may not set "${reserved}"; the template has it from elsewhere.`)
    }
    const messages = templateMessages(options.messages, compiled.format)
    const variables = {
      // As transformers calls a template: what is not given is None, not undefined.
      documents: null,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      ...options.variables,
      messages,
      tools,
      bos_token: options.bosToken ?? undefined,
      eos_token: options.eosToken ?? undefined,
    }
    try {
      return compiled.template.render(variables, options.now ?? new Date())
    } catch (error) {
      if (!(error instanceof JinjaError)) throw error
      const message = error.raised ? error.message : `The chat template cannot render these messages: ${error.message}.`
      throw new ChatTemplateError(message, { cause: error })
    }
  }
}

function compile(name: string, source: string, options: CompileOptions): Compiled {
  if (source.length > MAX_TEMPLATE_LENGTH) {
    throw new TemplateSyntaxError(
      `chat template "${name}" has ${source.length} characters, the most are ${MAX_TEMPLATE_LENGTH}`,
    )
  }
  try {
    const template = new JinjaTemplate(source)
    const wanted = options.contentFormat ?? 'auto'
    const format = wanted === 'openai' ? 'parts' : wanted === 'string' ? 'string' : detectContentFormat(template.body)
    return { template, format }
  } catch (error) {
    if (!(error instanceof JinjaSyntaxError)) throw error
    throw new TemplateSyntaxError(`chat template "${name}", line ${error.line}: ${error.message}`, { cause: error })
  }
}
