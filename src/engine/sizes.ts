/**
 * How large the engine's static buffers are: everything is allocated once at the start, so a step allocates nothing.
 * What the caller leaves open is chosen to fit the model and the device.
 */
import { LorikeetError } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { ActivationDtype, CacheDtype } from '../model/kernels/includes.ts'
import { BLOCK_SIZE, kvBlockBytes, kvBlocksWithin } from '../model/kvCache.ts'
import type { ModelSpec } from '../model/spec.ts'
import type { RunnerLimits } from './batch.ts'

export interface EngineSizes {
  /** Longest sequence, prompt and answer, in tokens. Default: what the model allows and the KV cache holds. */
  readonly maxModelLen?: number
  /** Sequences that run at once. Default 32. */
  readonly maxNumSeqs?: number
  /** Token rows per step, of prefill and decode together. Default 512, on a software device 256. */
  readonly maxNumBatchedTokens?: number
  /** Bytes of the KV cache. Default 512 MiB, or less if less holds maxNumSeqs sequences of maxModelLen. */
  readonly kvCacheMemory?: number
  /** Element type of the KV cache. Default F32; F16 holds twice the tokens and rounds keys and values to halves. */
  readonly kvCacheDtype?: CacheDtype
  /** Element type of what projections read between kernels. Default F32; F16 rounds it to halves, sums stay f32. */
  readonly activationDtype?: ActivationDtype
  /** Bytes of GPU memory for adapters. Default 256 MiB. */
  readonly loraMemory?: number
  /** Adapters on the GPU at once. Default 256; loraMemory usually bounds them first. */
  readonly maxLoras?: number
  /** Largest rank of an adapter's module. Default 512. */
  readonly maxLoraRank?: number
}

const MIB = 1024 * 1024
const DEFAULT_KV_BYTES = 512 * MIB
const DEFAULT_LORA_BYTES = 256 * MIB
const DEFAULT_SEQS = 32
/** Rows of logits per step: 64 rows of a 128k vocabulary are 32 MiB. */
const LOGITS_ROWS = 64

/** A size that cannot be: `param` names the option. */
export class SizeError extends LorikeetError {
  readonly code = 'invalid_size'
  override readonly param: string

  constructor(option: string, message: string) {
    super(`${option}: ${message}`)
    this.param = option
  }
}

export interface SizePlan extends RunnerLimits {
  readonly loraBytes: number
  readonly maxSlots: number
  readonly maxLoraRank: number
  readonly kvCacheDtype: CacheDtype
  readonly activationDtype: ActivationDtype
}

/** @throws SizeError naming the option that is impossible for this model or device. */
export function planSizes(gpu: Gpu, spec: ModelSpec, wanted: EngineSizes): SizePlan {
  const { kvCacheDtype = 'F32', activationDtype = 'F32', ...counts } = wanted
  for (const [option, value] of Object.entries(counts)) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new SizeError(option, `must be a positive whole number, not ${value}`)
    }
  }
  const maxSpans = wanted.maxNumSeqs ?? DEFAULT_SEQS
  const maxRows = wanted.maxNumBatchedTokens ?? Math.max(gpu.can.software ? 256 : 512, maxSpans)
  if (maxRows < maxSpans) {
    throw new SizeError('maxNumBatchedTokens', `${maxRows} rows per step are fewer than maxNumSeqs (${maxSpans})`)
  }
  if (wanted.maxModelLen !== undefined && wanted.maxModelLen > spec.maxPositions) {
    throw new SizeError(
      'maxModelLen',
      `${wanted.maxModelLen} is more than the model's max_position_embeddings (${spec.maxPositions})`,
    )
  }
  const longest = wanted.maxModelLen ?? spec.maxPositions
  const enough = maxSpans * Math.ceil(longest / BLOCK_SIZE)
  const numBlocks = Math.min(enough, kvBlocksWithin(gpu, spec, kvCacheDtype, wanted.kvCacheMemory ?? DEFAULT_KV_BYTES))
  if (wanted.maxModelLen !== undefined && numBlocks * BLOCK_SIZE < wanted.maxModelLen) {
    const needed = Math.ceil(wanted.maxModelLen / BLOCK_SIZE) * kvBlockBytes(spec, kvCacheDtype)
    throw new SizeError('kvCacheMemory', `one sequence of maxModelLen (${wanted.maxModelLen}) needs ${needed} bytes`)
  }
  if (numBlocks < 1)
    throw new SizeError(
      'kvCacheMemory',
      `one block of ${BLOCK_SIZE} tokens needs ${kvBlockBytes(spec, kvCacheDtype)} bytes`,
    )
  return {
    maxRows,
    maxSpans,
    maxLogitsRows: Math.max(LOGITS_ROWS, maxSpans),
    numBlocks,
    blockSize: BLOCK_SIZE,
    maxModelLen: Math.min(longest, numBlocks * BLOCK_SIZE),
    vocabSize: spec.vocabSize,
    loraBytes: wanted.loraMemory ?? DEFAULT_LORA_BYTES,
    maxSlots: wanted.maxLoras ?? 256,
    maxLoraRank: wanted.maxLoraRank ?? 512,
    kvCacheDtype,
    activationDtype,
    halves: [
      ...(activationDtype === 'F16' ? ['--activation-dtype float16'] : []),
      ...(kvCacheDtype === 'F16' ? ['--kv-cache-dtype float16'] : []),
    ],
  }
}

/** The element types that decide what numbers come out: the same for as long as an engine lives. */
export function profileOf({ activationDtype, kvCacheDtype }: SizePlan): string {
  const name = (dtype: 'F32' | 'F16') => (dtype === 'F16' ? 'float16' : 'float32')
  return `activations-${name(activationDtype)}-kv-${name(kvCacheDtype)}`
}
