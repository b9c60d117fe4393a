import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GpuLimitError } from '../../src/gpu/errors.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { KernelDefinition } from '../../src/gpu/kernel.ts'
import { openGpu } from '../support/host.ts'

const scale: KernelDefinition = {
  name: 'scale',
  source: `// scale: y = x * FACTOR
const FACTOR = 1u;
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&x)) { y[id.x] = x[id.x] * FACTOR; }
}`,
  bindings: [
    { name: 'x', access: 'read' },
    { name: 'y', access: 'write' },
  ],
}

describe('Gpu', () => {
  let gpu: Gpu
  beforeEach(async () => {
    gpu = await openGpu()
  })
  afterEach(() => {
    gpu.close()
    expect(gpu.ledger.bytes).toBe(0)
  })

  const pair = () =>
    gpu.allocateAll([
      { label: 'x', purpose: 'activations', byteLength: 64 },
      { label: 'y', purpose: 'activations', byteLength: 64 },
    ])

  it('runs a specialised kernel in one pass and one submit, and counts it', async () => {
    const [x, y] = await pair()
    await gpu.upload(x!, 0, new Uint8Array(Uint32Array.from({ length: 16 }, (_, i) => i).buffer))
    const triple = (await gpu.kernel(scale, { constants: { FACTOR: 3 } })).bind({ x: x!, y: y! })
    const before = gpu.counters.snapshot()
    const recorder = gpu.recorder()
    recorder.dispatch(triple, [4])
    recorder.dispatch(triple, [4])
    recorder.dispatch(triple, [0])
    recorder.submit()
    expect(gpu.counters.since(before)).toMatchObject({ dispatches: 2, passes: 1, submits: 1 })
    expect(new Uint32Array((await gpu.readback(y!)).buffer)).toEqual(Uint32Array.from({ length: 16 }, (_, i) => i * 3))
  })

  it('compiles a kernel once per specialisation', async () => {
    const before = gpu.counters.pipelinesCompiled
    const [one, same, other] = await Promise.all(
      [2, 2, 5].map((FACTOR) => gpu.kernel(scale, { constants: { FACTOR } })),
    )
    expect(one).toBe(same)
    expect(other).not.toBe(one)
    expect(gpu.counters.pipelinesCompiled - before).toBe(2)
  })

  it('names the line of a shader that does not compile', async () => {
    const broken = { ...scale, name: 'broken', source: '// broken\nfn main( {}' }
    await expect(gpu.kernel(broken)).rejects.toThrow(/broken\.wgsl did not compile: error \d+:\d+/)
    await expect(gpu.kernel(broken)).rejects.toThrow(/did not compile/)
  })

  it('keeps books by purpose, with peaks', async () => {
    const [x, y] = await pair()
    x!.destroy()
    x!.destroy()
    expect(gpu.ledger.byPurpose().get('activations')).toEqual({ bytes: 64, peakBytes: 128, count: 1 })
    expect(gpu.ledger.describe()).toBe('y (64)')
    y!.destroy()
    expect(gpu.ledger.count).toBe(0)
  })

  it('refuses what exceeds a limit by name, leaving nothing behind', async () => {
    const byteLength = gpu.can.maxBindingBytes + 4
    const huge = gpu.allocateAll([
      { label: 'small', purpose: 'kv', byteLength: 16 },
      { label: 'huge', purpose: 'kv', byteLength },
    ])
    await expect(huge).rejects.toThrow(GpuLimitError)
    await expect(huge).rejects.toThrow(`"huge" needs ${byteLength} bytes`)
    expect(gpu.ledger.count).toBe(0)
  })

  it('uploads any length, padding the tail with zeros', async () => {
    const [x] = await pair()
    await gpu.upload(x!, 8, Uint8Array.of(1, 2, 3, 4, 5, 6))
    expect([...(await gpu.readback(x!, 8, 8))]).toEqual([1, 2, 3, 4, 5, 6, 0, 0])
  })

  it('brings several results back at once through the ring, and refuses one too many', async () => {
    const [x] = await pair()
    const ring = await gpu.readbackRing(2, 16, [])
    const start = (value: number) => {
      gpu.write(x!, 0, Uint32Array.of(value, 0, 0, 0))
      const recorder = gpu.recorder()
      const pending = ring.record(recorder, x!, 16)
      recorder.submit()
      return pending
    }
    const [one, two] = [start(1), start(2)]
    expect(ring.available).toBe(0)
    expect(() => start(3)).toThrow(/ring is full/)
    expect((await two.read())[0]).toBe(2)
    expect((await one.read())[0]).toBe(1)
    expect(ring.available).toBe(2)
  })

  it('times kernels by label in a pass of their own when profiling', async () => {
    const [x, y] = await pair()
    const profiler = gpu.profile('kernels')!
    const kernel = (await gpu.kernel(scale)).bind({ x: x!, y: y! }, 'scale once')
    const before = gpu.counters.snapshot()
    const recorder = gpu.recorder({ timed: true })
    recorder.dispatch(kernel, [4])
    recorder.dispatch(kernel, [4])
    recorder.submit()
    await profiler.collect()
    expect(gpu.counters.since(before).passes).toBe(2)
    expect(profiler.times()).toEqual([{ label: 'scale once', calls: 2, milliseconds: expect.any(Number) }])
    gpu.profile(null)
  })

  it('times whole steps, several in flight, and leaves other submits alone', async () => {
    const [x, y] = await pair()
    const kernel = (await gpu.kernel(scale)).bind({ x: x!, y: y! })
    const profiler = gpu.profile('steps')!
    const submit = (timed: boolean) => {
      const recorder = gpu.recorder({ timed })
      recorder.dispatch(kernel, [4])
      recorder.dispatch(kernel, [4])
      recorder.submit()
    }
    const before = gpu.counters.snapshot()
    for (const timed of [true, false, true]) submit(timed)
    expect(gpu.counters.since(before).passes).toBe(3)
    const spans = [await profiler.collect(), await profiler.collect()]
    expect(spans[0]!.begin).toBeLessThanOrEqual(spans[0]!.end)
    expect(spans[0]!.end).toBeLessThanOrEqual(spans[1]!.begin)
    expect(await profiler.collect()).toBeNull()
    gpu.profile(null)
    submit(true)
    expect(gpu.profiler).toBeNull()
  })

  it('fails the next use after a validation error that nobody caught', async () => {
    const [x] = await pair()
    gpu.device.queue.writeBuffer(x!.buffer, 60, new Uint32Array(4))
    await expect(gpu.idle()).rejects.toThrow(/The GPU reports:/)
    expect(() => gpu.recorder()).toThrow(/The GPU reports:/)
  })

  it('says so after the device is gone', async () => {
    gpu.device.destroy()
    await gpu.device.lost
    await expect(gpu.allocate({ label: 'late', purpose: 'kv', byteLength: 16 })).rejects.toThrow(/device is gone/)
    expect(() => gpu.recorder()).toThrow(/device is gone/)
  })
})

describe('a device without its optional features', () => {
  it('grants only what was wished for', async () => {
    const gpu = await openGpu({ subgroups: false, f16: false, timestamps: false, defaultLimits: true })
    expect(gpu.can).toMatchObject({
      subgroups: false,
      subgroupMaxSize: 0,
      f16: false,
      timestamps: false,
      maxStorageBuffers: 8,
    })
    gpu.close()
  })
})
