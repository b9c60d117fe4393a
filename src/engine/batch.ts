/**
 * What one step computes, as plain data: the scheduler writes it, the runner reads it, neither knows the other.
 * A step is a batch of token rows. Each sequence in it contributes one contiguous span: a chunk of its prompt
 * (prefill) or its newest token (decode). The runner may order the spans as it likes (it sorts them by adapter slot).
 *
 * All sequences of a step run the same layers: those of the base, or those of adapters whose list is the same.
 *
 * Steps are submitted before the results of earlier ones are known. So a token that a step draws stays on the device, in
 * the register of its sequence, and the next step reads it there.
 */
export interface Batch {
  readonly spans: readonly Span[]
}

export interface Span {
  /**
   * Token ids computed in this step: positions start .. start + tokens.length - 1 of the sequence. Null stands for one
   * token that only the device knows: it was drawn by an earlier step and lies in `register`.
   */
  readonly tokens: readonly number[] | null
  /** Position of the first token; everything before it is in the KV cache, or will be when the steps before this have run. */
  readonly start: number
  /**
   * Where the device keeps the token that this span draws, for the sequence's next span, and counts its tokens for
   * penalties: a number below maxSpans that no other running sequence has. Without one the token is not kept.
   */
  readonly register?: number
  /**
   * Physical KV block of each logical block, covering at least start + tokens.length positions; where the adapter's layers
   * have several folds, a block for each of them, one behind the other.
   */
  readonly blockTable: readonly number[]
  /** Adapter pool slot, or null for the base model. */
  readonly slot: number | null
  /** Rows of positions below this one are the base's all the same. Default 0. */
  readonly activeFrom?: number
  /** Rows of this span whose logits are wanted, in ascending row order; usually one, for the last row, or none. */
  readonly logits: readonly LogitsRow[]
}

/** What to do with the logits of one row. */
export interface LogitsRow {
  /** Row of the span. */
  readonly row: number
  /** Sample the next token, or score a known one (a prompt token, for prompt_logprobs). */
  readonly want: SampleWanted | { readonly score: number }
  /** How many of the likeliest tokens to report with log probabilities (0..20), or null for no logprobs at all. */
  readonly topLogprobs: number | null
}

export interface SampleWanted {
  readonly sample: SamplingParams
  /** Position the sampled token will have in its sequence: with the seed, the whole source of randomness. */
  readonly position: number
  /** Ids that may not be drawn (end-of-sequence and stop ids before minTokens). At most 32. */
  readonly banned: readonly number[]
  /**
   * Drawing one of these ends the sequence on the device: what is fed from its register from then on is void. Only the
   * first MAX_STOP_IDS are looked at there; it is the reader of the records who decides. Default none.
   */
  readonly stopIds?: readonly number[]
  /** Ids that this draw may take, of those that SamplingParams.allowed allows. Read before submit() returns. */
  readonly allowed?: Uint32Array
  /** The sequence whose tokens the penalties look at: the same object for each of its draws. Needed, as is a register, with any penalty. */
  readonly history?: TokenHistory
}

/**
 * How a token is drawn. Applied in this order, as in vLLM: the allowed ids, banned ids and logit bias, penalties,
 * temperature, min-p, top-k, top-p; ties go to the lower id. Log probabilities are those of the logits before all this.
 */
export interface SamplingParams {
  /** Below 1e-5 is greedy. */
  readonly temperature: number
  /** Keep the k likeliest; 0 keeps all. */
  readonly topK: number
  /** Keep the smallest set of likeliest tokens whose mass reaches topP; 1 keeps all. */
  readonly topP: number
  /** Drop tokens less likely than minP times the likeliest; 0 drops none. */
  readonly minP: number
  /** 32-bit seed. The draw depends on (seed, position) alone, never on the batch. */
  readonly seed: number
  /** Subtracted once from the logit of every token generated before. Default 0. */
  readonly presencePenalty?: number
  /** Subtracted as often as the token was generated before. Default 0. */
  readonly frequencyPenalty?: number
  /** Above 0: divides positive logits and multiplies others, of tokens in the prompt or generated. Default 1. */
  readonly repetitionPenalty?: number
  /** Ids that may be drawn at all: bit id % 32 of word id / 32, one word for every 32 ids begun. Default: every id. */
  readonly allowed?: Uint32Array
  /** Added to logits; -100 and less ban the id. At most 300, ids ascending, each once. Default none. */
  readonly logitBias?: readonly TokenBias[]
}

export interface TokenBias {
  readonly id: number
  readonly bias: number
}

/** A sequence as penalties see it. Where steps run ahead, its last tokens may be on the device only. */
export interface TokenHistory {
  /** Prompt and answer as far as known; whole whenever it draws at a position that does not follow its last draw. */
  readonly tokens: readonly number[]
  readonly numPrompt: number
}

/** What comes back: one record per LogitsRow, in the order of spans and rows of the Batch that asked. */
export interface StepResult {
  readonly records: readonly LogitsRecord[]
  /** When the step ran, in ms of the device's own clock; null or missing where nobody profiles. */
  readonly gpuTime?: { readonly begin: number; readonly end: number } | null
}

export interface LogitsRecord {
  /** The sampled or scored token; null when the logits hold NaN or every token is banned. */
  readonly token: number | null
  /** Only where topLogprobs was not null. Raw distribution: before temperature and filters. */
  readonly logprobs: TokenLogprobs | null
  /** The row was fed from a register whose sequence had ended on the device: nothing follows from it. */
  readonly isVoid?: boolean
}

export interface TokenLogprobs {
  /** Natural log of the token's probability. */
  readonly logprob: number
  /** 1 + number of tokens more likely than this one. */
  readonly rank: number
  /** The likeliest tokens, best first, ties by lower id. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[]
}

/** The device side of the engine. The real one is gpuRunner.ts; tests hand in a scripted one. */
export interface Runner {
  readonly limits: RunnerLimits
  /**
   * Runs one step after all that were submitted before it; at most MAX_IN_FLIGHT results may be outstanding. The batch is
   * read before it returns. Results come in the order of submission. Rejects with a LorikeetError if the device fails;
   * then all later ones reject too, and no further step can run.
   */
  submit(batch: Batch): Promise<StepResult>
  /** Resolves when the device has answered after doing nothing: the time a readback takes, on an idle device. */
  echo(): Promise<void>
}

/** Most results that may be outstanding. */
export const MAX_IN_FLIGHT = 8

/** Stop ids of a row that the device looks at. */
export const MAX_STOP_IDS = 32

/** Blocks that the tables of a step can name together. */
export function blockTableRoom({ maxSpans, maxModelLen, blockSize }: RunnerLimits): number {
  return maxSpans * Math.ceil(maxModelLen / blockSize)
}

/** Token rows of a span. */
export function numRowsOf({ tokens }: Span): number {
  return tokens?.length ?? 1
}

export interface RunnerLimits {
  /** Token rows per step. */
  readonly maxRows: number
  /** Spans per step. */
  readonly maxSpans: number
  /** LogitsRows per step, at least maxSpans. */
  readonly maxLogitsRows: number
  /** KV blocks in all, and tokens in one. */
  readonly numBlocks: number
  readonly blockSize: number
  /** Longest sequence, prompt and answer, in tokens. The block tables of a step have room for maxSpans of them. */
  readonly maxModelLen: number
  readonly vocabSize: number
  /** Flags by which numbers are kept as halves, for errors. Default none. */
  readonly halves?: readonly string[]
}
