/**
 * The host that a test file runs on, so that the same file runs on Node and in a browser: its GPU, and the fixtures as
 * folders. What a project of vitest.config.ts provides as `device` is taken away from every GPU: one project can be a
 * machine with less.
 */
import { inject } from 'vitest'
import type { DeviceWish } from '../../src/gpu/capabilities.ts'
import { Faults } from '../../src/gpu/faults.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { currentHost } from '../../src/hosts/current.ts'
import { folderOf } from '../../src/hosts/host.ts'
import type { Folder } from '../../src/weights/folder.ts'
import { FIXTURES } from '../fixtures.ts'
import type { LesserDevice } from './lesserDevice.ts'

const host = await currentHost()
const { wish: lesser = {}, readbackDelayMs = 0 } = inject('device') ?? {}

/** What this project takes away. */
export const LACKS: NonNullable<LesserDevice['wish']> = lesser

/** @throws NoGpuError */
export async function openGpu(wish: DeviceWish = {}): Promise<Gpu> {
  if (wish.faults || readbackDelayMs === 0) return await host.openGpu({ ...wish, ...lesser })
  const faults = new Faults()
  faults.readbackDelayMs = readbackDelayMs
  return await host.openGpu({ ...wish, ...lesser, faults })
}

/** A folder of test/fixtures. */
export function fixtureFolder(path: string): Folder {
  return folderOf(FIXTURES + path, host)
}

/** A folder of the reference, such as `models/llama-tiny`. */
export function referenceFolder(path: string): Folder {
  return fixtureFolder(`reference/${path}`)
}
