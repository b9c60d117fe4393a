/**
 * Holds the base's weights that come with some adapters against the base that is served. Beside LoRA on the embedding or
 * the output layer PEFT saves the layer's own weight, and loads it over the base's: where the two differ, the adapter was
 * made for another base, or for one that was trained with it.
 */
import type { ModelSpec } from '../model/spec.ts'
import { EMBEDDING, LM_HEAD } from '../model/tensorNames.ts'
import type { Checkpoint } from '../weights/checkpoint.ts'
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import { tensorSlices } from '../weights/tensorData.ts'
import { shown, tensorRefusal } from './errors.ts'
import type { BaseWeightPlan } from './modulePlan.ts'

/** Rows `first` to `first + count - 1` of the base's embedding or output layer, as f32. */
export type BaseRows = (module: 'embedding' | 'head', first: number, count: number) => Promise<Float32Array>

/** Of a model that has not been loaded yet. */
export function checkpointRows({ tiedEmbeddings }: ModelSpec, { tensors }: Checkpoint): BaseRows {
  return async (module, first, count) => {
    const { dtype, shape, source, byteOffset } = tensors.get(
      module === 'head' && !tiedEmbeddings ? LM_HEAD : EMBEDDING,
    )!
    const rowBytes = shape[1]! * FLOAT_BYTES[dtype as FloatDtype]
    return toFloat32(await source.read(byteOffset + first * rowBytes, count * rowBytes), dtype as FloatDtype)
  }
}

/** Of the adapter's weight that are compared at a time: with both sides in f32, five times as much is held. */
const SLICE_BYTES = 2 * 1024 * 1024

/** How far a value may be from the base's when it was rounded to this type, relative to it; and absolutely. */
const ROUNDING: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 2 ** -11, BF16: 2 ** -8 }
const SMALLEST = 2 ** -24

/** How far a value may be from the base's: relative to it, and absolutely. */
interface Tolerance {
  readonly relative: number
  readonly absolute: number
}

/** @throws AdapterRefusedError for the first weight that is not the base's. */
export async function compareWithBase(
  plans: readonly BaseWeightPlan[],
  baseRows: BaseRows,
  signal?: AbortSignal,
): Promise<void> {
  for (const plan of plans) {
    const { module, weight } = plan
    const dtype = weight.dtype as FloatDtype
    const rounded = { relative: ROUNDING[dtype], absolute: dtype === 'F32' ? 0 : SMALLEST }
    const other = await firstDifference(plan, baseRows, rounded, signal)
    if (other === null) continue
    const at = `[${other.join(', ')}]`
    const message = `Tensor ${shown(weight.name)} is not the base's ${module.path} (it differs at ${at}): the adapter belongs to another base.`
    throw tensorRefusal('adapter_changed_base', weight.name, message)
  }
}

/** Whether any value is not the base's to the bit. */
export async function differsFromBase(
  plan: BaseWeightPlan,
  baseRows: BaseRows,
  signal?: AbortSignal,
): Promise<boolean> {
  return (await firstDifference(plan, baseRows, { relative: 0, absolute: 0 }, signal)) !== null
}

/** Row and column of the first value that is not the base's. */
async function firstDifference(
  { module, weight }: BaseWeightPlan,
  baseRows: BaseRows,
  { relative, absolute }: Tolerance,
  signal: AbortSignal | undefined,
): Promise<readonly [row: number, column: number] | null> {
  const dtype = weight.dtype as FloatDtype
  const columns = weight.shape[1]!
  const rowBytes = columns * FLOAT_BYTES[dtype]
  const slice = Math.max(1, Math.floor(SLICE_BYTES / rowBytes)) * rowBytes
  for await (const { byteOffset, bytes } of tensorSlices(weight, slice, signal)) {
    const first = byteOffset / rowBytes
    const values = toFloat32(bytes, dtype)
    const base = await baseRows(module.kind, first, values.length / columns)
    const other = values.findIndex(
      (value, i) => !(Math.abs(value - base[i]!) <= Math.abs(base[i]!) * relative + absolute),
    )
    if (other >= 0) return [first + Math.floor(other / columns), other % columns]
  }
  return null
}
