/** From what a batch wants of a draw to the adjustment of its logits: limits are checked, neutral values left out. */
import { invariant } from '../errors.ts'
import {
  type Adjustment,
  BANNING_BIAS,
  MAX_BANNED,
  MAX_BIASES,
  mergeBiases,
  type Penalties,
  type TokenBias,
} from '../model/adjustment.ts'
import type { TokenCounts } from '../model/tokenCounts.ts'
import type { LogitsRow, SampleWanted, SamplingParams } from './batch.ts'

/** Whether anything stands between the logits of a row and its draw. */
export function isAdjusted(want: LogitsRow['want']): boolean {
  if ('score' in want) return false
  const { sample, banned, allowed = sample.allowed } = want
  return banned.length > 0 || allowed !== undefined || (sample.logitBias?.length ?? 0) > 0 || hasPenalties(sample)
}

/** `counts` gets the tokens of the sequence with this register where it does not have them already: one write. */
export function adjustmentOf(want: SampleWanted, register: number | undefined, counts: TokenCounts): Adjustment {
  const { sample, banned } = want
  const { logitBias = [] } = sample
  invariant(banned.length <= MAX_BANNED && logitBias.length <= MAX_BIASES, 'Too many banned or biased ids')
  return {
    biases: mergeBiases(bansFrom(logitBias), banned),
    allowed: inBoth(want.allowed, sample.allowed),
    penalties: hasPenalties(sample) ? penaltiesOf(want, register, counts) : null,
  }
}

function hasPenalties({ presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1 }: SamplingParams): boolean {
  return presencePenalty !== 0 || frequencyPenalty !== 0 || repetitionPenalty !== 1
}

function penaltiesOf(
  { sample, position, history }: SampleWanted,
  register: number | undefined,
  counts: TokenCounts,
): Penalties {
  invariant(history && register !== undefined, 'A draw under penalties comes without the tokens of its sequence')
  counts.prepare(register, history, position)
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1 } = sample
  return {
    slot: register,
    presence: presencePenalty,
    frequency: frequencyPenalty,
    repetition: repetitionPenalty,
  }
}

function inBoth(one: Uint32Array | undefined, other: Uint32Array | undefined): Uint32Array | null {
  return one && other ? one.map((word, i) => word & other[i]!) : (one ?? other ?? null)
}

function bansFrom(biases: readonly TokenBias[]): readonly TokenBias[] {
  return biases.some(({ bias }) => bias <= BANNING_BIAS)
    ? biases.map((one) => (one.bias <= BANNING_BIAS ? { ...one, bias: -Infinity } : one))
    : biases
}
