/** Which kernels a device gets, and why: everything that lorikeet decides by what a device can do. */
import type { Gpu } from '../../gpu/gpu.ts'
import { shrinkSplits } from '../../model/forwardPlan.ts'
import { crewShape } from '../../model/kernels/crew.ts'
import { teamShape } from '../../model/kernels/team.ts'
import { defaultTuning, ROW_CLASSES } from '../../model/kernels/tuning.ts'

export interface Choice {
  readonly about: string
  readonly chosen: string
  readonly because: string
}

export function choicesFor(gpu: Gpu): readonly Choice[] {
  const { can } = gpu
  const team = teamShape(can)
  const crew = crewShape(can)
  const { subgroupMinSize: least, subgroupMaxSize: most } = can
  const sizes = least === most ? `${least}` : `${least} to ${most}`
  return [
    {
      about: 'sums within a kernel',
      chosen: can.subgroups
        ? `subgroups of ${sizes} lanes in workgroups of ${team.constants.WORKGROUP}`
        : `workgroups of ${team.constants.WORKGROUP} with barriers`,
      because: can.subgroups
        ? 'the device has subgroups: lanes add their registers, without barriers'
        : 'the device offers no subgroups',
    },
    {
      about: 'bits of a request in any batch',
      chosen: can.subgroups && least !== most ? 'may differ in the last place' : 'the same',
      because:
        can.subgroups && least !== most
          ? `the driver chooses between subgroups of ${sizes}, kernel by kernel; --batch-invariant leaves them unused`
          : 'every sum has one order, whatever shares the step',
    },
    {
      about: 'rows that a matmul takes at once',
      chosen: [...new Set(ROW_CLASSES.map((rows) => defaultTuning(can).matmul[rows].rows))].join(', '),
      because: can.software
        ? 'a software device has registers for four rows and spills with eight'
        : 'weights are read once for up to eight rows of a step',
    },
    {
      about: 'slices of a shrink over 4096 inputs',
      chosen: `${shrinkSplits(gpu, 4096)}`,
      because: can.software
        ? 'the few cores of a software device are busy without'
        : 'few outputs and a long sum: slices keep the device busy',
    },
    {
      about: 'looking through a row of logits',
      chosen: `${crew.workgroup} invocations`,
      because: can.software ? 'one core computes a workgroup anyway' : 'a step has few rows, and each is long',
    },
    {
      about: 'arithmetic',
      chosen: 'f32',
      because: `weights stay in the width of their file and are widened in registers${can.f16 ? '' : '; no shader-f16 is needed for it'}`,
    },
    {
      about: 'times of kernels',
      chosen: can.timestamps ? "the device's clock" : 'wall time',
      because: can.timestamps ? 'it has timestamp queries' : 'it offers no timestamp queries',
    },
  ]
}
