/**
 * Teams: the invocations that reduce together. Where the device has subgroups a team is a subgroup and needs no barrier;
 * elsewhere (Deno's and Firefox's naga) it is a workgroup. Kernels are written once against `//#include "team"`.
 */
import teamSubgroup from '../../../shaders/team_subgroup.wgsl' with { type: 'text' }
import teamWorkgroup from '../../../shaders/team_workgroup.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'

/** Fewest invocations of a workgroup: one wave of most GPUs. */
const LEAST_WORKGROUP = 32

export interface TeamShape {
  /** Text of the include "team". */
  readonly source: string
  /** Invocations per workgroup; constant WORKGROUP. */
  readonly workgroup: number
  /** Fewest lanes a team can have: bounds what each lane must hold. */
  readonly leastLanes: number
  /** Fewest teams in a workgroup: grids are made for it. */
  readonly teamsPerWorkgroup: number
}

export function teamShape(can: Capabilities): TeamShape {
  if (!can.subgroups) {
    return { source: teamWorkgroup, workgroup: LEAST_WORKGROUP, leastLanes: LEAST_WORKGROUP, teamsPerWorkgroup: 1 }
  }
  const workgroup = Math.max(LEAST_WORKGROUP, can.subgroupMaxSize)
  return {
    source: teamSubgroup,
    workgroup,
    leastLanes: can.subgroupMinSize,
    teamsPerWorkgroup: workgroup / can.subgroupMaxSize,
  }
}

/** Workgroups that hold `teams` teams. */
export function teamGrid(can: Capabilities, teams: number): number {
  return Math.ceil(teams / teamShape(can).teamsPerWorkgroup)
}
