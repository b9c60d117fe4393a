/** The snippets do what they say: they are run, and what they send is what the page sends. */
import { execFileSync } from 'node:child_process'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { SNIPPET_TITLES, type SnippetKind, type SnippetScene, snippet } from '../../demo/src/code/snippets.ts'
import { type Ask, requestOf } from '../../demo/src/engine/request.ts'
import { fakeHouse } from '../api/support/fakeService.ts'

const said = `It's "so":\n\\back\u2028 🦜 $HOME \`x\``
const ask = (model: string, more: Partial<Ask> = {}): Ask => ({
  model,
  style: 'dialogue',
  turns: [{ role: 'user', content: said }],
  maxTokens: 12,
  temperature: 0.5,
  seed: 7,
  ...more,
})
const scene = (asks: readonly Ask[], more: Partial<SnippetScene> = {}): SnippetScene => ({
  asks,
  address: 'http://lorikeet.test',
  model: null,
  adapters: ['pirate', 'team/tutor'].map((name) => ({ name, root: `/adapters/${name}` })),
  needsKey: false,
  ...more,
})
const CHORUS = [ask('org/tiny'), ask('pirate'), ask('team/tutor')]
const BLEND = ask('org/tiny', { blend: [{ name: 'pirate', scale: 0.5 }] })

/** Runs what stands below the imports, with what they bring as arguments. */
async function run(text: string, globals: Readonly<Record<string, unknown>>): Promise<void> {
  const body = text.replace(/^import .*$/gm, '')
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor
  await new AsyncFunction(...Object.keys(globals), body)(...Object.values(globals))
}

/** A house that notes the bodies it is sent. */
function house() {
  const inner = fakeHouse()
  inner.says('Ahoy!')
  const bodies: unknown[] = []
  const fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init)
    const body = (await request.json()) as object
    bodies.push(body)
    // What stands in for an engine knows no blends.
    return await inner.post(new URL(request.url).pathname, { ...body, lora: undefined })
  }
  const lines: unknown[][] = []
  const console = { log: (...line: unknown[]) => lines.push(line) }
  return { fetch, bodies, lines, console }
}

const bodiesOf = (asks: readonly Ask[]): unknown[] => asks.map((each) => requestOf(each).body)

describe('a snippet', () => {
  it.each([
    ['one voice', [ask('pirate')], [['Ahoy!']]],
    ['a chorus', CHORUS, CHORUS.map(({ model }) => [model, 'Ahoy!'])],
  ])('for the openai client asks what the page asks: %s', async (_, asks, lines) => {
    const { fetch, bodies, lines: written, console } = house()
    class Client extends OpenAI {
      constructor(options: ConstructorParameters<typeof OpenAI>[0]) {
        super({ ...options, fetch })
        expect(options?.baseURL).toBe('http://lorikeet.test/v1')
      }
    }
    await run(snippet('node', scene(asks)), { OpenAI: Client, console })
    expect(bodies).toEqual(bodiesOf(asks))
    expect(written).toEqual(lines)
  })

  it('for a page opens the model with the adapters it names, and asks the same', async () => {
    const { fetch, bodies, console } = house()
    let opened: { model?: URL; adapters?: { name: string; source: URL }[] } = {}
    const openInWorker = async (options: typeof opened) => {
      opened = options
      return { fetch }
    }
    const text = snippet('page', scene(CHORUS, { model: 'https://a.test/models/tiny/', address: null }))
    await run(text, { openInWorker, OpenAI, console })
    expect(bodies).toEqual(bodiesOf(CHORUS))
    expect(opened.model?.href).toBe('https://a.test/models/tiny/')
    expect(opened.adapters?.map(({ name, source }) => [name, source.href])).toEqual([
      ['pirate', 'https://a.test/models/tiny/adapters/pirate/'],
      ['team/tutor', 'https://a.test/models/tiny/adapters/team/tutor/'],
    ])
  })

  it('for a program opens it, asks the same, and closes it', async () => {
    const { fetch, bodies, console } = house()
    let closed = 0
    const open = async () => ({ fetch, close: async () => void closed++ })
    await run(snippet('process', scene([ask('pirate')])), { Lorikeet: { open }, OpenAI, console })
    expect(bodies).toEqual(bodiesOf([ask('pirate')]))
    expect(closed).toBe(1)
  })

  it('for a shell carries every character through the quotes', () => {
    for (const asks of [[ask('pirate')], [...CHORUS, BLEND]]) {
      // Prints what curl would get, one argument a line, with NUL for line breaks inside.
      const curl = `curl() { for word in "$@"; do printf '%s' "$word" | tr '\\n' '\\000'; printf '\\n'; done; }\n`
      const script = snippet('curl', scene(asks)).replaceAll(' &\n', '\n')
      const words = execFileSync('sh', ['-c', curl + script])
        .toString()
        .split('\n')
      const bodies = words.flatMap((word, index) => (words[index - 1] === '-d' ? [JSON.parse(word)] : []))
      expect(bodies).toEqual(bodiesOf(asks))
      expect(words.filter((word) => word === 'http://lorikeet.test/v1/chat/completions')).toHaveLength(asks.length)
    }
  })

  it('names the blend where there is one, for every kind', async () => {
    const { fetch, bodies, console } = house()
    class Client extends OpenAI {
      constructor(options: ConstructorParameters<typeof OpenAI>[0]) {
        super({ ...options, fetch })
      }
    }
    const asks = [ask('pirate'), BLEND]
    await run(snippet('node', scene(asks)), { OpenAI: Client, console })
    expect(bodies).toEqual(bodiesOf(asks))
    for (const kind of Object.keys(SNIPPET_TITLES) as SnippetKind[]) {
      expect(snippet(kind, scene(asks))).toContain('scale')
    }
  })

  it('takes the key from the environment and never shows one', () => {
    expect(snippet('curl', scene(CHORUS, { needsKey: true }))).toContain('$LORIKEET_API_KEY')
    expect(snippet('node', scene(CHORUS, { needsKey: true }))).toContain('process.env.LORIKEET_API_KEY')
    expect(snippet('node', scene(CHORUS))).toContain("apiKey: 'none'")
  })

  it('says how to start a server where there is none', () => {
    expect(snippet('curl', scene(CHORUS, { address: null }))).toContain('npx lorikeet serve')
  })
})
