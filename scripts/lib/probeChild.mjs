/**
 * Asks dawn.node for a device and makes it compute, then prints what it found as one line of JSON. A process of its
 * own, because a broken driver takes its process down and because drivers read their environment only once.
 */
import { reason } from './report.mjs'

const COUNT = 64
const SHADER = `
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(${COUNT}) fn main(@builtin(local_invocation_index) i: u32) { data[i] = i * i + 1u; }`

/** @returns {Promise<import('./probe.mjs').Probed>} */
async function probe() {
  const dawn = await import('webgpu').catch((error) => reason(error))
  if (typeof dawn === 'string') return { status: 'unloadable', detail: dawn.split('\n')[0] ?? '' }
  Object.assign(globalThis, dawn.globals)
  // Without a lasting reference to this object the process dies at a random later time (dawn-gpu/node-webgpu#18).
  const gpu = dawn.create([])
  Object.assign(globalThis, { keepAlive: gpu })
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) return { status: 'none' }
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info
  const name = description || [vendor, architecture].join(' ')
  if (!(await computes(adapter))) return { status: 'broken', detail: `${name} computes wrong results` }
  return { status: 'adapter', adapter: { name, software: isFallbackAdapter, f16: adapter.features.has('shader-f16') } }
}

/** Whether a small shader gives the right numbers. @param {GPUAdapter} adapter */
async function computes(adapter) {
  const device = await adapter.requestDevice()
  const size = COUNT * 4
  const data = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC })
  const back = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ })
  const pipeline = device.createComputePipeline({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code: SHADER }) },
  })
  const bindings = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: data } }],
  })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, bindings)
  pass.dispatchWorkgroups(1)
  pass.end()
  encoder.copyBufferToBuffer(data, 0, back, 0, size)
  device.queue.submit([encoder.finish()])
  await back.mapAsync(GPUMapMode.READ)
  return new Uint32Array(back.getMappedRange()).every((value, i) => value === i * i + 1)
}

const found = await probe().catch((error) => ({ status: 'broken', detail: reason(error) }))
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0))
