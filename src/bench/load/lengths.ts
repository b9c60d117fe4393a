/** How long prompts and answers are: fixed, uniform between two ends, or normally distributed. In tokens. */
import type { Random } from './random.ts'

export type Lengths =
  | { readonly kind: 'fixed'; readonly tokens: number }
  /** Both ends included. */
  | { readonly kind: 'uniform'; readonly least: number; readonly most: number }
  /** Draws are cut at four deviations, and below 1. */
  | { readonly kind: 'normal'; readonly mean: number; readonly deviation: number }

/** Deviations that a normal draw may be away from its mean, so that there is a longest one. */
const REACH = 4

/** `64`, `32:128` or `normal:64,16`; null where the text is none of them. */
export function parseLengths(text: string): Lengths | null {
  const [, tokens] = /^(\d+)$/.exec(text) ?? []
  if (tokens !== undefined) return Number(tokens) > 0 ? { kind: 'fixed', tokens: Number(tokens) } : null
  const [, least, most] = /^(\d+):(\d+)$/.exec(text) ?? []
  if (least !== undefined && most !== undefined) {
    const ends = { least: Number(least), most: Number(most) }
    return ends.least > 0 && ends.most >= ends.least ? { kind: 'uniform', ...ends } : null
  }
  const [, mean, deviation] = /^normal:(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (mean === undefined || deviation === undefined || Number(mean) < 1) return null
  return { kind: 'normal', mean: Number(mean), deviation: Number(deviation) }
}

/** As `parseLengths` reads it. */
export function showLengths(lengths: Lengths): string {
  switch (lengths.kind) {
    case 'fixed':
      return `${lengths.tokens}`
    case 'uniform':
      return `${lengths.least}:${lengths.most}`
    case 'normal':
      return `normal:${lengths.mean},${lengths.deviation}`
  }
}

/** In words, as in "prompts of 64 tokens". */
export function lengthWords(lengths: Lengths): string {
  switch (lengths.kind) {
    case 'fixed':
      return `${lengths.tokens} tokens`
    case 'uniform':
      return `${lengths.least} to ${lengths.most} tokens`
    case 'normal':
      return `${lengths.mean} ± ${lengths.deviation} tokens`
  }
}

/** The longest that can be drawn. */
export function longest(lengths: Lengths): number {
  switch (lengths.kind) {
    case 'fixed':
      return lengths.tokens
    case 'uniform':
      return lengths.most
    case 'normal':
      return Math.round(lengths.mean + REACH * lengths.deviation)
  }
}

export function drawLength(lengths: Lengths, random: Random): number {
  switch (lengths.kind) {
    case 'fixed':
      return lengths.tokens
    case 'uniform':
      return lengths.least + random.below(lengths.most - lengths.least + 1)
    case 'normal': {
      const away = Math.max(-REACH, Math.min(REACH, random.normal()))
      return Math.max(1, Math.round(lengths.mean + away * lengths.deviation))
    }
  }
}
