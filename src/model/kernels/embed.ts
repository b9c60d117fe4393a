/** Host half of embed.wgsl: residual rows out of the embedding table. */
import source from '../../../shaders/embed.wgsl' with { type: 'text' }
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { REGISTERS_INCLUDE, STEP_INCLUDE, WEIGHTS_INCLUDE } from './includes.ts'

const definition: KernelDefinition = {
  name: 'embed',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //      [shardRows, hidden]
    { name: 'registers', access: 'read' }, //  [maxSpans]
    { name: 'residual', access: 'write' }, //  [rows, hidden]
  ],
}

export function embedKernel(dtype: FloatDtype): KernelChoice {
  const includes = { step: STEP_INCLUDE, registers: REGISTERS_INCLUDE, weights: WEIGHTS_INCLUDE[dtype] }
  return { definition, specialisation: { includes } }
}

/** One shard of the table: tokens shardStart .. shardStart + shardRows - 1. */
export function embedParams(shape: {
  readonly hidden: number
  readonly shardStart: number
  readonly shardRows: number
}): Uint32Array<ArrayBuffer> {
  return paramWords(shape.hidden / 4, shape.shardStart, shape.shardRows)
}

export function embedGrid(hidden: number, rows: number): Grid {
  return [Math.ceil(hidden / 4 / PLAIN_WORKGROUP), rows]
}
