/** Flags of every command that opens a model: how large the engine is, and how it runs. */
import { Option } from 'commander'
import type { EngineSizes } from '../engine/sizes.ts'
import type { TuningOptions } from '../engine/tuning.ts'
import type { DeviceWish } from '../gpu/capabilities.ts'
import { readBytes, readPositive } from './values.ts'

/** Flags of every command that opens a device, as commander names them. */
export interface DeviceFlags {
  readonly batchInvariant?: boolean
  readonly webgpu?: 'dawn' | 'builtin'
}

/** As commander names them. */
export interface EngineFlags extends DeviceFlags {
  readonly maxLoras?: number
  readonly maxLoraRank?: number
  readonly loraMemory?: number
  readonly maxModelLen?: number
  readonly maxNumSeqs?: number
  readonly maxNumBatchedTokens?: number
  readonly kvCacheMemory?: number
  readonly kvCacheDtype?: 'auto' | 'float16' | 'float32'
  readonly activationDtype?: 'auto' | 'float16' | 'float32'
  /** False: each step waits for the result of the one before. */
  readonly runAhead?: boolean
  readonly tune?: 'auto' | 'always' | 'never'
  readonly retune?: boolean
}

const DTYPES = ['auto', 'float16', 'float32']

export function engineOptions(): readonly Option[] {
  const options = [
    new Option('--max-loras <n>', 'most adapters on the GPU at once').env('NIM_MAX_GPU_LORAS').argParser(readPositive),
    new Option('--max-lora-rank <n>', 'refuse adapters of a higher rank')
      .env('NIM_MAX_LORA_RANK')
      .argParser(readPositive),
    new Option('--lora-memory <size>', 'GPU memory for adapters (256MiB)').argParser(readBytes),
    new Option('--max-model-len <tokens>', 'longest prompt and answer together').argParser(readPositive),
    new Option('--max-num-seqs <n>', 'requests that run at once (32)').argParser(readPositive),
    new Option('--max-num-batched-tokens <n>', 'token rows in one step').argParser(readPositive),
    new Option('--kv-cache-memory <size>', 'GPU memory for keys and values (512MiB)').argParser(readBytes),
    new Option('--kv-cache-dtype <type>', 'keys and values in f32 (auto) or, twice as many, in f16').choices(DTYPES),
    new Option(
      '--activation-dtype <type>',
      'what matrices are multiplied with in f32 (auto) or f16; doctor --model measures both',
    ).choices(DTYPES),
    new Option('--no-run-ahead', 'plan each step only when the result of the one before is known'),
    new Option(
      '--tune <when>',
      'measure variants of kernels while idle: auto is on GPUs, not on software devices',
    ).choices(['auto', 'always', 'never']),
    new Option('--retune', 'measure them again, whatever an earlier start has found'),
  ]
  return [...options, ...deviceOptions()].map((option) => option.helpGroup('Engine options:'))
}

export function deviceOptions(): readonly Option[] {
  return [
    new Option(
      '--batch-invariant',
      'the same bits for a request in any batch, also on GPUs with several subgroup sizes',
    ),
    new Option('--webgpu <which>', 'in Deno: the WebGPU of the package "webgpu" (first choice), or the one built in')
      .env('LORIKEET_WEBGPU')
      .choices(['dawn', 'builtin']),
  ]
}

export function sizesOf(flags: EngineFlags): EngineSizes {
  return {
    ...given('maxModelLen', flags.maxModelLen),
    ...given('maxNumSeqs', flags.maxNumSeqs),
    ...given('maxNumBatchedTokens', flags.maxNumBatchedTokens),
    ...given('kvCacheMemory', flags.kvCacheMemory),
    ...(flags.kvCacheDtype === 'float16' && { kvCacheDtype: 'F16' as const }),
    ...(flags.activationDtype === 'float16' && { activationDtype: 'F16' as const }),
    ...given('loraMemory', flags.loraMemory),
    ...given('maxLoras', flags.maxLoras),
    ...given('maxLoraRank', flags.maxLoraRank),
  }
}

/** How kernels are fitted to the device. */
export function tuningOf({ tune, retune = false }: EngineFlags): TuningOptions {
  return { retune, ...(tune && { mode: tune }) }
}

export function deviceWishOf({ batchInvariant = false, webgpu }: DeviceFlags): DeviceWish {
  return { batchInvariant, ...(webgpu && { webgpu }) }
}

/** `{ name: value }`, or nothing where no value was given. */
export function given<Name extends string>(name: Name, value: number | undefined): { readonly [N in Name]?: number } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [N in Name]: number })
}
