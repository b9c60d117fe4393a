/**
 * Any OpenAI-compatible server as the subject of a benchmark. Requests carry OpenAI's own fields alone, and `ignore_eos` if
 * that is asked for: vLLM, SGLang, llama-server and lorikeet know it.
 */
import { ask, type ClientOptions, type Fetch, reasonOf } from './client.ts'
import type { Facts } from './loadReport.ts'
import { wordPrompts } from './requests.ts'
import { BenchError, type ScenarioName } from './scenarios.ts'
import type { RequestWishes, Subject } from './subject.ts'
import type { Target } from './sweep.ts'

export interface ServerPlan extends RequestWishes {
  /** Of the server, with or without `/v1`. */
  readonly url: string
  readonly fetch: Fetch
  readonly endpoint: ClientOptions['endpoint']
  readonly apiKey: string | null
  /** Name of the base. Default: the first model without a parent. */
  readonly model: string | null
  /** Names of adapters. Default: the models that have a parent. */
  readonly adapters: readonly string[] | null
  /** Most of them. */
  readonly maxAdapters: number
  readonly scenarios: readonly ScenarioName[] | null
}

interface ModelCard {
  readonly id: string
  readonly parent?: string | null
  readonly owned_by?: string
}

/** @throws BenchError where nothing answers, or what is asked for is not served */
export async function openServer(plan: ServerPlan): Promise<Subject> {
  const baseUrl = `${plan.url.replace(/\/+$/, '').replace(/\/v1$/, '')}/v1`
  const cards = await modelCards(plan, `${baseUrl}/models`)
  const base = plan.model ?? (cards.find(({ parent }) => !parent) ?? cards[0])?.id
  if (base === undefined) throw new BenchError('--url', `${plan.url} serves no model.`)
  const served = cards.filter(({ id, parent }) => parent && id !== base).map(({ id }) => id)
  const adapters = (plan.adapters ?? served).slice(0, plan.maxAdapters)
  const names =
    plan.scenarios ?? (adapters.length > 0 ? (['base', 'single', 'adapters'] as const) : (['base'] as const))
  const target = targetOf(plan, baseUrl)
  const models = (name: ScenarioName): readonly string[] => {
    if (name === 'base') return [base]
    if (name === 'single') return adapters.slice(0, 1)
    return name === 'adapters' ? adapters : []
  }
  const possible = names.filter((name) => models(name).length > 0)
  const leftOut = names.filter((name) => !possible.includes(name))
  if (possible.length === 0) throw new BenchError('--scenario', whyNot(names[0]!))
  return {
    scenarios: possible.map((name) => ({ name, target, models: models(name) })),
    facts: await factsOf(plan, base, cards),
    device: null,
    isSoftware: false,
    notes: [
      ...leftOut.map((name) => `${name} was left out: ${whyNot(name)}`),
      'Prompts are texts of common words; how many tokens they are, the server says (prompt tokens in the report).',
    ],
    closingNotes: () => [],
    close: async () => {},
  }
}

function whyNot(name: ScenarioName): string {
  if (name === 'single' || name === 'adapters') return 'the server names no adapters; name them with --adapter-names.'
  return 'over a URL there are base, single and adapters: a server is measured with what it serves.'
}

function targetOf(plan: ServerPlan, baseUrl: string): Target {
  const { fetch, endpoint, apiKey, timeoutMs } = plan
  const extra = plan.ignoreEos ? { ignore_eos: true } : {}
  const options: ClientOptions = { fetch, baseUrl, endpoint, apiKey, extra, timeoutMs }
  return { ask: (request) => ask(request, options), prompt: wordPrompts }
}

async function modelCards({ url, fetch, apiKey }: ServerPlan, address: string): Promise<readonly ModelCard[]> {
  const headers: Record<string, string> = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }
  const response = await fetch(address, { headers }).catch((cause: unknown) => {
    throw new BenchError('--url', `${url} does not answer: ${reasonOf(cause)}`)
  })
  if (!response.ok) throw new BenchError('--url', `${address} answers ${response.status}.`)
  const { data } = (await response.json().catch(() => ({}))) as { data?: unknown }
  if (Array.isArray(data)) return data as ModelCard[]
  throw new BenchError('--url', `${address} is no list of models.`)
}

async function factsOf({ url, fetch }: ServerPlan, model: string, cards: readonly ModelCard[]): Promise<Facts> {
  const version = await fetch(`${url.replace(/\/+$/, '').replace(/\/v1$/, '')}/version`, {})
    .then(async (response) => (response.ok ? ((await response.json()) as { version?: unknown }).version : null))
    .catch(() => null)
  return {
    server: url,
    model,
    'owned by': cards.find(({ id }) => id === model)?.owned_by ?? null,
    'server version': typeof version === 'string' ? version : null,
  }
}
