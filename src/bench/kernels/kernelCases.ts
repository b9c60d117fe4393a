/** Every kernel at the shapes of a model, and the device's own rates beside them. */
import type { Gpu } from '../../gpu/gpu.ts'
import { defaultTuning } from '../../model/kernels/tuning.ts'
import type { ModelSpec } from '../../model/spec.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { attentionCase } from './attentionCases.ts'
import { copyCase, dispatchCase, multiplyCase } from './deviceCases.ts'
import type { KernelCase } from './kernelCase.ts'
import { matmulCase, matrixShapes, smallCases } from './layerCases.ts'
import { type LoraLoad, loraCase } from './loraCases.ts'
import { SAMPLER_KINDS, samplerCase } from './samplerCases.ts'

/** Token rows of a step: decoding sequences, and pieces of prompts. */
export const ROWS: readonly number[] = [1, 2, 4, 8, 16, 32, 64]
/** A chunk of a prompt: a software device would take minutes for all of its matrices. */
const CHUNK_ROWS = 256
const FEW_ROWS = [1, 8, 64]
const DECODE = [1, 8].flatMap((rows) => [128, 1024, 4096].map((context) => ({ rows, context })))
const PREFILL = [64, 512, 2048].map((context) => ({ rows: 64, context }))
const RANKS = [8, 16, 32, 64]
/** A decoding row of each of many adapters; many rows of one; prompts of many. */
const LORA_LOADS: readonly Omit<LoraLoad, 'rank'>[] = [
  { adapters: 1, perAdapter: 1 },
  { adapters: 8, perAdapter: 1 },
  { adapters: 32, perAdapter: 1 },
  { adapters: 1, perAdapter: 8 },
  { adapters: 8, perAdapter: 8 },
]

/** That of Llama 3 and its like, beside the model's own: how a row fares that is long. Without log probabilities. */
const LARGE_VOCABULARY = 128_256
const LARGE_KINDS = 3

const COPY_BYTES = 64 * 2 ** 20
const SOFTWARE_COPY_BYTES = 16 * 2 ** 20

/** Of the device alone. `most`: bytes of the largest binding. */
export function deviceCases({ can }: Gpu, most: number): KernelCase[] {
  return [
    copyCase(Math.min(can.software ? SOFTWARE_COPY_BYTES : COPY_BYTES, most)),
    multiplyCase('f32', can.software),
    ...(can.f16 ? [multiplyCase('f16', can.software)] : []),
    dispatchCase(),
  ]
}

/** @param most bytes of the largest slice of weights that there is */
export function modelCases(gpu: Gpu, spec: ModelSpec, dtype: FloatDtype, most: number): KernelCase[] {
  const { splits } = defaultTuning(gpu.can)
  // Of a prompt's rows only the last wants logits.
  const rowsOf = (name: string) => (gpu.can.software || name === 'lm_head' ? ROWS : [...ROWS, CHUNK_ROWS])
  const isThere = (test: KernelCase | null): test is KernelCase => test !== null
  return [
    ...matrixShapes(spec).flatMap((shape) => rowsOf(shape.name).map((rows) => matmulCase(shape, dtype, rows, most))),
    ...DECODE.map(({ rows, context }) => attentionCase(spec, 'decode', rows, context, most, splits)).filter(isThere),
    ...PREFILL.map(({ rows, context }) => attentionCase(spec, 'prefill', rows, context, most, splits)).filter(isThere),
    ...RANKS.flatMap((rank) =>
      LORA_LOADS.flatMap((load) =>
        (['shrink', 'expand'] as const).map((part) => loraCase(gpu, spec, part, { rank, ...load }, most)),
      ),
    ).filter(isThere),
    ...SAMPLER_KINDS.flatMap((kind) => [1, 8].map((rows) => samplerCase(spec.vocabSize, kind, rows))),
    ...SAMPLER_KINDS.slice(0, LARGE_KINDS).map((kind) => samplerCase(LARGE_VOCABULARY, kind, 1)),
    ...FEW_ROWS.flatMap((rows) => smallCases(spec, gpu.can, dtype, rows)),
  ]
}

/** Whether somebody asked for it: by a part of `kernel shape`, or for everything. */
export function isWanted({ kernel, shape }: KernelCase, parts: readonly string[]): boolean {
  return parts.length === 0 || parts.some((part) => `${kernel} ${shape}`.includes(part))
}
