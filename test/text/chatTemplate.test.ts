import { describe, expect, it } from 'vitest'
import { ChatTemplate, type RenderOptions } from '../../src/text/chatTemplate.ts'
import { ChatTemplateError, MessageError, TemplateSyntaxError } from '../../src/text/errors.ts'
import type { ChatMessage } from '../../src/text/messages.ts'
import { readReference, referenceTokenizer } from './reference.ts'

interface Reference {
  readonly bos_token: string
  readonly eos_token: string
  readonly tokenizer: string
  readonly templates: Record<string, string>
  readonly conversations: readonly {
    readonly name: string
    readonly messages: readonly ChatMessage[]
    readonly tools?: readonly unknown[]
    readonly add_generation_prompt: boolean
    readonly variables?: Record<string, unknown>
  }[]
  readonly goldens: readonly {
    readonly template: string
    readonly conversation: string
    readonly rendered?: string
    readonly ids?: readonly number[]
    readonly error?: string
  }[]
}

const reference = readReference('chat_templates.json') as Reference
const NO_TOKENS = { bosToken: null, eosToken: null }

function render(template: string, options: Omit<RenderOptions, 'bosToken' | 'eosToken'>): string {
  return ChatTemplate.compile(template).render({ ...NO_TOKENS, ...options })
}

describe('reference templates', () => {
  const tokenizer = referenceTokenizer('llama3')

  it.each(reference.goldens.map((golden) => [golden.template, golden.conversation, golden] as const))(
    '%s: %s as in transformers',
    (name, conversation, golden) => {
      const { messages, tools, add_generation_prompt, variables } = reference.conversations.find(
        (one) => one.name === conversation,
      )!
      // transformers hands lists of parts to every template as they are.
      const template = ChatTemplate.compile(reference.templates[name]!, { contentFormat: 'openai' })
      const run = () =>
        template.render({
          messages,
          tools: tools ?? null,
          addGenerationPrompt: add_generation_prompt,
          bosToken: reference.bos_token,
          eosToken: reference.eos_token,
          ...(variables === undefined ? {} : { variables }),
        })
      if (golden.error === undefined) {
        expect(run()).toBe(golden.rendered)
        expect(tokenizer.encode(run(), { addSpecialTokens: false })).toEqual(golden.ids)
      } else {
        expect(run).toThrow(ChatTemplateError)
        const [kind, text] = golden.error.split(/: (.*)/s) as [string, string]
        if (kind === 'TemplateError') expect(run).toThrow(expect.objectContaining({ message: text, status: 400 }))
      }
    },
  )
})

describe('content as a list of parts', () => {
  const parts: ChatMessage[] = [{ role: 'user', content: ['one', 'two'].map((text) => ({ type: 'text', text })) }]

  it('is joined by newlines for a template that wants a string', () => {
    expect(render('{% for m in messages %}{{ m.role + m.content }}{% endfor %}', { messages: parts })).toBe(
      'userone\ntwo',
    )
  })

  it('stays a list for a template that loops over it, in whatever way', () => {
    for (const loop of [
      '{% for p in m.content %}<{{ p.text }}>{% endfor %}',
      "{% for p in m['content'] | list %}<{{ p['text'] }}>{% endfor %}",
      '{% set c = m.content %}{% for p in c %}<{{ p.text }}>{% endfor %}',
      '{% macro show(content) %}{% for p in content %}<{{ p.text }}>{% endfor %}{% endmacro %}{{ show(m.content) }}',
    ]) {
      expect(render(`{% for m in messages %}${loop}{% endfor %}`, { messages: parts })).toBe('<one><two>')
    }
  })

  it('is made of a string for a template that knows nothing else', () => {
    const loop = '{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}'
    expect(render(loop, { messages: [{ role: 'user', content: 'hi' }] })).toBe('<hi>')
    const both = `{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}${loop}{% endif %}{% endfor %}`
    expect(render(both, { messages: [{ role: 'user', content: 'hi' }] })).toBe('hi')
  })

  it('can be chosen as in vLLM', () => {
    const json = '{{ messages[0].content | tojson }}'
    const compile = (contentFormat: 'string' | 'openai') => ChatTemplate.compile(json, { contentFormat })
    expect(compile('string').render({ ...NO_TOKENS, messages: parts })).toBe('"one\\ntwo"')
    expect(compile('openai').render({ ...NO_TOKENS, messages: parts })).toBe(
      '[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]',
    )
  })

  it('is refused by name when there is more than text in it', () => {
    const image = { type: 'image_url', image_url: { url: 'data:' } }
    const run = () =>
      render('{{ messages }}', { messages: [{ role: 'user', content: [parts[0]!.content![0] as never, image] }] })
    expect(run).toThrow(MessageError)
    expect(run).toThrow(expect.objectContaining({ param: 'messages[0].content[1]', status: 400 }))
    expect(run).toThrow('"image_url"')
    expect(() => render('', { messages: [{ role: 'user', content: [{ type: 'text' }] }] })).toThrow(
      expect.objectContaining({ param: 'messages[0].content[0].text' }),
    )
    expect(() => render('', { messages: [{ role: 'user', content: 3 as never }] })).toThrow(
      expect.objectContaining({ param: 'messages[0].content' }),
    )
  })
})

describe('messages', () => {
  it('without content have an empty one', () => {
    const messages: ChatMessage[] = [{ role: 'assistant', content: null, tool_calls: [] }, { role: 'user' }]
    expect(render('{% for m in messages %}[{{ m.content }}]{% endfor %}', { messages })).toBe('[][]')
  })

  it('have the arguments of tool calls as objects', () => {
    const call = (text: string) => ({ id: 'c', type: 'function', function: { name: 'f', arguments: text } })
    const messages = (text: string): ChatMessage[] => [{ role: 'assistant', content: '', tool_calls: [call(text)] }]
    const template = '{{ messages[0].tool_calls[0].function.arguments | tojson }}'
    expect(render(template, { messages: messages('{"city": "Köln", "days": 2}') })).toBe('{"city": "Köln", "days": 2}')
    expect(render(template, { messages: messages('') })).toBe('{}')
    expect(() => render(template, { messages: messages('{"city":') })).toThrow(
      expect.objectContaining({ param: 'messages[0].tool_calls[0].function.arguments' }),
    )
  })

  it('keep their other fields', () => {
    const messages = [{ role: 'tool', name: 'f', tool_call_id: 'c', content: 'x' }]
    expect(render('{{ messages[0].name }}{{ messages[0].tool_call_id }}', { messages })).toBe('fc')
  })
})

describe('variables', () => {
  const messages: ChatMessage[] = []

  it('are what transformers gives: tools and documents None, tokens undefined when there are none', () => {
    expect(
      render('{{ tools }} {{ documents }} {{ bos_token is defined }} {{ add_generation_prompt }}', { messages }),
    ).toBe('None None False True')
  })

  it('may be added, and may change what a request has no field for', () => {
    expect(render('{{ enable_thinking }}', { messages, variables: { enable_thinking: false } })).toBe('False')
    const variables = { add_generation_prompt: false }
    expect(render('{{ add_generation_prompt }}', { messages, variables })).toBe('False')
  })

  it.each(['messages', 'tools', 'bos_token', 'raise_exception', 'range', 'namespace'])('may not replace %s', (name) => {
    expect(() => render('', { messages, variables: { [name]: 1 } })).toThrow(ChatTemplateError)
  })

  it('have the date', () => {
    const now = new Date(2024, 6, 26, 10)
    expect(render("{{ strftime_now('%d %b %Y') }}", { messages, now })).toBe('26 Jul 2024')
  })
})

describe('several templates', () => {
  const named = (...names: string[]) => names.map((name) => ({ name, template: name }))
  const run = (names: string[], tools: unknown[] | null) =>
    ChatTemplate.compile(named(...names)).render({ ...NO_TOKENS, messages: [], tools })

  it('are chosen by whether there are tools', () => {
    expect(run(['default', 'tool_use', 'rag'], null)).toBe('default')
    expect(run(['default', 'tool_use'], [{}])).toBe('tool_use')
    expect(run(['default'], [{}])).toBe('default')
    expect(run(['only'], null)).toBe('only')
  })

  it('must have one to choose', () => {
    expect(() => ChatTemplate.compile(named('rag', 'other'))).toThrow('named "default"')
    expect(() => run(['tool_use', 'other'], null)).toThrow(ChatTemplateError)
  })
})

describe('a bad template', () => {
  it('is refused with its line', () => {
    const compile = () => ChatTemplate.compile('{{ bos_token }}\n{% if x %}')
    expect(compile).toThrow(TemplateSyntaxError)
    expect(compile).toThrow('line 2')
  })

  it('is refused when it is endless', () => {
    expect(() => ChatTemplate.compile('x'.repeat(600_000))).toThrow('600000 characters')
  })

  it('is told apart from a conversation it cannot render', () => {
    expect(() => render('{{ messages[0].content.x.y }}', { messages: [{ role: 'user', content: 'x' }] })).toThrow(
      /^The chat template cannot render these messages: line 1/,
    )
  })
})
