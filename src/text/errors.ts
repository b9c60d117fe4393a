/** What can be wrong with a tokenizer, a chat template or the messages it is given: each a typed refusal that names the place. */
import { LorikeetError } from '../errors.ts'

/** A tokenizer file that is missing, malformed, or asks for something that is not implemented. */
export class TokenizerError extends LorikeetError {
  readonly code = 'invalid_tokenizer'
  override readonly param: string

  /** `file` and `field` say where, e.g. ("tokenizer.json", "model.vocab"); `problem` is a clause that follows them. */
  constructor(file: string, field: string | null, problem: string, options?: ErrorOptions) {
    const place = field === null ? file : `${file}: ${field}`
    super(`${place} ${problem}`, options)
    this.param = place
  }
}

/** Template text that does not parse, is too long, or is not where it was asked for. The model's fault, found before any request. */
export class TemplateSyntaxError extends LorikeetError {
  readonly code = 'invalid_chat_template'
  override readonly param = 'chat_template'
}

/** The template refused the conversation (its own `raise_exception`) or could not render it. */
export class ChatTemplateError extends LorikeetError {
  readonly code = 'chat_template_error'
  override readonly param = 'messages'
}

/** The model brings no chat template. */
export class NoChatTemplateError extends LorikeetError {
  readonly code = 'no_chat_template'
  override readonly param = 'messages'

  constructor() {
    super(
      'This model has no chat template. Send the prompt to /v1/completions, or put a chat_template.jinja beside the model’s tokenizer.json.',
    )
  }
}

/** A message whose content the text model cannot take: an image, a part without text, arguments that are not JSON. */
export class MessageError extends LorikeetError {
  readonly code = 'invalid_message'
  override readonly param: string

  /** `param` is a path such as `messages[2].content[0]`. */
  constructor(param: string, problem: string) {
    super(`${param} ${problem}`)
    this.param = param
  }
}

/** An empty stop string would stop before the first character. */
export class StopStringError extends LorikeetError {
  readonly code = 'invalid_stop'
  override readonly param: string

  constructor(param: string) {
    super(`${param} is empty. Leave it out, or give at least one character.`)
    this.param = param
  }
}
