/** The cases of bench/kernels.ts: every kernel at the shapes of one layer of SmolLM2-135M. */
import type { Gpu } from '../src/gpu/gpu.ts'
import type { Grid } from '../src/gpu/kernel.ts'
import { addNormGrid, addNormKernel, addNormParams } from '../src/model/kernels/addNorm.ts'
import { attentionGrid, attentionKernel, attentionParams } from '../src/model/kernels/attention.ts'
import type { KernelChoice } from '../src/model/kernels/choice.ts'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../src/model/kernels/loraExpand.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../src/model/kernels/loraShrink.ts'
import { matmulGrid, matmulKernel, matmulParams, matmulRowsPerTeam } from '../src/model/kernels/matmul.ts'
import { ropeKvGrid, ropeKvKernel, ropeKvParams } from '../src/model/kernels/ropeKv.ts'
import { siluMulGrid, siluMulKernel, siluMulParams } from '../src/model/kernels/siluMul.ts'
import { BLOCK_SIZE } from '../src/model/kvCache.ts'
import { StepTables, TILE_ROWS } from '../src/model/stepTables.ts'
import type { KernelCase, Upload } from './kernels.ts'

type Data = Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>

const HIDDEN = 576
const INTER = 1536
const HEADS = { heads: 9, kvHeads: 3, headDim: 64 }
const QKV = (HEADS.heads + 2 * HEADS.kvHeads) * HEADS.headDim

/** Groups in their order: inputs and the outputs of their projections. */
const GROUPS = [
  { name: 'attn_in', in: HIDDEN, outs: [576, 192, 192] },
  { name: 'attn_out', in: HIDDEN, outs: [HIDDEN] },
  { name: 'mlp_in', in: HIDDEN, outs: [INTER, INTER] },
  { name: 'mlp_out', in: INTER, outs: [HIDDEN] },
] as const

const sum = (values: readonly number[]) => values.reduce((one, other) => one + other, 0)

/** Halves around 0.01 with either sign: no kernel meets a denormal or an overflow. */
const halves = (count: number) =>
  Uint32Array.from({ length: count / 2 }, (_, i) => (0x2000 + ((i * 7919) & 0x3ff)) * 0x10001 + ((i & 1) << 15))

const ramp = (count: number) => Float32Array.from({ length: count }, (_, i) => ((i * 37) % 101) / 101 - 0.5)

/** A step of `rows` rows: base rows, or `perSlot` rows of each adapter; every row a sequence of `context` tokens. */
function stepOf(rows: number, perSlot = 0, context = 1): { words: Uint32Array<ArrayBuffer>; tiles: number } {
  const tiles = perSlot ? Math.ceil(perSlot / TILE_ROWS) * (rows / perSlot) : 0
  const blocks = Math.ceil(context / BLOCK_SIZE)
  const tables = new StepTables(16 + rows * 4 + tiles * 4 + blocks)
  tables.begin({ rows, tiles, logits: 0, splits: 1 })
  const blockTable = tables.addList(Array.from({ length: blocks }, (_, i) => blocks - 1 - i))
  for (let row = 0; row < rows; row++) {
    tables.addRow({ token: row, position: context - 1, blockTable, slot: perSlot ? Math.floor(row / perSlot) : null })
  }
  for (let row = 0; perSlot && row < rows; row += perSlot) {
    for (let start = 0; start < perSlot; start += TILE_ROWS) {
      tables.addTile(row / perSlot, row + start, Math.min(TILE_ROWS, perSlot - start))
    }
  }
  return { words: tables.words, tiles }
}

function kernelCase(
  name: string,
  macs: number,
  choose: (gpu: Gpu) => readonly (readonly [KernelChoice, Readonly<Record<string, Data>>, Grid])[],
): KernelCase {
  return {
    name,
    macs,
    async prepare(gpu: Gpu, upload: Upload) {
      const uploaded: { choice: KernelChoice; buffers: Record<string, Awaited<ReturnType<Upload>>>; grid: Grid }[] = []
      for (const [choice, data, grid] of choose(gpu)) {
        const buffers: Record<string, Awaited<ReturnType<Upload>>> = {}
        for (const [binding, content] of Object.entries(data)) buffers[binding] = await upload(content)
        uploaded.push({ choice, buffers, grid })
      }
      return () =>
        Promise.all(
          uploaded.map(async ({ choice: { definition, specialisation }, buffers, grid }) => {
            return { kernel: (await gpu.kernel(definition, specialisation)).bind(buffers), grid }
          }),
        )
    },
  }
}

/** A layer's four matrices after each other, with distinct memory. */
function matmulCase(rows: number): KernelCase {
  const macs = rows * sum(GROUPS.map(({ in: inputs, outs }) => inputs * sum(outs)))
  return kernelCase(`matmul f16, a layer, ${rows} rows`, macs, ({ can }) =>
    GROUPS.map(({ in: inputs, outs }) => {
      const out = sum(outs)
      const rowsPerTeam = matmulRowsPerTeam(can, rows)
      return [
        matmulKernel(can, 'F16', rowsPerTeam),
        {
          params: matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' }),
          step: stepOf(rows).words,
          w: halves(inputs * out),
          x: ramp(rows * inputs),
          y: new Float32Array(rows * out),
        },
        matmulGrid(can, rowsPerTeam, out, rows),
      ]
    }),
  )
}

type Part = 'shrink' | 'expand'

/** A layer's LoRA: `adapters` adapters of `rank` on all seven projections, `perSlot` rows each. */
function loraCase(part: Part, rank: number, adapters: number, perSlot: number): KernelCase {
  const rows = adapters * perSlot
  const { words, tiles } = stepOf(rows, perSlot)
  const macs =
    rows * rank * sum(GROUPS.map(({ in: inputs, outs }) => (part === 'shrink' ? inputs * outs.length : sum(outs))))
  return kernelCase(`lora_${part} f16, r=${rank}, ${adapters} tiles of ${perSlot}`, macs, ({ can }) =>
    GROUPS.map(({ in: inputs, outs }, group) => {
      const columns = rank * outs.length
      const shape = { layer: 0, numLayers: 1, group, columns, rowCapacity: rows, splits: 1 }
      const aWords = (columns * inputs) / 2
      const perAdapter = aWords + (sum(outs) * rank) / 2
      const table = new Uint32Array(adapters * 4 * 32)
      const scale = new Uint32Array(Float32Array.of(0.5).buffer)[0]!
      for (let slot = 0; slot < adapters; slot++) {
        const entry = (slot * 4 + group) * 32
        let at = slot * perAdapter
        table.set([at, columns, 1, 0], entry)
        at += aWords
        outs.forEach((out, projection) => {
          table.set([at, rank, scale, projection * rank, 0, 0], entry + 4 + projection * 8)
          at += (out * rank) / 2
        })
      }
      const common = { step: words, table, slab: halves(adapters * perAdapter * 2) }
      const down = new Float32Array(rows * columns)
      if (part === 'shrink') {
        const params = loraShrinkParams({ ...shape, in: inputs })
        return [
          loraShrinkKernel(can, ['F16']),
          { params, ...common, x: ramp(rows * inputs), down },
          loraShrinkGrid(can, columns, tiles, 1),
        ]
      }
      return [
        loraExpandKernel(can, ['F16']),
        {
          params: loraExpandParams({ ...shape, outs }),
          ...common,

          down,
          y: new Float32Array(rows * sum(outs)),
        },
        loraExpandGrid(can, outs, tiles),
      ]
    }),
  )
}

function attentionCase(rows: number, context: number): KernelCase {
  const macs = rows * context * HEADS.heads * HEADS.headDim * 2
  const slots = Math.ceil(context / BLOCK_SIZE) * BLOCK_SIZE
  return kernelCase(`attention, ${rows} rows, context ${context}`, macs, ({ can }) => [
    [
      attentionKernel(can, HEADS),
      {
        params: attentionParams(HEADS, null),
        step: stepOf(rows, 0, context).words,
        qkv: ramp(rows * QKV),
        keys: ramp(slots * HEADS.kvHeads * HEADS.headDim),
        values: ramp(slots * HEADS.kvHeads * HEADS.headDim),
        out: new Float32Array(rows * HIDDEN),
        partials: new Float32Array(4),
      },
      attentionGrid(can, HEADS, rows, 1),
    ],
  ])
}

/** What is left of a layer; "multiply-adds" are elements here. */
function smallCases(rows: number): KernelCase[] {
  const step = stepOf(rows).words
  const slots = BLOCK_SIZE * HEADS.kvHeads * HEADS.headDim
  return [
    kernelCase(`add_norm, ${rows} rows`, rows * HIDDEN, ({ can }) => [
      [
        addNormKernel(can, { add: true, bias: false, gather: false }),
        {
          params: addNormParams({ hidden: HIDDEN, eps: 1e-5 }),
          step,
          gain: ramp(HIDDEN),
          delta: new Float32Array(rows * HIDDEN),
          bias: ramp(HIDDEN),
          residual: ramp(rows * HIDDEN),
          normed: new Float32Array(rows * HIDDEN),
        },
        addNormGrid(can, rows),
      ],
    ]),
    kernelCase(`rope_kv, ${rows} rows`, rows * QKV, ({ can }) => [
      [
        ropeKvKernel(can, { bias: false, qkNorm: false }),
        {
          params: ropeKvParams({ ...HEADS, eps: 1e-5 }, { bias: 0, qGain: 0, kGain: 0 }),
          step,
          qkv: ramp(rows * QKV),
          vectors: ramp(QKV),
          rope: ramp(64),
          keys: new Float32Array(slots),
          values: new Float32Array(slots),
        },
        ropeKvGrid(can, HEADS, rows),
      ],
    ]),
    kernelCase(`silu_mul, ${rows} rows`, rows * INTER, () => [
      [
        siluMulKernel({ bias: false }),
        {
          params: siluMulParams(INTER),
          gateUp: ramp(rows * 2 * INTER),
          bias: ramp(2 * INTER),
          act: new Float32Array(rows * INTER),
        },
        siluMulGrid(INTER, rows),
      ],
    ]),
  ]
}

export function kernelCases(): KernelCase[] {
  const lora = [16, 64].flatMap((rank) =>
    [1, 8].flatMap((perSlot) => (['shrink', 'expand'] as const).map((part) => loraCase(part, rank, 8, perSlot))),
  )
  return [
    ...[1, 2, 4, 8, 64].map(matmulCase),
    ...lora,
    attentionCase(1, 128),
    attentionCase(8, 128),
    attentionCase(64, 256),
    ...smallCases(1),
    ...smallCases(8),
  ]
}
