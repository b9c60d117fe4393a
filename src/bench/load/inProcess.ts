/**
 * A model in this process as the subject of a benchmark. Requests go through its `fetch`: all that a client of the
 * library pays is measured, and no network.
 */
import { LorikeetError } from '../../errors.ts'
import { Lorikeet, type OpenOptions } from '../../lorikeet.ts'
import { deviceFacts } from '../device.ts'
import { SyntheticAdapters, syntheticFolder } from '../synthetic.ts'
import { ask, type ClientOptions } from './client.ts'
import type { Facts } from './loadReport.ts'
import { tokenPrompts } from './requests.ts'
import { BenchError, type ScenarioName, syntheticWishes } from './scenarios.ts'
import type { RequestWishes, Subject } from './subject.ts'
import type { Scenario, Target } from './sweep.ts'

export interface InProcessPlan extends RequestWishes {
  /** The model with the adapters that were named. */
  readonly open: OpenOptions
  readonly scenarios: readonly ScenarioName[]
  /** Synthetic adapters of each scenario with many, and their ranks in turn. */
  readonly adapters: number
  readonly ranks: readonly number[]
}

/** @throws BenchError, and what opening the model throws */
export async function openInProcess(plan: InProcessPlan): Promise<Subject> {
  const bird = await Lorikeet.open(plan.open)
  let merged: Lorikeet | string | null = null
  try {
    checkLengths(bird, plan)
    merged = await openMerged(bird, plan)
    return subjectOf(bird, merged, plan)
  } catch (error) {
    if (merged instanceof Lorikeet) await merged.close()
    await bird.close()
    throw error
  }
}

function checkLengths({ runtime }: Lorikeet, { longest }: InProcessPlan): void {
  const { maxModelLen } = runtime.engine.limits
  if (longest <= maxModelLen) return
  throw new BenchError(
    '--isl',
    `a prompt and an answer may come to ${longest} tokens together, and the model takes ${maxModelLen}. Lower --isl or --osl.`,
  )
}

/**
 * The same model a second time with an adapter folded in, on a device of its own: so that rounds can take turns. A sentence
 * where that cannot be, as when there is no memory for two.
 */
async function openMerged(
  bird: Lorikeet,
  { open, scenarios, ranks }: InProcessPlan,
): Promise<Lorikeet | string | null> {
  if (!scenarios.includes('merged')) return null
  const { adapters: named = [], ...rest } = open
  const merge = named[0] ?? { name: MERGED, source: syntheticFolder(bird.runtime.spec, MERGED, ranks[0]!) }
  try {
    return await Lorikeet.open({ ...rest, merge })
  } catch (error) {
    if (!(error instanceof LorikeetError)) throw error
    return `merged was left out: ${error.message}`
  }
}

const MERGED = 'merged'

function subjectOf(bird: Lorikeet, merged: Lorikeet | string | null, plan: InProcessPlan): Subject {
  const named = bird.adapters.list().map(({ name }) => name)
  const synthetic = addSynthetic(bird, plan, named.length > 0)
  const target = targetOf(bird, plan)
  const models = (scenario: ScenarioName): readonly string[] => {
    if (scenario === 'base') return [bird.modelNames[0]]
    if (scenario === 'adapters') return named
    return scenario === 'single' && named.length > 0 ? named.slice(0, 1) : synthetic(scenario)
  }
  return {
    scenarios: plan.scenarios.flatMap((name): Scenario[] => {
      if (name === 'merged') {
        return merged instanceof Lorikeet
          ? [{ name, target: targetOf(merged, plan), models: [merged.modelNames[0]] }]
          : []
      }
      if (models(name).length > 0) return [{ name, target, models: models(name) }]
      throw new BenchError('--scenario', `${name} needs adapters: name some with --lora-modules.`)
    }),
    facts: factsOf(bird),
    device: deviceFacts(bird.runtime.gpu),
    isSoftware: bird.runtime.gpu.can.software,
    notes: typeof merged === 'string' ? [merged] : [],
    closingNotes: () => closingNotes(bird),
    close: async () => {
      await bird.close()
      if (merged instanceof Lorikeet) await merged.close()
    },
  }
}

/** Registers what the scenarios want, and returns whom each of them asks. */
function addSynthetic(
  bird: Lorikeet,
  { scenarios, adapters, ranks }: InProcessPlan,
  hasNamed: boolean,
): (scenario: ScenarioName) => readonly string[] {
  const { spec, adapters: registry } = bird.runtime
  const made = new SyntheticAdapters(spec)
  const wishes = (scenario: ScenarioName) =>
    scenario === 'single' && hasNamed ? [] : syntheticWishes(scenario, adapters, ranks)
  const byName = new Map(scenarios.flatMap(wishes).map((wish) => [wish.name, wish]))
  for (const { name, rank } of byName.values()) {
    registry.add(name, 'synthetic', made.make(name, rank), { store: made.store(name, rank) })
  }
  return (scenario) => wishes(scenario).map(({ name }) => name)
}

/** A model as what answers: its prompts are token ids, and it can be looked into. */
export function targetOf(bird: Lorikeet, { ignoreEos, timeoutMs }: Omit<RequestWishes, 'longest'>): Target {
  const options: ClientOptions = {
    fetch: (url, init) => bird.fetch(url, init),
    baseUrl: 'http://lorikeet/v1',
    endpoint: 'completions',
    apiKey: null,
    // Special tokens are text too, so that no token hides behind the next.
    extra: { ignore_eos: ignoreEos, return_token_ids: true, skip_special_tokens: false },
    timeoutMs,
  }
  return {
    ask: (request) => ask(request, options),
    prompt: tokenPrompts(bird.runtime.engine.limits.vocabSize),
    counts: () => countsOf(bird),
  }
}

function countsOf({ runtime }: Lorikeet): Readonly<Record<string, number>> {
  const { steps, preemptions } = runtime.engine.stats()
  const { dispatches, submits, uploads, uploadedBytes } = runtime.gpu.counters
  const usages = runtime.adapters.status().map(({ usage }) => usage)
  return {
    ...{ steps, preemptions, dispatches, submits, uploads, uploadedBytes },
    adapterMisses: usages.reduce((sum, { misses }) => sum + misses, 0),
    adapterArrivals: usages.reduce((sum, { arrivals }) => sum + arrivals, 0),
  }
}

function factsOf({ modelNames, runtime }: Lorikeet): Facts {
  const { spec, sizes } = runtime
  return {
    model: modelNames[0],
    layers: spec.numLayers,
    hidden: spec.hiddenSize,
    vocabulary: spec.vocabSize,
    'sequences at once': sizes.maxSpans,
    'rows in a step': sizes.maxRows,
    'KV cache tokens': sizes.numBlocks * sizes.blockSize,
    'KV cache type': sizes.kvCacheDtype,
    'activation type': sizes.activationDtype,
    'adapter memory MiB': Math.round(sizes.loraBytes / 2 ** 20),
  }
}

function closingNotes({ runtime }: Lorikeet): string[] {
  const { adapters } = runtime
  const { depth } = runtime.engine.stats()
  const total = adapters.list().length
  return [
    `Steps kept in flight at the end: ${depth}.`,
    ...(total > 0 ? [`Adapters on the GPU at the end: ${adapters.residentCount} of ${total}.`] : []),
  ]
}
