/**
 * What a server must do on every host, as plain functions: vitest runs them on Node and in Chromium (endToEnd.test.ts), Deno
 * runs them by itself (deno.ts), so they use nothing but the web's own API. Each throws when what it says is not so.
 */
import type { StepTrace } from '../../src/engine/observer.ts'
import { Lorikeet, type OpenOptions } from '../../src/lorikeet.ts'

/** A model that is being served, and a client's way to it. */
export interface Served {
  readonly bird: Lorikeet
  /** Over a port, or in this process. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** A reference adapter of the model, as requests name it. */
  adapterPath(name: string): string
  /** Steps so far. */
  readonly steps: readonly StepTrace[]
  close(): Promise<void>
}

export interface Scenario {
  readonly name: string
  run(served: Served): Promise<void>
}

const MIB = 2 ** 20
const BASE = 'llama-tiny'
/** Adapters that are there from the start. */
const VOICES = ['attn-r16', 'all-linear-r8', 'mlp-r32', 'dora-r8']
const NUM_TOKENS = 48
const PROMPT = Array.from({ length: 40 }, (_, i) => 20 + ((i * 37) % 400))

/** Opens the model with its voices, however `host` says where files are. */
export async function openModel(
  reference: (path: string) => string,
  gpu: NonNullable<OpenOptions['gpu']>,
): Promise<Pick<Served, 'bird' | 'adapterPath' | 'steps'>> {
  const steps: StepTrace[] = []
  const adapterPath = (name: string): string => reference(`adapters/${BASE}/${name}`)
  const bird = await Lorikeet.open({
    model: reference(`models/${BASE}`),
    gpu,
    servedModelNames: [BASE],
    adapters: VOICES.map((name) => ({ name, source: adapterPath(name) })),
    sizes: { kvCacheMemory: 4 * MIB, loraMemory: 4 * MIB, maxNumBatchedTokens: 64, maxModelLen: 128, maxNumSeqs: 8 },
    runtimeLora: { roots: [reference('adapters')] },
    engine: { observer: { step: (step) => steps.push(step) } },
  })
  return { bird, adapterPath, steps }
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'lists the base and its adapters',
    async run({ fetch }) {
      const { data } = await json(await fetch('/v1/models'))
      equal(
        data.map(({ id, parent }: { id: string; parent: string | null }) => `${id} of ${parent}`),
        [`${BASE} of null`, ...VOICES.map((name) => `${name} of ${BASE}`)],
      )
    },
  },
  {
    name: 'streams a chat as it answers it whole',
    async run({ fetch }) {
      const chat = { messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 24, temperature: 0, ignore_eos: true }
      const whole = await json(await post(fetch, '/v1/chat/completions', { model: BASE, ...chat }))
      const stream = { ...chat, model: BASE, stream: true, stream_options: { include_usage: true } }
      const events = await eventsOf(await post(fetch, '/v1/chat/completions', stream))
      equal(events.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), whole.choices[0].message.content)
      equal(events.at(-1).usage.completion_tokens, 24)
      check(events.filter(({ choices }) => choices[0]?.delta.content).length > 4, 'the answer came in pieces')
    },
  },
  {
    name: 'mixes streams of all adapters and the base in one batch, each as it is alone',
    async run({ fetch, steps }) {
      const names = [BASE, ...VOICES]
      const alone: number[][] = []
      for (const name of names) {
        alone.push((await json(await post(fetch, '/v1/completions', completion(name)))).choices[0].token_ids)
      }
      equal(new Set(alone.map(String)).size, names.length)
      const before = steps.length
      // Who said something, in the order in which it was heard.
      const heard: string[] = []
      const together = await Promise.all(
        names.map(async (name) => {
          const response = await post(fetch, '/v1/completions', { ...completion(name), stream: true })
          const events = await eventsOf(response, () => heard.push(name))
          return events.flatMap(({ choices }) => choices[0]?.token_ids ?? [])
        }),
      )
      equal(together, alone)
      const mixed = steps.slice(before).filter(({ numSegments }) => numSegments === VOICES.length)
      check(mixed.length >= NUM_TOKENS / 2, `${mixed.length} steps held all ${VOICES.length} adapters`)
      const firsts = names.map((name) => heard.indexOf(name))
      const lasts = names.map((name) => heard.lastIndexOf(name))
      check(Math.max(...firsts) < Math.min(...lasts), `every stream began before any ended: ${heard.join(' ')}`)
    },
  },
  {
    name: 'ends what a client leaves, and gives its room back',
    async run({ fetch, bird }) {
      const before = bird.runtime.engine.stats().kvCacheUsage
      const leaving = new AbortController()
      const body = { ...completion(VOICES[0]!), max_tokens: 80, stream: true }
      const response = await post(fetch, '/v1/completions', body, leaving.signal)
      await response.body!.getReader().read()
      check(bird.runtime.engine.stats().running > 0, 'it runs when the client leaves')
      leaving.abort()
      await until(() => bird.runtime.engine.stats().running === 0)
      equal(bird.runtime.engine.stats().kvCacheUsage, before)
      // Nobody else is disturbed, and the same place serves the next.
      equal((await json(await post(fetch, '/v1/completions', completion(BASE)))).usage.completion_tokens, NUM_TOKENS)
    },
  },
  {
    name: 'loads an adapter by request, serves it, and unloads it',
    async run({ fetch, adapterPath }) {
      const load = { lora_name: 'guest', lora_path: adapterPath('r5') }
      const loaded = await post(fetch, '/v1/load_lora_adapter', load)
      equal([loaded.status, await loaded.text()], [200, "Success: LoRA adapter 'guest' added successfully."])
      equal((await json(await post(fetch, '/v1/completions', completion('guest')))).choices[0].token_ids.length, 48)
      equal((await post(fetch, '/v1/unload_lora_adapter', { lora_name: 'guest' })).status, 200)
      const gone = await post(fetch, '/v1/completions', completion('guest'))
      equal([gone.status, (await gone.json()).error.param], [404, 'model'])
    },
  },
  {
    name: 'refuses what is wrong, and what lies outside, by name',
    async run({ fetch }) {
      const wrong = await post(fetch, '/v1/completions', { ...completion(BASE), temperature: 'hot' })
      equal([wrong.status, (await wrong.json()).error.param], [400, 'temperature'])
      const outside = { lora_name: 'thief', lora_path: '/etc' }
      equal((await post(fetch, '/v1/load_lora_adapter', outside)).status, 400)
    },
  },
  {
    name: 'leaves nothing on the GPU when it closes',
    async run(served) {
      await served.close()
      const { gpu } = served.bird.runtime
      equal([gpu.ledger.count, gpu.ledger.describe()], [0, ''])
    },
  },
]

const completion = (model: string) => ({
  ...{ model, prompt: PROMPT, max_tokens: NUM_TOKENS, temperature: 0, ignore_eos: true, return_token_ids: true },
})

async function post(fetch: Served['fetch'], path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) })
}

// biome-ignore lint/suspicious/noExplicitAny: answers are JSON whose shape the scenario states by reading it.
async function json(response: Response): Promise<any> {
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  return await response.json()
}

/** The events of a stream that ends as it should. `onEvent` is called as each arrives. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
async function eventsOf(response: Response, onEvent: () => void = () => undefined): Promise<any[]> {
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const events: string[] = []
  let rest = ''
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const parts = (rest + piece.value).split('\n\n')
    rest = parts.pop()!
    for (const part of parts) {
      events.push(part.replace(/^data: /, ''))
      onEvent()
    }
  }
  equal([rest, events.pop()], ['', '[DONE]'])
  return events.map((event) => JSON.parse(event))
}

async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setTimeout(resolve))
}

function check(isSo: boolean, statement: string): void {
  if (!isSo) throw new Error(`It is not so that ${statement}`)
}

function equal(found: unknown, expected: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)]
  if (one !== other) throw new Error(`Expected ${other}, found ${one}`)
}
