/**
 * Teams: the invocations that reduce together. Where the device has subgroups a team is a subgroup and needs no barrier;
 * elsewhere (Deno's and Firefox's naga) it is a part of a workgroup. Kernels are written once against `//#include "team"`.
 */
import teamSubgroup from '../../../shaders/team_subgroup.wgsl' with { type: 'text' }
import teamWorkgroup from '../../../shaders/team_workgroup.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'

/** Fewest invocations of a workgroup: one wave of most GPUs. On software devices nothing is gained by it. */
const LEAST_WORKGROUP = 32
/** Most invocations of one, on every device. */
const MOST_WORKGROUP = 256

export interface TeamShape {
  /** Text of the include "team". */
  readonly source: string
  /** Constants of the include: WORKGROUP invocations, ONE_TEAM when a workgroup is surely one team. */
  readonly constants: { readonly WORKGROUP: number; readonly ONE_TEAM: boolean }
  /** Fewest lanes a team can have: bounds what each lane must hold. */
  readonly leastLanes: number
  /** Fewest teams in a workgroup: grids are made for it. */
  readonly teamsPerWorkgroup: number
}

/**
 * @param teams so many times the least workgroup, as far as devices allow: no sum depends on it. Without subgroups only for
 *   kernels whose teams never leave before others (team_workgroup.wgsl).
 */
export function teamShape(can: Capabilities, teams = 1): TeamShape {
  const { subgroups, subgroupMinSize: least, subgroupMaxSize: most } = can
  const smallest = !subgroups ? LEAST_WORKGROUP : can.software ? most : Math.max(LEAST_WORKGROUP, most)
  const workgroup = smallest * Math.min(teams, MOST_WORKGROUP / smallest)
  if (!subgroups) {
    return {
      source: teamWorkgroup,
      constants: { WORKGROUP: workgroup, ONE_TEAM: workgroup === LEAST_WORKGROUP },
      leastLanes: LEAST_WORKGROUP,
      teamsPerWorkgroup: workgroup / LEAST_WORKGROUP,
    }
  }
  return {
    source: teamSubgroup,
    constants: { WORKGROUP: workgroup, ONE_TEAM: least === workgroup },
    leastLanes: least,
    teamsPerWorkgroup: workgroup / most,
  }
}

/** Workgroups that hold `count` teams. @param teams as for teamShape */
export function teamGrid(can: Capabilities, count: number, teams = 1): number {
  return Math.ceil(count / teamShape(can, teams).teamsPerWorkgroup)
}
