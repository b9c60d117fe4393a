/** The doctor: a device that computes right is found right, one that does not is found out, and every finding says what to do. */
import { describe, expect, it } from 'vitest'
import { choicesFor } from '../../src/bench/doctor/choices.ts'
import { type Attempt, type DriverFacts, diagnose } from '../../src/bench/doctor/diagnosis.ts'
import type { DoctorReport } from '../../src/bench/doctor/doctorReport.ts'
import { type Examination, examine } from '../../src/bench/doctor/examination.ts'
import { tryModel } from '../../src/bench/doctor/modelTrial.ts'
import { attendPlainly, multiplyPlainly, packed } from '../../src/bench/doctor/plain.ts'
import { selfTests } from '../../src/bench/doctor/selfTest.ts'
import { measureTransfers, tryMemory } from '../../src/bench/doctor/transfers.ts'
import { Workbench } from '../../src/bench/kernels/workbench.ts'
import { doctorText } from '../../src/bench/report/doctorText.ts'
import { Faults } from '../../src/gpu/faults.ts'
import { openGpu } from '../../src/gpu/open.node.ts'
import { reference } from '../fixtures.ts'
import { TEAM_DEVICES } from '../support/gpu.ts'

describe.each(TEAM_DEVICES)('the self-test $name', ({ it }) => {
  it('finds the device right', async ({ device }) => {
    const bench = await Workbench.open(device)
    const results = await selfTests(bench)
    bench.close()
    expect(results.filter(({ isRight }) => !isRight)).toEqual([])
    expect(results).toHaveLength(9)
    // Sums of eighths are exact in any order.
    expect(results.filter(({ detail }) => detail === 'exact').map(({ name }) => name)).toEqual(
      expect.arrayContaining(['matmul, weights in F16', 'LoRA of two ranks beside the base', 'greedy sampling']),
    )
    expect(device.ledger.count).toBe(0)
  })

  it('finds out a device that gets one number wrong', async ({ device }) => {
    const { readback } = device
    const bench = await Workbench.open(device)
    device.readback = async (...args) => {
      const bytes = await readback.apply(device, args)
      // The first element: a sum, an attended value, or the token that was drawn.
      bytes[2]! ^= 0x10
      return bytes
    }
    const results = await selfTests(bench)
    device.readback = readback
    bench.close()
    expect(results.map(({ isRight }) => isRight)).toEqual(results.map(() => false))
    expect(results[0]!.detail).toMatch(/^off by/)
  })

  it('goes on where a kernel does not compile', async ({ device }) => {
    const { kernel } = device
    const bench = await Workbench.open(device)
    device.kernel = (definition, wanted) =>
      definition.name === 'lora_expand'
        ? Promise.reject(new Error('lora_expand.wgsl did not compile'))
        : kernel.call(device, definition, wanted)
    const results = await selfTests(bench)
    device.kernel = kernel
    bench.close()
    expect(results.filter(({ isRight }) => !isRight)).toEqual([
      { name: 'LoRA of two ranks beside the base', isRight: false, detail: 'lora_expand.wgsl did not compile' },
    ])
  })

  it('says which kernels it takes', ({ device }) => {
    const choices = choicesFor(device)
    expect(choices[0]!.chosen).toContain(device.can.subgroups ? 'subgroups' : 'barriers')
    expect(new Set(choices.map(({ about }) => about)).size).toBe(choices.length)
  })
})

describe('the plain sums', () => {
  it('are what they should be', () => {
    expect([...multiplyPlainly([1, 2, 3, 4], [1, 0, 1, 1], 2)]).toEqual([1, 3, 3, 7])
    // Equal keys: the mean of the values, here of a sequence whose second block comes first.
    const cache = Float32Array.from({ length: 32 * 4 }, (_, i) => Math.floor(i / 4))
    const mean = attendPlainly({
      ...{ heads: 1, kvHeads: 1, headDim: 4, context: 18, blocks: [1, 0] },
      ...{ q: [0, 0, 0, 0], keys: cache, values: cache },
    })
    // Slots 16..31, then 0 and 1.
    expect(mean[0]).toBeCloseTo((16 * 23.5 + 0 + 1) / 18, 12)
  })

  it('are packed as the kernels read them', () => {
    const values = Float32Array.of(1, -2, 0.125)
    expect([...packed(values, 'F16')]).toEqual([0xc0003c00, 0x3000])
    expect([...packed(values, 'BF16')]).toEqual([0xc0003f80, 0x3e00])
    expect([...packed(values, 'F32')]).toEqual([0x3f800000, 0xc0000000, 0x3e000000])
  })
})

describe('an examination', () => {
  const it = TEAM_DEVICES[0]!.it

  it('goes through all phases and leaves nothing behind', async ({ device }) => {
    const phases: string[] = []
    const found = await examine(device, (phase) => phases.push(phase))
    expect(phases).toEqual(['numeric self-test', 'memory', 'uploads and readbacks', 'rates of the device'])
    expect(found.failure).toBeNull()
    expect(found.selfTests.every(({ isRight }) => isRight)).toBe(true)
    expect(found.memory).toEqual({ wantedBytes: 2 ** 30, allocatedBytes: 2 ** 30, problem: null })
    expect(found.rates!.multiplyGFLOPs).toBeGreaterThan(0)
    expect(found.limits.maxBufferSize).toBe(device.can.maxBufferBytes)
    expect(device.ledger.count).toBe(0)
  })

  it('says in which phase the device was lost', async () => {
    const gpu = await openGpu()
    const found = await examine(gpu, (phase) => {
      if (phase === 'memory') gpu.device.destroy()
    })
    expect(found.failure).toMatchObject({ phase: 'memory' })
    expect(found.selfTests).toHaveLength(9)
    gpu.close()
  })
})

describe('what lies between', () => {
  it('is timed', async () => {
    const gpu = await openGpu()
    const { uploadGBs, readbackMs } = await measureTransfers(gpu)
    expect(uploadGBs).toBeGreaterThan(0)
    expect(readbackMs.median).toBeGreaterThanOrEqual(readbackMs.best)
    expect(gpu.ledger.count).toBe(0)
    gpu.close()
  })

  it('and memory that ends is counted to where it ends', async () => {
    const faults = new Faults()
    const gpu = await openGpu({ faults })
    faults.failAllocation(3)
    const { allocatedBytes, problem } = await tryMemory(gpu)
    expect(allocatedBytes).toBe(2 * Math.min(128 * 2 ** 20, gpu.can.maxBindingBytes))
    expect(problem).toMatch(/no room/)
    expect(gpu.ledger.count).toBe(0)
    gpu.close()
  })
})

describe('the trial of a model', () => {
  it('says how it runs, or why it does not', async () => {
    const model = reference('models/llama-tiny')
    const sizes = { kvCacheMemory: 2 ** 20, loraMemory: 2 ** 20 }
    expect(await tryModel('tiny', { model, sizes })).toMatchObject({
      name: 'tiny',
      problem: null,
      facts: { shape: /3 layers/, numbers: 'activations-float32-kv-float32' },
      halves: { decode: expect.any(Number), prefill: expect.any(Number) },
      kernels: expect.arrayContaining([{ kernel: 'shrink', chosen: '8 columns', because: 'by default' }]),
      tuning: {},
    })
    expect(await tryModel('none', { model: `${model}-none` })).toMatchObject({ facts: null, problem: /does not exist/ })
  })
})

describe('a diagnosis', () => {
  const WELL: Examination = {
    device: { adapter: 'a GPU', subgroups: '32', timestamps: true },
    isSoftware: false,
    features: [],
    limits: {},
    choices: [{ about: 'sums', chosen: 'x', because: 'y' }],
    selfTests: [{ name: 'matmul', isRight: true, detail: 'exact' }],
    memory: { wantedBytes: 2 ** 30, allocatedBytes: 2 ** 30, problem: null },
    transfers: { uploadGBs: 5, readbackMs: { best: 0.1, median: 0.2 } },
    rates: { copyGBs: 400, multiplyGFLOPs: 9000, multiplyF16GFLOPs: null, dispatchUs: 3 },
    failure: null,
  }
  const DRIVERS: DriverFacts = {
    gpuFiles: [{ path: '/dev/dri/renderD128', isOpen: true }],
    pinned: null,
    cacheOff: null,
  }
  const attempt = (changes: Partial<Examination> = {}): Attempt => ({
    kind: 'examined',
    examination: { ...WELL, ...changes },
    model: null,
  })
  const severities = (found: Attempt, drivers: DriverFacts | null = DRIVERS) =>
    diagnose(found, drivers).map(({ severity, what }) => `${severity}: ${what}`)

  it('of a machine that is well is empty', () => {
    expect(diagnose(attempt(), DRIVERS)).toEqual([])
    expect(diagnose(attempt(), null)).toEqual([])
  })

  const tried = (decode: number, prefill: number): Attempt => ({
    kind: 'examined',
    examination: WELL,
    model: { name: 'm', facts: {}, halves: { decode, prefill }, kernels: [], tuning: {}, problem: null },
  })

  it('recommends halves where they are clearly faster, and nowhere slower', () => {
    expect(diagnose(tried(1, 1), null)).toEqual([])
    expect(diagnose(tried(0.97, 0.96), null)).toEqual([])
    expect(diagnose(tried(1.05, 0.8), null)).toEqual([])
    expect(severities(tried(1, 0.87))).toEqual([
      'note: With --activation-dtype float16 the matrices of m take 1.00 of the time when it decodes, 0.87 when it reads.',
    ])
  })

  it.each<[string, Attempt, RegExp]>([
    ['no device', { kind: 'no device', message: 'Install a driver.' }, /^problem: There is no WebGPU device/],
    [
      'a crash',
      { kind: 'crashed', phase: 'memory', message: 'SIGSEGV' },
      /^problem: The process died during: memory \(SIGSEGV\)/,
    ],
    ['an early crash', { kind: 'crashed', phase: null, message: 'x' }, /^problem: The process died while it opened/],
    [
      'a failure',
      attempt({ failure: { phase: 'memory', message: 'gone' } }),
      /^problem: The device failed during: memory. gone/,
    ],
    [
      'wrong numbers',
      attempt({ selfTests: [...WELL.selfTests, { name: 'LoRA', isRight: false, detail: 'off by 2' }] }),
      /^problem: Wrong numbers: LoRA \(off by 2\)\./,
    ],
    [
      'a model that does not run',
      { kind: 'examined', examination: WELL, model: { name: 'm', facts: null, problem: 'no config.json' } },
      /^problem: The model m does not run: no config.json/,
    ],
    [
      'little memory',
      attempt({ memory: { wantedBytes: 2 ** 30, allocatedBytes: 2 ** 28, problem: 'no room' } }),
      /^warning: Only 256 MiB of 1024 MiB/,
    ],
    ['a software device', attempt({ isSoftware: true }), /^warning: A CPU computes/],
    [
      'no subgroups',
      attempt({ device: { ...WELL.device, subgroups: 'none' } }),
      /^warning: The device offers no subgroups/,
    ],
    ['no clock', attempt({ device: { ...WELL.device, timestamps: false } }), /^note: .* timestamp/],
    [
      'late results',
      attempt({ transfers: { uploadGBs: 5, readbackMs: { best: 1, median: 40 } } }),
      /^warning: Results come back 40.0 ms late/,
    ],
    [
      'slow uploads',
      attempt({ transfers: { uploadGBs: 0.1, readbackMs: { best: 0, median: 0 } } }),
      /^warning: Uploads reach 0.10 GB/,
    ],
    ['a sleepy GPU', attempt({ rates: { ...WELL.rates!, copyGBs: 4 } }), /^warning: The device copies 4.0 GB/],
  ])('names %s, and what to do', (_what, found, expected) => {
    const findings = diagnose(found, null)
    expect(severities(found, null)).toEqual([expect.stringMatching(expected)])
    expect(findings[0]!.advice.length).toBeGreaterThan(10)
  })

  it('names drivers only where they would help', () => {
    const closed: DriverFacts = { ...DRIVERS, gpuFiles: [{ path: '/dev/dri/renderD128', isOpen: false }] }
    const none: Attempt = { kind: 'no device', message: 'none' }
    expect(severities(none, closed)[1]).toMatch(/may not open \/dev\/dri\/renderD128/)
    expect(severities(none, DRIVERS)[1]).toMatch(/no driver that WebGPU takes/)
    expect(severities(attempt(), closed)).toEqual([])
    const pin = { variable: 'VK_DRIVER_FILES', value: '/x.json', exists: false }
    expect(severities(attempt(), { ...DRIVERS, pinned: pin })[0]).toMatch(/^problem: VK_DRIVER_FILES names \/x.json/)
    expect(severities(attempt(), { ...DRIVERS, pinned: { ...pin, exists: true } })[0]).toMatch(/^note: /)
    expect(severities(attempt(), { ...DRIVERS, cacheOff: 'MESA_SHADER_CACHE_DISABLE' })[0]).toMatch(/^warning: MESA/)
  })

  it('is written out, with a last line that decides', () => {
    const report = (found: Attempt): DoctorReport => {
      const findings = diagnose(found, DRIVERS)
      return {
        kind: 'lorikeet doctor',
        schema: 1,
        createdAt: '',
        host: { lorikeet: '0.1.0', 'webgpu package': null },
        attempt: found,
        caches: [{ what: 'shaders', path: '/c', bytes: 5 * 2 ** 20 }],
        findings,
        canRun: findings.every(({ severity }) => severity !== 'problem'),
      }
    }
    const well = doctorText(report(attempt()))
    expect(well).toMatch(/right {2}matmul: exact/)
    expect(well).toMatch(
      /none: everything is as it should be\n\nTo share\n.*bench kernels.*\n\nlorikeet can run here\.\n$/s,
    )
    const model = { name: 'm', facts: {}, halves: { decode: 1, prefill: 1 }, tuning: {}, problem: null } as const
    const kernels = [{ kernel: 'shrink', chosen: '4 columns', because: '4 columns 10 us; 8 columns 12 us' }]
    const tuned = doctorText(report({ ...attempt(), model: { ...model, kernels } } as Attempt))
    expect(tuned).toMatch(/Kernels of the model\n.*shrink {2}4 columns {2}4 columns 10 us; 8 columns 12 us\n/s)
    const ill = doctorText(report({ kind: 'no device', message: 'Install a driver.' }))
    expect(ill).toMatch(/PROBLEM {2}There is no WebGPU device\.\n {11}Install a driver\./)
    expect(ill).toMatch(/lorikeet cannot run here: see the problems above\.\n$/)
  })
})
