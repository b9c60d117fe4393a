/** Picks the tokenizer and the chat template out of a model folder, whatever kind of folder it is. */
import { ChatTemplate, type CompileOptions, type NamedTemplate } from './chatTemplate.ts'
import { TemplateSyntaxError, TokenizerError } from './errors.ts'
import { Tokenizer } from './tokenizer.ts'
import { isJson, show } from './tokenizerJson.ts'

/** A folder to read from; both answer null for a file that is not there. */
export interface TextFolder {
  readJson(path: string): Promise<unknown | null>
  readText(path: string): Promise<string | null>
}

/** What the text side of a model is made of. `template` is null for a model without one (NoChatTemplateError is for its requests). */
export interface TextModel {
  readonly tokenizer: Tokenizer
  readonly template: ChatTemplate | null
}

/**
 * Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json and the chat template. A chat_template.jinja
 * wins over the one in tokenizer_config.json, as in transformers. Throws TokenizerError or TemplateSyntaxError.
 */
export async function readText(folder: TextFolder, options: CompileOptions = {}): Promise<TextModel> {
  const [tokenizerJson, tokenizerConfig, specialTokensMap, jinja, toolUse] = await Promise.all([
    folder.readJson('tokenizer.json'),
    folder.readJson('tokenizer_config.json'),
    folder.readJson('special_tokens_map.json'),
    folder.readText('chat_template.jinja'),
    folder.readText('additional_chat_templates/tool_use.jinja'),
  ])
  if (tokenizerJson === null) {
    throw new TokenizerError(
      'tokenizer.json',
      null,
      'is missing. Save the tokenizer in the fast format: AutoTokenizer.from_pretrained(...).save_pretrained(...).',
    )
  }
  const tokenizer = Tokenizer.load({ tokenizerJson, tokenizerConfig, specialTokensMap })
  const templates = jinja === null ? configTemplates(tokenizerConfig) : [{ name: 'default', template: jinja }]
  if (toolUse !== null) templates.push({ name: 'tool_use', template: toolUse })
  return { tokenizer, template: templates.length === 0 ? null : ChatTemplate.compile(templates, options) }
}

/** tokenizer_config.json's chat_template: a string, or a list of named ones. */
function configTemplates(config: unknown): NamedTemplate[] {
  const value = isJson(config) ? config.chat_template : null
  if (value === undefined || value === null) return []
  if (typeof value === 'string') return [{ name: 'default', template: value }]
  if (!Array.isArray(value)) {
    throw new TemplateSyntaxError(`tokenizer_config.json: chat_template is ${show(value)}, not a string or a list`)
  }
  return value.map((entry, i) => {
    if (isJson(entry) && typeof entry.name === 'string' && typeof entry.template === 'string') {
      return { name: entry.name, template: entry.template }
    }
    throw new TemplateSyntaxError(`tokenizer_config.json: chat_template[${i}] must have a name and a template`)
  })
}
