/** The device as reports state it. */
import type { Gpu } from '../gpu/gpu.ts'
import type { Facts } from './load/loadReport.ts'

export function deviceFacts({ can, implementation }: Gpu): Facts {
  const { subgroups, subgroupMinSize: least, subgroupMaxSize: most } = can
  return {
    adapter: can.adapter,
    through: implementation,
    software: can.software,
    subgroups: subgroups ? (least === most ? `${least}` : `${least} to ${most}`) : 'none',
    f16: can.f16,
    timestamps: can.timestamps,
  }
}
