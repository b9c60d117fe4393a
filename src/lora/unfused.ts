/**
 * LoRA on a matrix that holds several projections, as LoRA on each of them: they share A, and each has its rows of B. What
 * else such a module has (DoRA's magnitude and the norms it stands beside, the bias of B) is one number for each row, and
 * is cut like B.
 */
import { type ModelSpec, projectionShape } from '../model/spec.ts'
import { tensorRows } from '../weights/rowsSource.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import type { ModulePlan } from './modulePlan.ts'
import type { AdaptableModule, FusedModule, TargetModule } from './modules.ts'

/** The plan of a module that was checked, by the modules that are computed. */
export function unfused(spec: ModelSpec, plan: ModulePlan<TargetModule>): readonly ModulePlan[] {
  if (!isFused(plan)) return [plan as ModulePlan]
  const { module, lora, vectors = {}, ...rest } = plan
  const { path, layer, projections } = module
  let start = 0
  return projections.map((projection) => {
    const count = projectionShape(spec, projection).out
    const range = { start, count }
    start += count
    const rows = <Tensor extends TensorInfo | undefined>(tensor: Tensor) =>
      (tensor && tensorRows(tensor, [range])) as Tensor
    return {
      ...rest,
      module: { kind: 'projection', path, layer, projection } satisfies AdaptableModule,
      lora: lora && { a: lora.a, b: rows(lora.b) },
      vectors: { magnitude: rows(vectors.magnitude), bias: rows(vectors.bias), loraBias: rows(vectors.loraBias) },
    }
  })
}

function isFused(plan: ModulePlan<TargetModule>): plan is ModulePlan<FusedModule> {
  return plan.module.kind === 'fused'
}
