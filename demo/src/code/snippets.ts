/** What is on screen, as programs that others can run: the very requests of the page, in four places. */
import { type ApiRequest, type Ask, requestOf } from '../engine/request.ts'

export type SnippetKind = 'curl' | 'node' | 'page' | 'process'

export const SNIPPET_TITLES: Readonly<Record<SnippetKind, string>> = {
  curl: 'curl',
  node: 'openai, to a server',
  page: 'in a page',
  process: 'in your program',
}

export interface SnippetScene {
  readonly asks: readonly Ask[]
  /** The server's address; null while the engine is in a tab. */
  readonly address: string | null
  /** Where the model and its adapters lie; null when the page does not know. */
  readonly model: string | null
  readonly adapters: readonly { readonly name: string; readonly root: string }[]
  readonly needsKey: boolean
}

/** `lorikeet serve` listens here. */
const DEFAULT_ADDRESS = 'http://localhost:8000'

export function snippet(kind: SnippetKind, scene: SnippetScene): string {
  return WRITERS[kind](scene)
}

const WRITERS: Readonly<Record<SnippetKind, (scene: SnippetScene) => string>> = {
  curl: curlSnippet,
  node: ({ address, asks, needsKey }) => {
    const key = needsKey ? 'process.env.LORIKEET_API_KEY' : "'none'"
    const client = [
      `import OpenAI from 'openai'`,
      '',
      `const openai = new OpenAI({ baseURL: ${quoted(`${address ?? DEFAULT_ADDRESS}/v1`)}, apiKey: ${key} })`,
    ]
    return [...client, '', ...callLines(asks)].join('\n')
  },
  page: (scene) => {
    const model = scene.model ?? 'https://your.site/models/aviary/'
    const opening = [
      `import { openInWorker } from 'lorikeet/browser'`,
      `import OpenAI from 'openai'`,
      '',
      'const bird = await openInWorker({',
      `  model: new URL(${quoted(model)}),`,
      '  adapters: [',
      ...adaptersOf(scene).map((name) => {
        const root = scene.adapters.find((adapter) => adapter.name === name)?.root ?? ''
        const address = /^https?:/.test(root) ? root : new URL(`adapters/${name}/`, model).href
        return `    { name: ${quoted(name)}, source: new URL(${quoted(address)}) },`
      }),
      '  ],',
      '})',
      'const openai = new OpenAI({',
      '  fetch: bird.fetch,',
      `  baseURL: 'http://lorikeet/v1',`,
      `  apiKey: 'none',`,
      '  dangerouslyAllowBrowser: true, // there is no key to keep: the model runs in this page',
      '})',
    ]
    return [...opening, '', ...callLines(scene.asks)].join('\n')
  },
  process: (scene) => {
    const model = scene.model === null || scene.model.startsWith('http') ? './models/aviary' : scene.model
    const opening = [
      `import { Lorikeet } from 'lorikeet' // in Node, beside it: npm install webgpu`,
      `import OpenAI from 'openai'`,
      '',
      'const bird = await Lorikeet.open({',
      `  model: ${quoted(model)},`,
      '  adapters: [',
      ...adaptersOf(scene).map((name) => {
        const root = scene.adapters.find((adapter) => adapter.name === name)?.root ?? ''
        const path = root === '' || /^https?:/.test(root) ? `${model}/adapters/${name}` : root
        return `    { name: ${quoted(name)}, source: ${quoted(path)} },`
      }),
      '  ],',
      '})',
      `const openai = new OpenAI({ fetch: bird.fetch, baseURL: 'http://lorikeet/v1', apiKey: 'none' })`,
    ]
    return [...opening, '', ...callLines(scene.asks), '', 'await bird.close()'].join('\n')
  },
}

/** The adapters that the requests name, each once. */
function adaptersOf({ asks, adapters }: SnippetScene): readonly string[] {
  const named = asks.flatMap(({ model, blend }) => [model, ...(blend ?? []).map(({ name }) => name)])
  return [...new Set(named)].filter((name) => adapters.some((adapter) => adapter.name === name))
}

function curlSnippet({ asks, address, needsKey }: SnippetScene): string {
  const key = needsKey ? ` \\\n    -H "authorization: Bearer $LORIKEET_API_KEY"` : ''
  const call = ({ path, body }: ApiRequest): string =>
    [
      `curl -sS ${address ?? DEFAULT_ADDRESS}/${path} \\`,
      `    -H 'content-type: application/json'${key} \\`,
      `    -d ${shellQuoted(JSON.stringify(body))}`,
    ].join('\n')
  const calls = asks.map((ask) => call(requestOf(ask)))
  const start = address === null ? ['npx lorikeet serve &   # then, when it is ready:', ''] : []
  if (calls.length === 1) return [...start, calls[0]!].join('\n')
  return [
    ...start,
    ...calls.map((text) => `${text} &`),
    'wait   # all at once: the server takes them into one batch',
  ].join('\n')
}

/** One call, or one call for each model where only the model differs, or a list of requests. */
function callLines(asks: readonly Ask[]): string[] {
  const requests = asks.map(requestOf)
  const [first] = requests
  if (!first) return ['// Choose a voice.']
  const method = first.path === 'v1/completions' ? 'completions' : 'chat.completions'
  const textOf = method === 'completions' ? 'choices[0].text' : 'choices[0].message.content'
  if (requests.length === 1) {
    return [`const answer = await openai.${method}.create(${literal(first.body, '')})`, `console.log(answer.${textOf})`]
  }
  const { model: _, lora: __, ...common } = first.body
  const isPlain = requests.every(({ body }) => body.lora === undefined)
  const each = isPlain
    ? requests.map(({ body }) => quoted(String(body.model)))
    : requests.map(({ body: { model, lora } }) => inline({ model, ...(lora !== undefined && { lora }) }))
  const [parameter, spread] = isPlain ? ['model', 'model'] : ['voice', '...voice']
  return [
    '// All at once: they share every step of one batch.',
    `const voices = [${each.join(', ')}]`,
    'const answers = await Promise.all(',
    `  voices.map((${parameter}) =>`,
    `    openai.${method}.create(${literal(common, '    ', `${spread},`)}),`,
    '  ),',
    ')',
    `answers.forEach((answer, i) => console.log(voices[i], answer.${textOf}))`,
  ]
}

/** An object over several lines, one field each; `head` stands before them as it is. */
function literal(fields: Readonly<Record<string, unknown>>, indent: string, head = ''): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${inline(value)},`)
  const body = [...(head === '' ? [] : [head]), ...lines].map((line) => `${indent}  ${line}`)
  return ['{', ...body, `${indent}}`].join('\n')
}

function inline(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, each]) => `${name}: ${inline(each)}`)
    return `{ ${fields.join(', ')} }`
  }
  return JSON.stringify(value)
}

/** A string of JavaScript in single quotes. */
function quoted(text: string): string {
  const inside = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")
  return `'${inside}'`
}

/** A word of any POSIX shell. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
