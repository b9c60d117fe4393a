/** The kernels of a layer and of the output layer: matrices by group, norms, rope, activation, embedding. */
import type { Capabilities } from '../../gpu/capabilities.ts'
import { addNormGrid, addNormKernel, addNormParams } from '../../model/kernels/addNorm.ts'
import { embedGrid, embedKernel, embedParams } from '../../model/kernels/embed.ts'
import type { ActivationDtype } from '../../model/kernels/includes.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../../model/kernels/matmul.ts'
import { ropeKvGrid, ropeKvKernel, ropeKvParams } from '../../model/kernels/ropeKv.ts'
import { siluMulGrid, siluMulKernel, siluMulParams } from '../../model/kernels/siluMul.ts'
import { defaultTuning, rowClass } from '../../model/kernels/tuning.ts'
import { GROUPS, groupShape, type ModelSpec } from '../../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype, fromFloat32 } from '../../weights/dtype.ts'
import { type KernelCase, prepareOne } from './kernelCase.ts'
import { stepOf } from './steps.ts'
import { ramp } from './workbench.ts'

interface MatrixShape {
  readonly name: string
  readonly in: number
  readonly out: number
}

/** The base's matrices, one for each dispatch of a step: projections that share an input are one. */
export function matrixShapes(spec: ModelSpec): readonly MatrixShape[] {
  return [
    ...GROUPS.map((group) => ({ name: group, ...groupShape(spec, group) })),
    { name: 'lm_head', in: spec.hiddenSize, out: spec.vocabSize },
  ]
}

/**
 * A matrix that is too large to be bound is measured as its first shard.
 * @param most bytes of a binding
 * @param activations of what it is multiplied with
 */
export function matmulCase(
  shape: MatrixShape,
  dtype: FloatDtype,
  rows: number,
  most: number,
  activations: ActivationDtype = 'F32',
): KernelCase {
  const { name, in: inputs } = shape
  const rowBytes = inputs * FLOAT_BYTES[dtype]
  const out = Math.min(shape.out, Math.floor(most / rowBytes))
  const byteLength = out * rowBytes
  return {
    kernel: 'matmul',
    shape: `${name} ${inputs} x ${out} ${dtype}`,
    rows,
    macs: rows * inputs * out,
    bytes: byteLength + rows * (inputs * FLOAT_BYTES[activations] + out * 4),
    prepare(bench) {
      const { can } = bench.gpu
      const tuning = defaultTuning(can).matmul[rowClass(rows)]
      const rest = {
        params: matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' }),
        step: stepOf({ rows }).words,
        x: new Uint32Array(fromFloat32(ramp(rows * inputs), activations).buffer),
        y: rows * out * 4,
      }
      const grid = matmulGrid(can, tuning, out, rows)
      return prepareOne(bench, matmulKernel(can, dtype, tuning, activations), rest, { name: 'w', byteLength }, grid)
    },
  }
}

/** What stands between the matrices of a layer. */
export function smallCases(spec: ModelSpec, can: Capabilities, dtype: FloatDtype, rows: number): KernelCase[] {
  const { hiddenSize: hidden, intermediateSize: inter, numHeads: heads, numKvHeads: kvHeads, headDim } = spec
  const { words: step, cacheSlots } = stepOf({ rows })
  const qkv = (heads + 2 * kvHeads) * headDim
  const f32 = (count: number) => count * 4
  const cacheBytes = cacheSlots * kvHeads * headDim * 4
  const tableRows = Math.min(spec.vocabSize, 4096)
  return [
    {
      kernel: 'embed',
      shape: `${hidden} ${dtype}`,
      rows,
      macs: 0,
      bytes: rows * hidden * (FLOAT_BYTES[dtype] + 4),
      prepare: (bench) =>
        prepareOne(
          bench,
          embedKernel(dtype),
          {
            params: embedParams({ hidden, shardStart: 0, shardRows: tableRows }),
            step,
            registers: new Uint32Array(rows),
            residual: f32(rows * hidden),
          },
          { name: 'table', byteLength: Math.min(bench.poolBytes, tableRows * hidden * FLOAT_BYTES[dtype]) },
          embedGrid(hidden, rows),
        ),
    },
    {
      kernel: 'add_norm',
      shape: `${hidden}`,
      rows,
      macs: 0,
      bytes: f32(4 * rows * hidden + hidden),
      prepare: (bench) =>
        prepareOne(
          bench,
          addNormKernel(can, { add: true, bias: false, gather: false }),
          {
            params: addNormParams({ hidden, eps: spec.normEps }),
            step,
            gain: ramp(hidden),
            delta: f32(rows * hidden),
            bias: ramp(hidden),
            residual: ramp(rows * hidden),
            normed: f32(rows * hidden),
          },
          null,
          addNormGrid(can, rows),
        ),
    },
    {
      kernel: 'rope_kv',
      shape: `${heads} + 2 x ${kvHeads} heads of ${headDim}`,
      rows,
      macs: 0,
      bytes: f32(rows * (2 * qkv + headDim)),
      prepare: (bench) =>
        prepareOne(
          bench,
          ropeKvKernel(can, { bias: spec.bias.qkv, qkNorm: spec.qkNorm }),
          {
            params: ropeKvParams({ heads, kvHeads, headDim, eps: spec.normEps }, { bias: 0, qGain: 0, kGain: 0 }),
            step,
            qkv: ramp(rows * qkv),
            vectors: ramp(qkv),
            rope: ramp(headDim),
            keys: cacheBytes,
            values: cacheBytes,
          },
          null,
          ropeKvGrid(can, { heads, kvHeads }, rows),
        ),
    },
    {
      kernel: 'silu_mul',
      shape: `${inter}`,
      rows,
      macs: 0,
      bytes: f32(3 * rows * inter),
      prepare: (bench) =>
        prepareOne(
          bench,
          siluMulKernel({ bias: spec.bias.mlp }),
          {
            params: siluMulParams(inter),
            gateUp: ramp(rows * 2 * inter),
            bias: ramp(2 * inter),
            act: f32(rows * inter),
          },
          null,
          siluMulGrid(inter, rows),
        ),
    },
  ]
}
