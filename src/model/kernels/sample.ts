/** Host half of sample.wgsl: from rows of logits to tokens; src/model/sampler.ts puts it together with what stands around it. */
import source from '../../../shaders/sample.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { BindingSpec, Grid } from '../../gpu/kernel.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { type CrewShape, crewShape } from './crew.ts'
import { REGISTERS_INCLUDE, STEP_INCLUDE } from './includes.ts'
import { defaultTuning, type KernelTuning } from './tuning.ts'

/** Likeliest tokens a record has room for. */
export const MAX_TOP = 20
/** Of a row: token, status, log probability, rank, then the likeliest tokens with theirs. */
export const RECORD_WORDS: number = 4 + 2 * MAX_TOP

export const SAMPLE_BINDINGS: readonly BindingSpec[] = [
  { name: 'params', access: 'uniform' },
  { name: 'step', access: 'read' },
  { name: 'logits', access: 'read' }, //     [rows, vocab]
  { name: 'records', access: 'write' }, //   [rows, RECORD_WORDS]
  { name: 'counts', access: 'write' }, //    [slots, vocab]
  { name: 'registers', access: 'write' }, // tokens kept for the next step
]

export function sampleKernel(
  can: Capabilities,
  { loads }: KernelTuning['sample'] = defaultTuning(can).sample,
  crew: CrewShape = crewShape(can),
): KernelChoice {
  return {
    definition: { name: 'sample', source, bindings: SAMPLE_BINDINGS },
    specialisation: {
      constants: { WORKGROUP: crew.workgroup, UNROLL: loads },
      includes: { step: STEP_INCLUDE, registers: REGISTERS_INCLUDE, crew: crew.source },
    },
  }
}

/** @param adjustedFrom `logits` holds adjusted rows, and this is the first of them; null: the raw rows of the step */
export function sampleParams(vocab: number, adjustedFrom: number | null = null): Uint32Array<ArrayBuffer> {
  return paramWords(vocab, adjustedFrom === null ? 0 : 1, adjustedFrom ?? 0)
}

export function sampleGrid(crew: CrewShape, rows: number): Grid {
  return [Math.ceil(rows / crew.crewsPerWorkgroup)]
}
