/** What a project of vitest.config.ts takes away from the GPUs of its tests, as plain values. */
import type { DeviceWish } from '../../src/gpu/capabilities.ts'

export interface LesserDevice {
  readonly wish?: Pick<DeviceWish, 'subgroups' | 'f16' | 'timestamps' | 'defaultLimits'>
  readonly readbackDelayMs?: number
}

declare module 'vitest' {
  interface ProvidedContext {
    device: LesserDevice
  }
}
