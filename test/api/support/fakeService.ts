/** A service with a real tokenizer and chat template (of the tiny Qwen3 fixture), two adapters, and a scripted engine. */
import { readFileSync } from 'node:fs'
import { DefaultScales } from '../../../src/api/defaultScales.ts'
import type { ErrorEnvelope } from '../../../src/api/errors.ts'
import { createHandler, type Handler, type HandlerOptions } from '../../../src/api/handler.ts'
import type { LogLevel, Service } from '../../../src/api/service.ts'
import type { AdapterLease } from '../../../src/engine/generation.ts'
import type { GenerationDefaults } from '../../../src/model/generationConfig.ts'
import { ChatTemplate } from '../../../src/text/chatTemplate.ts'
import { Tokenizer } from '../../../src/text/tokenizer.ts'
import { reference } from '../../fixtures.ts'
import { FakeEngine } from './fakeEngine.ts'
import { fakeTelemetry } from './fakeTelemetry.ts'

const folder = (file: string): string => readFileSync(reference(`models/qwen3-tiny/${file}`), 'utf8')
const tokenizer = Tokenizer.load({
  tokenizerJson: JSON.parse(folder('tokenizer.json')),
  tokenizerConfig: JSON.parse(folder('tokenizer_config.json')),
  specialTokensMap: JSON.parse(folder('special_tokens_map.json')),
})
const template = ChatTemplate.compile(folder('chat_template.jinja'))

export const EOS = 6

const defaults: GenerationDefaults = {
  eosTokenIds: [EOS],
  doSample: null,
  temperature: null,
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: null,
  maxNewTokens: null,
}

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Everything a test of the API touches. */
export interface FakeHouse {
  readonly service: Service
  readonly engine: FakeEngine
  readonly tokenizer: Tokenizer
  readonly handler: Handler
  readonly log: LogLine[]
  /** Names of the leases that are held. */
  readonly leases: string[]
  /** The engine says this text, and then ends. */
  says(text: string): void
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
  get(path: string, init?: RequestInit): Promise<Response>
}

export function fakeHouse(
  options: HandlerOptions & {
    readonly service?: Partial<Service>
    readonly defaults?: Partial<GenerationDefaults>
  } = {},
): FakeHouse {
  const engine = new FakeEngine()
  const log: LogLine[] = []
  const leases: string[] = []
  let seed = 1000
  const names = ['pirate', 'team/tutor']
  const lease = (name: string): AdapterLease | null => {
    if (!names.includes(name)) return null
    leases.push(name)
    let held = true
    return {
      name,
      digest: `digest of ${name}`,
      slot: names.indexOf(name),
      pin() {},
      unpin() {},
      release() {
        if (!held) throw new Error(`the lease on ${name} was released twice`)
        held = false
        leases.splice(leases.indexOf(name), 1)
      },
    }
  }
  const card = (name: string) => ({
    name,
    id: names.indexOf(name),
    root: `adapters/${name}`,
    digest: `digest of ${name}`,
    created: 1_700_000_100,
  })
  const service: Service = {
    modelNames: ['org/tiny', 'tiny'],
    modelRoot: 'models/tiny',
    merged: null,
    profile: 'activations-float32-kv-float16',
    created: 1_700_000_000,
    engine,
    tokenizer,
    template,
    defaults: { ...defaults, ...options.defaults },
    adapters: {
      list: () => names.map(card),
      find: (name) => (names.includes(name) ? card(name) : null),
      status: () => [],
      lease,
    },
    compositions: { lease: async () => null, check: async () => {} },
    defaultScales: new DefaultScales(),
    control: null,
    telemetry: fakeTelemetry(engine),
    version: '0.0.0-test',
    log: (level, message, fields = {}) => log.push({ level, message, fields }),
    randomSeed: () => seed++,
    ...options.service,
  }
  const handler = createHandler(service, options)
  return {
    service,
    engine,
    tokenizer,
    handler,
    log,
    leases,
    says: (text) => {
      engine.script = () => ({ tokens: tokenizer.encode(text, { addSpecialTokens: false }) })
    },
    post: (path, body, init = {}) =>
      handler(
        new Request(`http://lorikeet${path}`, {
          method: 'POST',
          body: typeof body === 'string' ? body : JSON.stringify(body),
          ...init,
          headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string> | undefined) },
        }),
      ),
    get: (path, init) => handler(new Request(`http://lorikeet${path}`, init)),
  }
}

/** The error envelope of a response, with its status. */
export async function errorOf(response: Response): Promise<ErrorEnvelope['error'] & { readonly status: number }> {
  const { error } = (await response.json()) as ErrorEnvelope
  return { status: response.status, ...error }
}

/** The body of a response that must be a success. */
export async function answerOf<Answer>(response: Response): Promise<Answer> {
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status}: ${text}`)
  return JSON.parse(text) as Answer
}

/** The JSON events of a stream, without its `[DONE]`, which must be there. */
export async function eventsOf<Event>(response: Response): Promise<(Event & { error?: ErrorEnvelope['error'] })[]> {
  const lines = (await response.text()).split('\n\n')
  if (lines.at(-1) !== '' || lines.at(-2) !== 'data: [DONE]') throw new Error('the stream does not end with [DONE]')
  return lines.slice(0, -2).map((line) => JSON.parse(line.slice('data: '.length)))
}
