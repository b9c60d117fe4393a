/**
 * Examines a device from what it is to what it does. A phase that fails ends the examination, and says which it was: what
 * was found until then still counts.
 */
import type { Gpu } from '../../gpu/gpu.ts'
import { deviceFacts } from '../device.ts'
import { deviceCases } from '../kernels/kernelCases.ts'
import { type DeviceRates, ratesOf } from '../kernels/kernelReport.ts'
import { measure } from '../kernels/measure.ts'
import { Workbench } from '../kernels/workbench.ts'
import type { Facts } from '../load/loadReport.ts'
import { type Choice, choicesFor } from './choices.ts'
import { type SelfTest, selfTests } from './selfTest.ts'
import { type MemoryTrial, measureTransfers, type Transfers, tryMemory } from './transfers.ts'

export interface Examination {
  readonly device: Facts
  readonly isSoftware: boolean
  readonly features: readonly string[]
  readonly limits: Readonly<Record<string, number>>
  readonly choices: readonly Choice[]
  readonly selfTests: readonly SelfTest[]
  readonly memory: MemoryTrial | null
  readonly transfers: Transfers | null
  readonly rates: DeviceRates | null
  /** The phase that did not come to its end, and why. */
  readonly failure: { readonly phase: string; readonly message: string } | null
}

/** Of the limits, what decides how large things may be. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
] as const

const ROUNDS = 3

/** @param onPhase called before each */
export async function examine(gpu: Gpu, onPhase: (phase: string) => void = () => {}): Promise<Examination> {
  const { limits, features } = gpu.device
  let found: Examination = {
    device: deviceFacts(gpu),
    isSoftware: gpu.can.software,
    features: [...features].sort(),
    limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
    choices: choicesFor(gpu),
    selfTests: [],
    memory: null,
    transfers: null,
    rates: null,
    failure: null,
  }
  const phases: readonly (readonly [string, () => Promise<Partial<Examination>>])[] = [
    ['numeric self-test', async () => ({ selfTests: await withBench(gpu, selfTests) })],
    ['memory', async () => ({ memory: await tryMemory(gpu) })],
    ['uploads and readbacks', async () => ({ transfers: await measureTransfers(gpu) })],
    ['rates of the device', async () => ({ rates: await withBench(gpu, deviceRates) })],
  ]
  for (const [phase, run] of phases) {
    onPhase(phase)
    try {
      found = { ...found, ...(await run()) }
    } catch (error) {
      const message = gpu.lost?.message ?? (error instanceof Error ? error.message : String(error))
      return { ...found, failure: { phase, message } }
    }
  }
  return found
}

async function deviceRates(bench: Workbench): Promise<DeviceRates> {
  return ratesOf(await measure(bench, deviceCases(bench.gpu, bench.poolBytes), { rounds: ROUNDS }))
}

async function withBench<T>(gpu: Gpu, use: (bench: Workbench) => Promise<T>): Promise<T> {
  const bench = await Workbench.open(gpu)
  try {
    return await use(bench)
  } finally {
    bench.close()
  }
}
