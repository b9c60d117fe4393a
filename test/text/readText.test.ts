import { describe, expect, it } from 'vitest'
import { NoChatTemplateError, TemplateSyntaxError, TokenizerError } from '../../src/text/errors.ts'
import { readText, type TextFolder } from '../../src/text/readText.ts'
import { readReference } from './reference.ts'

const tokenizerJson = readReference('models/llama-tiny/tokenizer.json')
const tokenizerConfig = readReference('models/llama-tiny/tokenizer_config.json') as Record<string, unknown>
const { chat_template: inConfig, ...withoutTemplate } = tokenizerConfig

function folder(files: Record<string, unknown>): TextFolder {
  return {
    readJson: async (path) => files[path] ?? null,
    readText: async (path) => (files[path] as string | undefined) ?? null,
  }
}

async function rendered(files: Record<string, unknown>, tools: unknown[] | null = null): Promise<string | null> {
  const { template } = await readText(folder({ 'tokenizer.json': tokenizerJson, ...files }))
  return template?.render({ messages: [{ role: 'user', content: 'hi' }], tools, bosToken: '', eosToken: '' }) ?? null
}

describe('readText', () => {
  it('reads a real folder', async () => {
    const files = { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': tokenizerConfig }
    const { tokenizer } = await readText(folder(files))
    expect(tokenizer.eosToken).toBe('<|end|>')
    expect(typeof inConfig).toBe('string')
    expect(await rendered(files)).toBe('<|user|>\nhi<|end|><|assistant|>\n')
  })

  it('takes chat_template.jinja before the configuration, and a template for tools beside either', async () => {
    const files = { 'tokenizer_config.json': tokenizerConfig, 'chat_template.jinja': 'from the file' }
    expect(await rendered(files)).toBe('from the file')
    const more = { ...files, 'additional_chat_templates/tool_use.jinja': 'with tools' }
    expect(await rendered(more)).toBe('from the file')
    expect(await rendered(more, [{}])).toBe('with tools')
  })

  it('takes a list of named templates', async () => {
    const chat_template = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ]
    expect(await rendered({ 'tokenizer_config.json': { ...withoutTemplate, chat_template } })).toBe('plain')
    expect(await rendered({ 'tokenizer_config.json': { ...withoutTemplate, chat_template } }, [{}])).toBe('tools')
  })

  it('has no template for a model without one; the error for its requests says what to do', async () => {
    expect(await rendered({ 'tokenizer_config.json': withoutTemplate })).toBeNull()
    expect(await rendered({})).toBeNull()
    expect(new NoChatTemplateError().message).toContain('/v1/completions')
  })

  it('refuses what it cannot use by name', async () => {
    await expect(readText(folder({}))).rejects.toThrow(TokenizerError)
    await expect(readText(folder({}))).rejects.toThrow('tokenizer.json is missing')
    for (const chat_template of [3, {}, [3], [{ name: 'default' }]]) {
      await expect(rendered({ 'tokenizer_config.json': { chat_template } })).rejects.toThrow(TemplateSyntaxError)
    }
  })
})
