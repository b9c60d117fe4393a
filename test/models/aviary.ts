/** The embedded model as its tests see it: where it lies, and what PyTorch measured of it (models/evaluation.json). */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MODELS = new URL('../../models/', import.meta.url)

export const AVIARY: string = fileURLToPath(new URL('aviary', MODELS))
export const VOICES = ['melville', 'king-james', 'early-presidents', 'late-presidents'] as const
export const BASE = 'aviary'

export type Voice = (typeof VOICES)[number]
export type Speaker = 'base' | Voice

/** Negative log likelihoods in nats, summed over all tokens but the first. */
interface Window {
  readonly ids: readonly number[]
  readonly nll: Readonly<Record<Speaker, number>>
}

interface Evaluation {
  readonly heldout: { readonly perplexity: Readonly<Record<Speaker, Readonly<Record<Voice, number>>>> }
  readonly recognition: {
    readonly samples: number
    readonly lowest_perplexity_under: Readonly<Record<Voice, Readonly<Record<Speaker, number>>>>
  }
  /** Of each voice's held-out text. */
  readonly windows: Readonly<Record<Voice, readonly Window[]>>
}

export const evaluation: Evaluation = JSON.parse(readFileSync(new URL('evaluation.json', MODELS), 'utf8'))

interface Completion {
  readonly choices: readonly {
    readonly prompt_logprobs: readonly (Readonly<Record<string, { readonly logprob: number }>> | null)[]
  }[]
}

/** The same sum by a server, from the log probabilities of the prompt's tokens. */
export async function negativeLogLikelihood(
  fetch: (url: string, init: RequestInit) => Promise<Response>,
  model: string,
  ids: readonly number[],
): Promise<number> {
  const body = JSON.stringify({ model, prompt: ids, max_tokens: 0, prompt_logprobs: 0 })
  const response = await fetch('/v1/completions', { method: 'POST', body })
  if (!response.ok) throw new Error(await response.text())
  const { choices } = (await response.json()) as Completion
  const [first, ...rest] = choices[0]!.prompt_logprobs
  if (first !== null || rest.length !== ids.length - 1)
    throw new Error('one log probability for each token but the first')
  return -rest.reduce((sum, names, index) => sum + names![ids[index + 1]!]!.logprob, 0)
}

/**
 * Perplexity of every speaker (rows) on every voice's held-out text (columns), over the first `perVoice` of the recorded
 * windows: by `measure`, and as PyTorch had it. All windows are asked for at once: speakers mix in the same batches.
 */
export async function perplexityTables(
  perVoice: number,
  measure: (model: string, ids: readonly number[]) => Promise<number>,
): Promise<{ readonly ours: Table; readonly pytorch: Table }> {
  const cells = (['base', ...VOICES] as const).flatMap((speaker) => VOICES.map((voice) => ({ speaker, voice })))
  const rows = await Promise.all(
    cells.map(async ({ speaker, voice }) => {
      const windows = evaluation.windows[voice].slice(0, perVoice)
      const model = speaker === 'base' ? BASE : speaker
      const sums = await Promise.all(windows.map(({ ids }) => measure(model, ids)))
      const numTokens = windows.reduce((sum, { ids }) => sum + ids.length - 1, 0)
      const perplexity = (values: readonly number[]) => Math.exp(values.reduce((sum, nll) => sum + nll, 0) / numTokens)
      return { speaker, voice, ours: perplexity(sums), pytorch: perplexity(windows.map(({ nll }) => nll[speaker])) }
    }),
  )
  const table = (side: 'ours' | 'pytorch') =>
    Object.fromEntries(
      (['base', ...VOICES] as const).map((speaker) => [
        speaker,
        Object.fromEntries(rows.filter((row) => row.speaker === speaker).map((row) => [row.voice, row[side]])),
      ]),
    ) as Table
  return { ours: table('ours'), pytorch: table('pytorch') }
}

export type Table = Readonly<Record<Speaker, Readonly<Record<Voice, number>>>>
