/** What adapters add to a layer: shrink and expand of its four groups, by rank and by rows of each adapter. */
import type { Gpu } from '../../gpu/gpu.ts'
import { ENTRY_HEAD, ENTRY_WORDS, PROJECTION_WORDS } from '../../model/adapterTable.ts'
import { shrinkSplits } from '../../model/forwardPlan.ts'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../../model/kernels/loraExpand.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../../model/kernels/loraShrink.ts'
import { GROUP_PROJECTIONS, GROUPS, groupShape, type ModelSpec, projectionShape } from '../../model/spec.ts'
import { type Dispatch, type KernelCase, turns } from './kernelCase.ts'
import { stepOf } from './steps.ts'
import { ramp, type Workbench } from './workbench.ts'

export type LoraPart = 'shrink' | 'expand'

export interface LoraLoad {
  /** On all seven projections, F16. */
  readonly rank: number
  readonly adapters: number
  /** Rows of each adapter. */
  readonly perAdapter: number
}

/** Sets of adapters of a case. */
const MOST_TURNS = 8

/** A layer's four groups after each other. @returns null where the adapters do not fit `most` bytes */
export function loraCase(gpu: Gpu, spec: ModelSpec, part: LoraPart, load: LoraLoad, most: number): KernelCase | null {
  const { rank, adapters, perAdapter } = load
  const rows = adapters * perAdapter
  const groups = GROUPS.map((group, index) => {
    const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(spec, projection).out)
    const { in: inputs, out } = groupShape(spec, group)
    return { index, inputs, outs, out, columns: pad4(rank) * outs.length, splits: shrinkSplits(gpu, inputs) }
  })
  type GroupLoad = (typeof groups)[number]
  const weights = ({ inputs, out, columns }: GroupLoad) =>
    part === 'shrink' ? adapters * columns * inputs : adapters * out * pad4(rank)
  const slabBytes = ({ inputs, out, columns }: GroupLoad) => adapters * (columns * inputs + out * pad4(rank)) * 2
  if (Math.max(...groups.map(slabBytes)) > most) return null
  const sum = (value: (group: GroupLoad) => number) => groups.reduce((total, group) => total + value(group), 0)
  return {
    kernel: `lora_${part}`,
    shape: `rank ${rank}, ${adapters} ${adapters === 1 ? 'adapter' : 'adapters'} of ${perAdapter}`,
    rows,
    macs: sum(({ inputs, out, outs }) => rows * rank * (part === 'shrink' ? inputs * outs.length : out)),
    bytes: sum((group) => {
      const { inputs, out, columns, splits } = group
      const activations = part === 'shrink' ? inputs + columns * splits : columns * splits + 2 * out
      return weights(group) * 2 + rows * activations * 4
    }),
    async prepare(bench) {
      const { words, tiles } = stepOf({ rows, perSlot: perAdapter })
      const step = await bench.upload(words)
      const makers = await Promise.all(
        groups.map(async (group) => dispatchesOf(bench, part, load, group, { step, tiles }, slabBytes(group))),
      )
      const count = Math.min(MOST_TURNS, ...groups.map((group) => bench.numSlices(slabBytes(group))))
      return turns(Array.from({ length: count }, (_, turn) => makers.map((make) => make(turn))))
    },
  }
}

/** Makes the dispatch of a group with its slab somewhere else in every turn. */
async function dispatchesOf(
  bench: Workbench,
  part: LoraPart,
  { rank, adapters, perAdapter }: LoraLoad,
  group: { index: number; inputs: number; outs: readonly number[]; out: number; columns: number; splits: number },
  { step, tiles }: { readonly step: Awaited<ReturnType<Workbench['upload']>>; readonly tiles: number },
  slabBytes: number,
): Promise<(turn: number) => Dispatch> {
  const { gpu } = bench
  const { can } = gpu
  const { index, inputs, outs, out, columns, splits } = group
  const rows = adapters * perAdapter
  const shape = { layer: 0, numLayers: 1, group: index, columns, rowCapacity: rows, splits }
  const table = await bench.upload(tableOf(group, rank, adapters))
  const down = await bench.zeros(splits * rows * columns * 4)
  const common = { step, table, down }
  if (part === 'shrink') {
    const { definition, specialisation } = loraShrinkKernel(can, ['F16'])
    const kernel = await gpu.kernel(definition, specialisation)
    const params = await bench.upload(loraShrinkParams({ ...shape, in: inputs }))
    const x = await bench.upload(ramp(rows * inputs))
    const grid = loraShrinkGrid(can, columns, tiles, splits)
    return (turn) => ({
      kernel: kernel.bind({ ...common, params, x, slab: bench.slice(slabBytes, turn + index) }),
      grid,
    })
  }
  const { definition, specialisation } = loraExpandKernel(can, ['F16'])
  const kernel = await gpu.kernel(definition, specialisation)
  const params = await bench.upload(loraExpandParams({ ...shape, outs }))
  const y = await bench.zeros(rows * out * 4)
  const grid = loraExpandGrid(can, outs, tiles)
  return (turn) => ({ kernel: kernel.bind({ ...common, params, y, slab: bench.slice(slabBytes, turn + index) }), grid })
}

/** Table entries of one layer, as the pool writes them: A of all projections, then their B. */
function tableOf(
  { index, inputs, outs, columns }: { index: number; inputs: number; outs: readonly number[]; columns: number },
  rank: number,
  adapters: number,
): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(adapters * GROUPS.length * ENTRY_WORDS)
  const scale = new Uint32Array(Float32Array.of(0.5).buffer)[0]!
  const F16 = 1
  let at = 0
  for (let slot = 0; slot < adapters; slot++) {
    const entry = (slot * GROUPS.length + index) * ENTRY_WORDS
    table.set([at, columns, F16, 0], entry)
    at += (columns * inputs) / 2
    outs.forEach((out, projection) => {
      table.set(
        [at, pad4(rank), scale, projection * pad4(rank), 0, 0],
        entry + ENTRY_HEAD + projection * PROJECTION_WORDS,
      )
      at += (out * pad4(rank)) / 2
    })
  }
  return table
}

function pad4(rank: number): number {
  return Math.ceil(rank / 4) * 4
}
