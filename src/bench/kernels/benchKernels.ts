/** Measures the kernels of a model on a device: what `lorikeet bench kernels` does on any host. */
import type { Gpu } from '../../gpu/gpu.ts'
import type { ModelSpec } from '../../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../../weights/dtype.ts'
import { deviceFacts } from '../device.ts'
import type { KernelCase } from './kernelCase.ts'
import { deviceCases, isWanted, modelCases } from './kernelCases.ts'
import { figuresOf, KERNEL_SCHEMA, type KernelReport, ratesOf } from './kernelReport.ts'
import { matrixShapes } from './layerCases.ts'
import { type MeasureOptions, measure } from './measure.ts'
import { Workbench } from './workbench.ts'

export interface KernelBenchPlan extends MeasureOptions {
  readonly spec: ModelSpec
  readonly dtype: FloatDtype
  readonly modelName: string
  /** Parts of names of kernels and shapes; without any, all. */
  readonly wanted: readonly string[]
}

export async function benchKernels(
  gpu: Gpu,
  plan: KernelBenchPlan,
): Promise<Omit<KernelReport, 'createdAt' | 'command' | 'host'>> {
  const { spec, dtype, modelName, wanted, rounds } = plan
  const largest = Math.max(...matrixShapes(spec).map(({ in: inputs, out }) => inputs * out * FLOAT_BYTES[dtype]))
  const bench = await Workbench.open(gpu, largest)
  try {
    const ofModel = modelCases(gpu, spec, dtype, bench.poolBytes).filter((test) => isWanted(test, wanted))
    const ofDevice: readonly KernelCase[] = deviceCases(gpu, bench.poolBytes)
    const measured = await measure(bench, [...ofDevice, ...ofModel], plan)
    const rates = ratesOf(measured)
    return {
      kind: 'lorikeet bench kernels',
      schema: KERNEL_SCHEMA,
      device: deviceFacts(gpu),
      isSoftware: gpu.can.software,
      model: {
        model: modelName,
        layers: spec.numLayers,
        hidden: spec.hiddenSize,
        vocabulary: spec.vocabSize,
        weights: dtype,
      },
      rounds,
      clock: measured.some(({ deviceMs }) => deviceMs.length > 0) ? 'device' : 'wall',
      rates,
      kernels: measured.slice(ofDevice.length).map((one) => figuresOf(one, rates)),
    }
  } finally {
    bench.close()
  }
}
