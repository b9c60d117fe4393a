/** What the device itself can do: move memory, multiply, begin a dispatch. Everything else is held against these. */
import copySource from '../../../shaders/bench_copy.wgsl' with { type: 'text' }
import multiplySource from '../../../shaders/bench_multiply.wgsl' with { type: 'text' }
import type { KernelDefinition } from '../../gpu/kernel.ts'
import { type KernelChoice, paramWords } from '../../model/kernels/choice.ts'
import { type KernelCase, prepareOne, turns } from './kernelCase.ts'

const COPY: KernelDefinition = {
  name: 'bench_copy',
  source: copySource,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'source', access: 'read' },
    { name: 'copied', access: 'write' },
  ],
}
const MULTIPLY: KernelDefinition = {
  name: 'bench_multiply',
  source: multiplySource,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'numbers', access: 'read' },
    { name: 'sums', access: 'write' },
  ],
}

/** Copies `count` vectors of 16 bytes in as many workgroups as one likes. Params: copyParams(). */
export const COPY_KERNEL: KernelChoice = { definition: COPY, specialisation: {} }
export const copyParams = (byteLength: number): Uint32Array<ArrayBuffer> => paramWords(byteLength / 16)

/** Each invocation: v = v * factor + addend, `turns` times, on two vectors; their sum is written. */
export function multiplyKernel(element: 'f32' | 'f16'): KernelChoice {
  return { definition: MULTIPLY, specialisation: { aliases: { Vector: `vec4<${element}>` } } }
}
export const multiplyParams = (turns: number): Uint32Array<ArrayBuffer> => paramWords(turns)

/** Invocations of a workgroup of either kernel, and workgroups that fill any GPU. */
const WORKGROUP = 64
const GROUPS = 2048
const SOFTWARE_GROUPS = 64
/** Multiply-adds of an invocation in a turn. */
const CHAINS = 8
const TURNS = 1024

/** Copies `byteLength` bytes: so many are read, and so many written. */
export function copyCase(byteLength: number): KernelCase {
  return {
    kernel: 'copy',
    shape: `${byteLength / 2 ** 20} MiB`,
    rows: 0,
    macs: 0,
    bytes: byteLength * 2,
    prepare(bench) {
      const rest = { params: copyParams(byteLength), copied: byteLength }
      const groups = Math.min(bench.gpu.can.software ? SOFTWARE_GROUPS : GROUPS, Math.ceil(byteLength / 16 / WORKGROUP))
      return prepareOne(bench, COPY_KERNEL, rest, { name: 'source', byteLength }, [groups])
    },
  }
}

/** `element`: the type of the numbers; `f16` needs a device that has it. */
export function multiplyCase(element: 'f32' | 'f16', software: boolean): KernelCase {
  const groups = software ? SOFTWARE_GROUPS : GROUPS
  const bytes = element === 'f32' ? 16 : 8
  return {
    kernel: `multiply ${element}`,
    shape: 'in registers',
    rows: 0,
    macs: groups * WORKGROUP * TURNS * CHAINS,
    bytes: groups * WORKGROUP * bytes,
    prepare(bench) {
      // 1 and 0, so that nothing grows: in f32, or two halves in each word.
      const numbers =
        element === 'f32' ? Float32Array.of(1, 1, 1, 1, 0, 0, 0, 0) : Uint32Array.of(0x3c003c00, 0x3c003c00, 0, 0)
      const rest = { params: multiplyParams(TURNS), numbers, sums: groups * WORKGROUP * bytes }
      return prepareOne(bench, multiplyKernel(element), rest, null, [groups])
    },
  }
}

/** Dispatches that do next to nothing, each waiting for the one before: what a dispatch costs by itself. */
export function dispatchCase(): KernelCase {
  return {
    kernel: 'dispatch',
    shape: 'one workgroup',
    rows: 0,
    macs: 0,
    bytes: 0,
    async prepare(bench) {
      const kernel = await bench.gpu.kernel(COPY)
      const buffers = {
        params: await bench.upload(copyParams(16)),
        source: bench.slice(256, 0),
        copied: await bench.zeros(16),
      }
      return turns([[{ kernel: kernel.bind(buffers), grid: [1] }]])
    },
  }
}
