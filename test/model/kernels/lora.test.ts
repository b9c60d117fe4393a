import { describe, expect } from 'vitest'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../../../src/model/kernels/loraExpand.ts'
import {
  loraScaleBiasGrid,
  loraScaleBiasKernel,
  loraScaleBiasParams,
} from '../../../src/model/kernels/loraScaleBias.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../../../src/model/kernels/loraShrink.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { it as itOnDevice, type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { type LoraAdapter, LoraPages, loraReference, randomAdapter } from '../../support/reference/lora.ts'
import { stepWordsOf, tilesOf } from '../../support/steps.ts'

const PLACE = { layer: 1, numLayers: 2, group: 2 }
const COLUMNS = 3 * 64

interface Scene {
  readonly inputs: number
  readonly outs: readonly number[]
  /** By slot. */
  readonly adapters: readonly LoraAdapter[]
  /** Slot of each row, null for the base; rows of a slot are neighbours. */
  readonly slots: readonly (number | null)[]
  readonly x: Float32Array<ArrayBuffer>
  readonly y: Float32Array<ArrayBuffer>
}

function scene(
  inputs: number,
  outs: readonly number[],
  slots: readonly (number | null)[],
  make: (random: Random) => readonly LoraAdapter[],
): Scene {
  const random = new Random(inputs + slots.length)
  const width = outs.reduce((sum, out) => sum + out, 0)
  const adapters = make(random)
  return {
    inputs,
    outs,
    slots,
    adapters,
    x: random.floats(slots.length * inputs),
    y: random.floats(slots.length * width),
  }
}

/** Shrinks and expands all rows; returns y. */
async function run(bench: KernelBench, made: Scene, splits = 1): Promise<Float32Array> {
  const { inputs, outs, adapters, slots } = made
  const pages = new LoraPages()
  adapters.forEach((adapter, slot) => {
    pages.add(adapter, { ...PLACE, slot })
  })
  const rows = slots.map((slot) => ({ slot }))
  const tiles = tilesOf(rows).length
  const shape = { ...PLACE, columns: COLUMNS, rowCapacity: rows.length + 3, splits }
  const step = await bench.upload('step', stepWordsOf({ rows }))
  const table = await bench.upload('table', pages.table(adapters.length + 1, PLACE.numLayers))
  const slab = await bench.upload('slab', pages.slab)
  // Poisoned: a sum must never read what its adapter's shrink did not write.
  const down = await bench.upload('down', new Float32Array(splits * shape.rowCapacity * COLUMNS).fill(Number.NaN))
  const y = await bench.upload('y', made.y)
  const x = await bench.upload('x', made.x)
  const dtypes = [...new Set(adapters.map((adapter) => adapter.dtype))]
  await bench.run(
    loraShrinkKernel(bench.gpu.can, dtypes),
    { params: loraShrinkParams({ ...shape, in: inputs }), step, table, slab, x, down },
    loraShrinkGrid(bench.gpu.can, COLUMNS, tiles, splits),
  )
  await bench.run(
    loraExpandKernel(bench.gpu.can, dtypes),
    { params: loraExpandParams({ ...shape, outs }), step, table, slab, down, y },
    loraExpandGrid(bench.gpu.can, outs, tiles),
  )
  await bench.run(
    loraScaleBiasKernel(),
    { params: loraScaleBiasParams({ ...PLACE, outs }), step, table, slab, y },
    loraScaleBiasGrid(outs, tiles),
  )
  return bench.floats(y)
}

function check({ inputs, outs, adapters, slots, x, y }: Scene, actual: Float32Array): void {
  const width = y.length / slots.length
  slots.forEach((slot, row) => {
    const line = y.subarray(row * width, (row + 1) * width)
    const adapter = slot === null ? null : adapters[slot]
    const mine = actual.subarray(row * width, (row + 1) * width)
    if (!adapter) {
      expect(mine).toEqual(line)
      return
    }
    const expected = loraReference(x.subarray(row * inputs, (row + 1) * inputs), line, outs, adapter)
    expectNear(mine, expected.y, {
      relative: 2e-6,
      magnitudes: expected.magnitudes,
      because: 'two f32 sums in another order',
    })
  })
}

/** Alone, in pairs, over a tile, over two tiles, with base rows between. */
const SLOTS = [null, 0, 1, 1, null, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 5, null]

const OUTS = [96, 36, 36]

/** Ranks 1, 5, 8, 16, 64; all, some and one of the projections; row scales and biases; element types in turn. */
const adaptersOf =
  (inputs: number, types: readonly [FloatDtype, FloatDtype, FloatDtype] = ['F16', 'BF16', 'F32']) =>
  (random: Random) => {
    const [one, two, three] = types
    return [
      randomAdapter(random, one, inputs, OUTS, [1, 1, 1]),
      randomAdapter(random, two, inputs, OUTS, [5, 0, 8]),
      randomAdapter(random, one, inputs, OUTS, [64, 64, 64]),
      randomAdapter(random, three, inputs, OUTS, [0, 16, 0], { bias: true }),
      randomAdapter(random, three, inputs, OUTS, [8, 3, 8], { rowScale: true, bias: true }),
      randomAdapter(random, two, inputs, OUTS, [16, 16, 16], { rowScale: true }),
    ]
  }

describe.each(TEAM_DEVICES)('lora_shrink and lora_expand $name', ({ it, subgroups }) => {
  // Loops for element types are the same on either device; with barriers each takes long to compile.
  const types = subgroups ? undefined : (['F16', 'F16', 'F16'] as const)

  // A width that is no multiple of the lanes' stride, and a real one.
  for (const inputs of [100, 576]) {
    it(`match the reference: ranks mixed, ${inputs} inputs`, async ({ bench }) => {
      const made = scene(inputs, OUTS, SLOTS, adaptersOf(inputs, types))
      check(made, await run(bench, made))
    })
  }

  it('match the reference with the inputs cut into slices, the last one short', async ({ bench }) => {
    const made = scene(100, OUTS, SLOTS, adaptersOf(100, types))
    check(made, await run(bench, made, 3))
  })
})

describe('lora_shrink and lora_expand', () => {
  itOnDevice('give a row the same bits alone and in every company', async ({ bench }) => {
    const made = scene(132, OUTS, SLOTS, adaptersOf(132))
    const together = await run(bench, made)
    const width = made.y.length / SLOTS.length
    for (const row of [1, 2, 5, 12, 13, 16, 17, 18]) {
      const slice = (all: Float32Array<ArrayBuffer>, of: number) => all.slice(row * of, (row + 1) * of)
      const alone = { ...made, slots: [SLOTS[row]!], x: slice(made.x, made.inputs), y: slice(made.y, width) }
      expect(await run(bench, alone)).toEqual(together.slice(row * width, (row + 1) * width))
    }
  })

  itOnDevice('serve groups of one and two projections', async ({ bench }) => {
    for (const outs of [[52], [352, 352]]) {
      const made = scene(64, outs, [0, 0, 1, null], (random) => [
        randomAdapter(random, 'F16', 64, outs, [8, 5]),
        randomAdapter(random, 'F16', 64, outs, [3, 16]),
      ])
      check(made, await run(bench, made))
    }
  })

  itOnDevice('leave alone what an adapter does not touch', async ({ bench }) => {
    // Slot 1 has no entry for this group: a rank of 0.
    const made = scene(64, OUTS, [0, 1, 1], (random) => [randomAdapter(random, 'F16', 64, OUTS, [4, 4, 4])])
    check(made, await run(bench, made))
  })
})
