/** The kernel bench on a small model: every case runs, the device's own kernels do what they say, and rates follow from times. */
import { describe, expect } from 'vitest'
import { attentionCase } from '../../src/bench/kernels/attentionCases.ts'
import { benchKernels } from '../../src/bench/kernels/benchKernels.ts'
import { COPY_KERNEL, copyParams, multiplyKernel, multiplyParams } from '../../src/bench/kernels/deviceCases.ts'
import { isWanted, modelCases } from '../../src/bench/kernels/kernelCases.ts'
import { figuresOf, ratesOf } from '../../src/bench/kernels/kernelReport.ts'
import { matmulCase } from '../../src/bench/kernels/layerCases.ts'
import { loraCase } from '../../src/bench/kernels/loraCases.ts'
import type { Measured } from '../../src/bench/kernels/measure.ts'
import { stepOf } from '../../src/bench/kernels/steps.ts'
import { Workbench } from '../../src/bench/kernels/workbench.ts'
import { REFERENCE_CONFIG } from '../../src/bench/referenceModel.ts'
import { kernelText } from '../../src/bench/report/kernelTable.ts'
import { readModelSpec } from '../../src/model/config.ts'
import { defaultTuning } from '../../src/model/kernels/tuning.ts'
import { it } from '../support/gpu.ts'

const SPEC = readModelSpec({
  ...REFERENCE_CONFIG,
  vocab_size: 512,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
})
const MIB = 2 ** 20

describe('the kernels of the device', () => {
  it('copy every vector, however few workgroups there are', async ({ bench }) => {
    const source = Uint32Array.from({ length: 4 * 1000 }, (_, i) => i * 2654435761)
    const copied = new Uint32Array(source.length + 4)
    const { copied: out } = await bench.run(COPY_KERNEL, { params: copyParams(source.byteLength), source, copied }, [3])
    const found = new Uint32Array((await bench.gpu.readback(out!)).buffer)
    expect(found.subarray(0, source.length)).toEqual(source)
    expect(found.subarray(source.length)).toEqual(new Uint32Array(4))
  })

  it('multiply and add as often as they are told', async ({ bench }) => {
    const numbers = Float32Array.of(0.5, 2, 1, 0, 1, 1, 3, 7)
    const run = async (turns: number) => {
      const buffers = { params: multiplyParams(turns), numbers, sums: new Float32Array(64 * 4) }
      const { sums } = await bench.run(multiplyKernel('f32'), buffers, [1])
      return [...(await bench.floats(sums!))].slice(-4)
    }
    const plain = (turns: number) =>
      [0, 1, 2, 3].map((lane) => {
        const [factor, addend] = [numbers[lane]!, numbers[4 + lane]!]
        let [one, other] = [factor, addend]
        for (let i = 0; i < turns; i++) [one, other] = [one * factor + addend, other * factor + addend]
        return one + other
      })
    expect(await run(0)).toEqual(plain(0))
    expect(await run(5)).toEqual(plain(5))
  })

  it('multiply halves where the device has them', async ({ bench }) => {
    if (!bench.gpu.can.f16) return
    // 1.5 and 0.25, in halves: 1.5 * 1.5 + 0.25 = 2.5, 0.25 * 1.5 + 0.25 = 0.625.
    const numbers = Uint32Array.of(0x3e003e00, 0x3e003e00, 0x34003400, 0x34003400)
    const buffers = { params: multiplyParams(1), numbers, sums: new Uint32Array(64 * 2) }
    const { sums } = await bench.run(multiplyKernel('f16'), buffers, [1])
    // 3.125
    expect(new Uint32Array((await bench.gpu.readback(sums!)).buffer)[127]).toBe(0x42404240)
  })
})

describe('the bench', () => {
  it('runs every case, and leaves nothing on the device', async ({ device }) => {
    const plan = { spec: SPEC, dtype: 'F16', modelName: 'small', wanted: [], rounds: 2, leastMs: 1 } as const
    let prepared = 0
    const report = await benchKernels(device, { ...plan, cpuMs: () => 1000 * prepared, onPrepare: () => prepared++ })
    expect(device.ledger.count).toBe(0)
    expect(device.profiler).toBeNull()
    expect(prepared).toBe(report.kernels.length + (device.can.f16 ? 4 : 3))
    const kernels = new Set(report.kernels.map(({ kernel }) => kernel))
    expect([...kernels]).toEqual([
      ...['matmul', 'attention decode', 'attention prefill', 'lora_shrink', 'lora_expand'],
      ...['sample', 'embed', 'add_norm', 'rope_kv', 'silu_mul'],
    ])
    for (const { us, wallUs, gbs, bytes, cpuUs } of report.kernels) {
      expect(us.best).toBeGreaterThan(0)
      expect(us.median).toBeGreaterThanOrEqual(us.best)
      expect(wallUs.best).toBeGreaterThan(0)
      expect(gbs!.best).toBeCloseTo(bytes / us.best / 1000, 6)
      expect(cpuUs).not.toBeNull()
    }
    expect(report.rates.copyGBs).toBeGreaterThan(0)
    expect(report.rates.multiplyGFLOPs).toBeGreaterThan(0)
    expect(report.rates.dispatchUs).toBeGreaterThan(0)
    expect(report.clock).toBe(device.can.timestamps ? 'device' : 'wall')
    const text = kernelText({ ...report, createdAt: '', command: '', host: {} })
    expect(text).toMatch(/matmul +attn_in 64 x 128 F16 +1 /)
    expect(text.includes('software device')).toBe(device.can.software)
  })

  it('measures what somebody asks for alone', async ({ device }) => {
    const all = modelCases(device, SPEC, 'F16', 64 * MIB)
    const shapes = all
      .filter((test) => isWanted(test, ['mlp_out', 'rank 8']))
      .map(({ kernel, shape }) => `${kernel} ${shape}`)
    expect(shapes).toHaveLength(7 + 10)
    expect(shapes.every((name) => /mlp_out|rank 8/.test(name))).toBe(true)
    expect(all.filter((test) => isWanted(test, []))).toHaveLength(all.length)
  })
})

describe('a case', () => {
  it('counts multiply-adds and the bytes of every operand once', async ({ device }) => {
    expect(matmulCase({ name: 'x', in: 64, out: 32 }, 'F16', 4, MIB)).toMatchObject({
      macs: 4 * 64 * 32,
      bytes: 64 * 32 * 2 + 4 * (64 + 32) * 4,
    })
    // Half of the matrix can be bound.
    expect(matmulCase({ name: 'x', in: 64, out: 32 }, 'F32', 1, 64 * 16 * 4)).toMatchObject({ macs: 64 * 16 })
    const { splits } = defaultTuning(device.can)
    // Two rows of 100 tokens each; 4 heads of 16, keys and values of 2.
    expect(attentionCase(SPEC, 'decode', 2, 100, MIB, splits)).toMatchObject({
      macs: 2 * 200 * 64,
      bytes: (2 * 200 * 32 + 2 * 2 * 64) * 4,
    })
    // The last two tokens of 100: one sees 99, the other 100, and both the same keys.
    expect(attentionCase(SPEC, 'prefill', 2, 100, MIB, splits)).toMatchObject({
      macs: 2 * 199 * 64,
      bytes: (2 * 100 * 32 + 2 * 2 * 64) * 4,
    })
    expect(attentionCase(SPEC, 'decode', 64, 4096, MIB, splits)).toBeNull()
    const inputs = 3 * 64 + 64 + 2 * 64 + 96
    const outs = 64 + 32 + 32 + 64 + (96 + 96) + 64
    const load = { rank: 8, adapters: 3, perAdapter: 2 }
    expect(loraCase(device, SPEC, 'shrink', load, MIB)).toMatchObject({ macs: 6 * 8 * inputs, rows: 6 })
    expect(loraCase(device, SPEC, 'expand', load, MIB)).toMatchObject({ macs: 6 * 8 * outs })
    expect(loraCase(device, SPEC, 'expand', load, 1000)).toBeNull()
  })

  it('stands in a step as the runner makes them', () => {
    const { words, tiles } = stepOf({ rows: 12, perSlot: 6 })
    expect(tiles).toBe(2)
    expect([...words.slice(0, 3)]).toEqual([12, 2, 0])
    const decode = stepOf({ rows: 3, context: 40 })
    expect(decode.cacheSlots).toBe(3 * 48)
    const positions = (step: typeof decode) => [0, 1, 2].map((row) => step.words[16 + row * 4 + 1])
    expect(positions(decode)).toEqual([39, 39, 39])
    expect(positions(stepOf({ rows: 3, context: 40, kind: 'prefill' }))).toEqual([37, 38, 39])
  })

  it('reads other weights in the next turn, until the pool has no more', async ({ device }) => {
    const bench = await Workbench.open(device)
    const slices = Array.from({ length: 4 }, (_, i) => bench.slice(1000, i).offset)
    expect(slices).toEqual([0, 1024, 2048, 3072])
    expect(bench.numSlices(bench.poolBytes / 2 - 100)).toBe(2)
    expect(bench.slice(bench.poolBytes / 2 - 100, 2).offset).toBe(0)
    bench.close()
    expect(device.ledger.count).toBe(0)
  })
})

describe('rates', () => {
  const measured = (kernel: string, macs: number, bytes: number, changes: Partial<Measured> = {}): Measured => ({
    test: { kernel, shape: '', rows: 1, macs, bytes, prepare: () => Promise.reject(new Error('not run')) },
    firstMs: 1,
    repeats: 1,
    wallMs: [4, 2, 6],
    deviceMs: [],
    cpuMs: [],
    ...changes,
  })
  const rates = ratesOf([
    measured('copy', 0, 2e6),
    measured('multiply f32', 1e6, 0, { deviceMs: [1, 3] }),
    measured('dispatch', 0, 0, { wallMs: [0.01] }),
  ])

  it('are those of the best round, by the clock of the device where it has one', () => {
    expect(rates).toEqual({ copyGBs: 1, multiplyGFLOPs: 2, multiplyF16GFLOPs: null, dispatchUs: 10 })
  })

  it('of kernels are held against them', () => {
    const figures = figuresOf(measured('matmul', 1e6, 1e6, { cpuMs: [8, 4, 5] }), rates)
    expect(figures).toMatchObject({
      us: { best: 2000, median: 4000 },
      gbs: { best: 0.5, median: 0.25 },
      gflops: { best: 1, median: 0.5 },
      ofCopy: 0.5,
      ofMultiply: 0.5,
      cpuUs: { best: 4000, median: 5000 },
    })
    expect(figuresOf(measured('norm', 0, 0), rates)).toMatchObject({
      gbs: null,
      gflops: null,
      ofCopy: null,
      cpuUs: null,
    })
  })
})
