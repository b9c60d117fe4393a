/**
 * A model's chat template: messages in, prompt text out. The template comes with the model, the messages from anyone,
 * so the template's own refusals reach the caller word for word and everything else that goes wrong is a typed error.
 */
import { Template } from '@huggingface/jinja'
import { ChatTemplateError, TemplateSyntaxError } from './errors.ts'
import { type ChatMessage, type ContentFormat, templateMessages } from './messages.ts'

/** One of several templates of a model; `default` is used unless a request has tools and there is a `tool_use`. */
export interface NamedTemplate {
  readonly name: string
  readonly template: string
}

export interface CompileOptions {
  /**
   * How content given as a list of parts reaches the template: `string` joins the texts by newlines, `openai` passes
   * the list, `auto` (default) passes it to templates that iterate over content. vLLM's --chat-template-content-format.
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
  /** More variables (`chat_template_kwargs`); names the template has already are refused. */
  readonly variables?: Readonly<Record<string, unknown>>
  /** The clock behind `strftime_now`; default the current time. */
  readonly now?: Date
}

/** Longer than any template in use by an order of magnitude. */
const MAX_TEMPLATE_LENGTH = 512 * 1024

/** A parsed template. Immutable; one serves all requests. */
export class ChatTemplate {
  readonly #templates: ReadonlyMap<string, Template>
  readonly #format: ContentFormat

  /** Throws TemplateSyntaxError. */
  static compile(source: string | readonly NamedTemplate[], options: CompileOptions = {}): ChatTemplate {
    return new ChatTemplate(source, options)
  }

  private constructor(source: string | readonly NamedTemplate[], options: CompileOptions) {
    const named = typeof source === 'string' ? [{ name: 'default', template: source }] : source
    this.#templates = new Map(named.map(({ name, template }) => [name, parse(template)]))
    this.#format = options.contentFormat === 'openai' ? 'parts' : 'string'
  }

  /** Throws ChatTemplateError (400) with the template's own words, or MessageError naming the message. */
  render(options: RenderOptions): string {
    const tools = options.tools ?? null
    const template = (tools !== null && this.#templates.get('tool_use')) || this.#templates.get('default')
    if (template === undefined) throw new TemplateSyntaxError('no default')
    try {
      return template.render({
        messages: templateMessages(options.messages, this.#format),
        tools,
        documents: null,
        add_generation_prompt: options.addGenerationPrompt ?? true,
        bos_token: options.bosToken ?? '',
        eos_token: options.eosToken ?? '',
        ...options.variables,
      })
    } catch (error) {
      throw new ChatTemplateError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }
}

function parse(source: string): Template {
  if (source.length > MAX_TEMPLATE_LENGTH) throw new TemplateSyntaxError('too long')
  try {
    return new Template(source)
  } catch (error) {
    throw new TemplateSyntaxError(String(error), { cause: error })
  }
}
