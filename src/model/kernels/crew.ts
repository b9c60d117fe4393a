/**
 * Crews: the invocations that look through one row of logits together. A row is long and a step has few of them, so on a
 * GPU a crew is a whole workgroup, as large as WebGPU allows everywhere. A software device computes a workgroup on one
 * core anyway and pays for barriers: there a crew is a subgroup, or the smallest workgroup worth having.
 */
import crewSubgroup from '../../../shaders/crew_subgroup.wgsl' with { type: 'text' }
import crewWorkgroup from '../../../shaders/crew_workgroup.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'

const GPU_WORKGROUP = 256
const SOFTWARE_WORKGROUP = 32

export interface CrewShape {
  /** Text of the include "crew". */
  readonly source: string
  /** Invocations per workgroup; constant WORKGROUP. */
  readonly workgroup: number
  /** Fewest crews in a workgroup: grids are made for it. */
  readonly crewsPerWorkgroup: number
}

/** A workgroup of `workgroup` lanes, a power of two up to 256. */
export function workgroupCrew(workgroup: number): CrewShape {
  return { source: crewWorkgroup, workgroup, crewsPerWorkgroup: 1 }
}

/** The shape that is fastest on a device. */
export function crewShape(can: Capabilities): CrewShape {
  if (!can.software) return workgroupCrew(GPU_WORKGROUP)
  if (!can.subgroups) return workgroupCrew(SOFTWARE_WORKGROUP)
  return { source: crewSubgroup, workgroup: can.subgroupMaxSize, crewsPerWorkgroup: 1 }
}
