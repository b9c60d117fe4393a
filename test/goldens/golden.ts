/** The goldens of transformers and PEFT, and how close to them a runtime in f32 must come (reference/README.md). */
import { expect } from 'vitest'
import type { LogitsRow, SamplingParams } from '../../src/engine/batch.ts'
import type { Runtime } from '../../src/engine/runtime.ts'
import type { RegistryLease } from '../../src/lora/registry.ts'
import { toFloat32 } from '../../src/weights/dtype.ts'
import { readSafetensors } from '../../src/weights/safetensors.ts'
import { readTensor } from '../../src/weights/tensorData.ts'
import kinds from '../fixtures/kinds/kinds.json' with { type: 'json' }
import reference from '../fixtures/reference/reference.json' with { type: 'json' }
import { fixtureFolder } from '../support/host.ts'

export interface GoldenCase {
  readonly input_ids: readonly number[]
  /** 32 tokens by argmax, end-of-sequence ignored. */
  readonly greedy: readonly number[]
  /** First minus second logit at each of those steps. */
  readonly margins: readonly number[]
  readonly logits_positions: 'all' | 'last'
  readonly logit_scale: number
  /** Name of the tensor in the golden file. */
  readonly logits: string
  readonly first_token_top5: readonly (readonly [number, number])[]
}

interface Golden {
  readonly golden: string
  readonly cases: readonly GoldenCase[]
}

/** A folder of fixtures with an index. */
export type GoldenRoot = 'reference' | 'kinds'

interface Index {
  readonly models: Readonly<Record<string, Golden & { readonly golden_of?: string }>>
  readonly adapters: readonly (Golden & { readonly id: string; readonly golden_of?: string })[]
}

const INDICES: Readonly<Record<GoldenRoot, Index>> = { reference, kinds } as never

/** The golden of a model, or of an adapter as `model/name`. */
export function goldenOf(id: string, root: GoldenRoot = 'reference'): Golden {
  const { models, adapters } = INDICES[root]
  const golden = models[id] ?? adapters.find((each) => each.id === id)!
  return golden.golden_of ? goldenOf(golden.golden_of, root) : golden
}

/** Names of the adapters of a model. */
export function adaptersOf(model: string, root: GoldenRoot): string[] {
  return INDICES[root].adapters.flatMap(({ id }) => (id.startsWith(`${model}/`) ? id.slice(model.length + 1) : []))
}

/** `root`: the folder of fixtures that the golden's path starts from. */
export async function goldenLogits(
  golden: Pick<Golden, 'golden'>,
  { logits }: GoldenCase,
  root: string = 'reference',
): Promise<Float32Array> {
  const source = await fixtureFolder(root).open(golden.golden)
  try {
    return toFloat32(await readTensor((await readSafetensors(source)).tensors.get(logits)!), 'F32')
  } finally {
    await source.close()
  }
}

/** What the README allows f32: 1e-3 of the logit scale (1e-5 is usual; the rest is for a GPU's sin, cos and exp). */
export const LOGITS_TOLERANCE = 1e-3
/** A step whose margin is below this share of the logit scale may go either way. */
const OPEN_MARGIN = 2e-3

/** Tokens up to the first step whose margin is open: below this share of the logit scale. */
export function certain(
  { greedy, margins, logit_scale }: GoldenCase,
  openMargin: number = OPEN_MARGIN,
): readonly number[] {
  const open = margins.findIndex((margin) => margin < openMargin * logit_scale)
  return open < 0 ? greedy : greedy.slice(0, open)
}

export const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/**
 * Logits of the case's positions, computed in chunks of at most `chunk` rows; [positions, vocab].
 * @param activeFrom position from which on the adapter works
 * @param numFolds blocks that the adapter takes for the same positions
 */
export async function promptLogits(
  runtime: Runtime,
  golden: GoldenCase,
  slot: number | null,
  chunk: number,
  activeFrom = 0,
  numFolds = 1,
): Promise<Float32Array> {
  const { input_ids: tokens } = golden
  const wanted = golden.logits_positions === 'all' ? tokens.map((_, i) => i) : [tokens.length - 1]
  const { vocabSize } = runtime.spec
  const out = new Float32Array(wanted.length * vocabSize)
  // Scattered on purpose: a physical block is not where its number in the sequence says.
  const { numBlocks } = runtime.sizes
  const blockTable = Array.from({ length: Math.ceil(tokens.length / 16) * numFolds }, (_, i) => (i * 7 + 3) % numBlocks)
  for (let start = 0; start < tokens.length; start += chunk) {
    const part = tokens.slice(start, start + chunk)
    const rows = wanted.filter((position) => position >= start && position < start + part.length)
    const logits: LogitsRow[] = rows.map((position) => ({
      row: position - start,
      want: { score: 0 },
      topLogprobs: null,
    }))
    await runtime.runner.submit({ spans: [{ tokens: part, start, blockTable, slot, activeFrom, logits }] })
    if (!rows.length) continue
    const bytes = await runtime.gpu.readback(runtime.logits, 0, rows.length * vocabSize * 4)
    out.set(new Float32Array(bytes.buffer), wanted.indexOf(rows[0]!) * vocabSize)
  }
  return out
}

export function largestDifference(one: Float32Array, other: Float32Array): number {
  expect(one.length).toBe(other.length)
  let most = 0
  for (let i = 0; i < one.length; i++) most = Math.max(most, Math.abs(one[i]! - other[i]!))
  return most
}

/** Greedy tokens of the engine. It releases the lease. */
export async function greedyTokens(
  runtime: Runtime,
  prompt: readonly number[],
  adapter: RegistryLease | null,
  maxTokens = 32,
): Promise<number[]> {
  const generation = runtime.engine.generate({
    id: 'golden',
    prompt,
    adapter,
    sampling: GREEDY,
    maxTokens,
    minTokens: 0,
    stopIds: [],
    topLogprobs: null,
    promptLogprobs: null,
    signal: null,
  })
  const tokens: number[] = []
  for await (const event of generation) if (event.type === 'token') tokens.push(event.token)
  return tokens
}
