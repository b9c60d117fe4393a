/**
 * Speed of single kernels at the shapes of SmolLM2-135M, so that a change to a shader can be judged in a minute:
 * multiply-adds per second of wall time and of CPU time (steadier on a software device that shares its machine), and
 * what each kernel took to compile. Rounds are interleaved; the best is reported beside the median.
 *
 *   node bench/run.mjs bench/kernels.ts [part of a case's name] [--rounds=9]
 */
import type { Gpu } from '../src/gpu/gpu.ts'
import type { BoundKernel, Grid } from '../src/gpu/kernel.ts'
import type { Tracked } from '../src/gpu/ledger.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { kernelCases } from './kernelCases.ts'

/** One kernel at one shape. */
export interface KernelCase {
  readonly name: string
  /** Multiply-adds of one dispatch. */
  readonly macs: number
  /** Uploads what the kernels read, and returns what compiles them. */
  prepare(gpu: Gpu, upload: Upload): Promise<() => Promise<readonly Dispatch[]>>
}

export interface Dispatch {
  readonly kernel: BoundKernel
  readonly grid: Grid
}

export type Upload = (data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>) => Promise<Tracked>

interface Measured {
  readonly test: KernelCase
  readonly compileMs: number
  readonly run: (times: number) => Promise<void>
  readonly wallMs: number[]
  readonly cpuMs: number[]
}

/** Dispatches of one timing: enough to drown the submit. */
const REPEATS = 8

async function main(options: readonly string[]): Promise<void> {
  const rounds = Number(options.find((option) => option.startsWith('--rounds='))?.slice(9) ?? 9)
  const wanted = options.filter((option) => !option.startsWith('--'))
  const gpu = await openGpu()
  const upload: Upload = async (data) => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const tracked = await gpu.allocate({ label: 'bench', purpose: 'activations', byteLength: data.byteLength, usage })
    await gpu.upload(tracked, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return tracked
  }
  const measured: Measured[] = []
  for (const test of kernelCases()) {
    if (wanted.length && !wanted.some((part) => test.name.includes(part))) continue
    measured.push(await prepare(gpu, test, upload))
  }
  for (let round = 0; round < rounds; round++) {
    for (const { run, wallMs, cpuMs } of measured) {
      const [wall, cpu] = [performance.now(), process.cpuUsage()]
      await run(REPEATS)
      const { user, system } = process.cpuUsage(cpu)
      wallMs.push((performance.now() - wall) / REPEATS)
      cpuMs.push((user + system) / 1000 / REPEATS)
    }
  }
  console.log(`${gpu.can.adapter}; best and median of ${rounds} rounds; G mac/s by wall time, and per core by CPU time`)
  for (const { test, compileMs, wallMs, cpuMs } of measured) {
    const rate = (ms: number) => (test.macs / ms / 1e6).toFixed(2).padStart(6)
    const [wall, cpu] = [sorted(wallMs), sorted(cpuMs)]
    const middle = Math.floor(rounds / 2)
    console.log(
      `${test.name.padEnd(44)} wall ${rate(wall[0]!)} ${rate(wall[middle]!)}  core ${rate(cpu[0]!)} ${rate(cpu[middle]!)}  ` +
        `${(wall[0]! * 1000).toFixed(0).padStart(7)} us  compile ${compileMs.toFixed(0).padStart(5)} ms CPU`,
    )
  }
  gpu.close()
}

async function prepare(gpu: Gpu, test: KernelCase, upload: Upload): Promise<Measured> {
  const compile = await test.prepare(gpu, upload)
  await gpu.idle()
  const cpu = process.cpuUsage()
  const dispatches = await compile()
  const run = async (times: number) => {
    const recorder = gpu.recorder()
    for (let i = 0; i < times; i++) for (const { kernel, grid } of dispatches) recorder.dispatch(kernel, grid)
    recorder.submit()
    await gpu.idle()
  }
  await run(1)
  const { user, system } = process.cpuUsage(cpu)
  return { test, compileMs: (user + system) / 1000, run, wallMs: [], cpuMs: [] }
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((one, other) => one - other)
}

await main(process.argv.slice(3))
