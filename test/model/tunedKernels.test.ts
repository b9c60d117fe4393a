import { describe, expect } from 'vitest'
import { sourceOf } from '../../src/gpu/kernel.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../../src/model/kernels/matmul.ts'
import { defaultTuning, type KernelTuning } from '../../src/model/kernels/tuning.ts'
import { TunedKernels } from '../../src/model/tunedKernels.ts'
import { it } from '../support/gpu.ts'
import { Random } from '../support/random.ts'
import { stepWordsOf } from '../support/steps.ts'

describe('TunedKernels', () => {
  it('exchange the pipelines of what is bound, together with the tuning', async ({ bench }) => {
    const { gpu } = bench
    const tuned = new TunedKernels(gpu)
    const choose = ({ matmul }: KernelTuning) => matmulKernel(gpu.can, 'F32', matmul[1])
    const [kernel, again] = await Promise.all([tuned.get('matmul', choose), tuned.get('matmul', choose)])
    expect(again).toBe(kernel)
    const random = new Random(3)
    const [inputs, out] = [68, 21]
    const y = await bench.upload('y', new Float32Array(out))
    const bound = kernel.bind({
      params: await bench.upload('params', matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' })),
      step: await bench.upload('step', stepWordsOf({ rows: [{}] })),
      w: await bench.upload('w', random.floats(out * inputs)),
      x: await bench.upload('x', random.floats(inputs)),
      y,
    })
    const run = async () => {
      gpu.write(y, 0, new Float32Array(out).fill(Number.NaN))
      const recorder = gpu.recorder()
      recorder.dispatch(bound, matmulGrid(gpu.can, tuned.tuning.matmul[1], out, 1))
      recorder.submit()
      return bench.floats(y)
    }
    const before = await run()
    expect(before.every(Number.isFinite)).toBe(true)

    const old = bound.pipeline
    const start = gpu.counters.snapshot()
    const next = { ...tuned.tuning, matmul: { ...tuned.tuning.matmul, 1: { rows: 1, outputs: 2 } } }
    const adopted = tuned.adopt(next)
    expect(bound.pipeline).toBe(old) // steps go on with it meanwhile
    await adopted
    expect(tuned.tuning).toBe(next)
    expect(bound.pipeline).not.toBe(old)
    expect(gpu.counters.since(start).pipelinesCompiled).toBe(1)
    expect(await run()).toEqual(before)
  })

  it('keep what they have where a pipeline cannot be made', async ({ bench }) => {
    const tuned = new TunedKernels(bench.gpu)
    const { definition, specialisation } = matmulKernel(bench.gpu.can, 'F32', { rows: 1, outputs: 2 })
    const broken = { definition: { ...definition, source: `${await sourceOf(definition)}\nnonsense` }, specialisation }
    const good = { definition, specialisation }
    const { tuning } = tuned
    const kernel = await tuned.get('matmul', (wanted) => (wanted === tuning ? good : broken))
    const { pipeline } = kernel
    await expect(tuned.adopt(defaultTuning(bench.gpu.can))).rejects.toThrow('did not compile')
    expect(tuned.tuning).toBe(tuning)
    expect(kernel.pipeline).toBe(pipeline)
  })
})
