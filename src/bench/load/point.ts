/**
 * One point of a sweep: so many clients, each of which sends its next request when the last is answered, until all
 * requests are. And what is said about the results.
 */
import type { RequestResult } from './client.ts'
import type { LoadRequest } from './requests.ts'
import { type Summary, summarize } from './stats.ts'

export interface Run {
  readonly results: readonly RequestResult[]
  /** From the first request to the last answer. */
  readonly seconds: number
}

export async function runClients(
  requests: readonly LoadRequest[],
  concurrency: number,
  ask: (request: LoadRequest) => Promise<RequestResult>,
): Promise<Run> {
  const results: RequestResult[] = []
  const queue = requests.values()
  const client = async (): Promise<void> => {
    // One iterator for all clients: each takes what is next.
    for (const request of queue) results.push(await ask(request))
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: concurrency }, client))
  return { results, seconds: (performance.now() - startedAt) / 1000 }
}

/** What a round achieved as a whole. */
export interface Throughput {
  readonly seconds: number
  readonly requests: number
  readonly outputTokens: number
  /** Output tokens, and answered requests, a second. */
  readonly tokensPerSecond: number
  readonly requestsPerSecond: number
}

/** Latencies in ms, over the answered requests of all rounds. */
export interface PointFigures {
  readonly answered: number
  readonly errors: readonly { readonly message: string; readonly count: number }[]
  /** As the server counts them. */
  readonly promptTokens: Summary | null
  readonly outputTokens: Summary | null
  /** From sending a request to its first token. */
  readonly ttft: Summary | null
  /** From one token to the next; over all of them. */
  readonly itl: Summary | null
  /** From sending a request to the end of its answer. */
  readonly e2e: Summary | null
  /** Output tokens a second of single requests, the first token's wait included. */
  readonly userTps: Summary | null
  readonly tps: Summary | null
  readonly rps: Summary | null
  readonly rounds: readonly Throughput[]
}

export function figuresOf(runs: readonly Run[]): PointFigures {
  const all = runs.flatMap(({ results }) => results)
  const answered = all.filter(isAnswered)
  const rounds = runs.map(throughputOf)
  return {
    answered: answered.length,
    errors: errorsOf(all),
    promptTokens: summarize(answered.map(({ promptTokens }) => promptTokens)),
    outputTokens: summarize(answered.map(({ outputTokens }) => outputTokens)),
    ttft: summarize(answered.map(({ startedAt, firstAt }) => firstAt - startedAt)),
    itl: summarize(answered.flatMap(({ gapsMs }) => gapsMs)),
    e2e: summarize(answered.map(({ startedAt, endedAt }) => endedAt - startedAt)),
    userTps: summarize(
      answered.map(({ outputTokens, startedAt, endedAt }) => (1000 * outputTokens) / (endedAt - startedAt)),
    ),
    tps: summarize(rounds.map(({ tokensPerSecond }) => tokensPerSecond)),
    rps: summarize(rounds.map(({ requestsPerSecond }) => requestsPerSecond)),
    rounds,
  }
}

function isAnswered(result: RequestResult): result is RequestResult & { firstAt: number } {
  return result.error === null && result.firstAt !== null
}

function throughputOf({ results, seconds }: Run): Throughput {
  const answered = results.filter(isAnswered)
  const outputTokens = answered.reduce((sum, result) => sum + result.outputTokens, 0)
  return {
    seconds,
    requests: answered.length,
    outputTokens,
    tokensPerSecond: outputTokens / seconds,
    requestsPerSecond: answered.length / seconds,
  }
}

/** The messages of failed requests, most frequent first. */
function errorsOf(results: readonly RequestResult[]): PointFigures['errors'] {
  const counts = new Map<string, number>()
  for (const { error } of results) if (error !== null) counts.set(error, (counts.get(error) ?? 0) + 1)
  return [...counts].map(([message, count]) => ({ message, count })).sort((one, other) => other.count - one.count)
}
