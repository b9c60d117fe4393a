/** What can go wrong with the device, as errors users can act on. */
import { LorikeetError } from '../errors.ts'

/** There is no usable WebGPU on this host. */
export class NoGpuError extends LorikeetError {
  readonly code = 'no_gpu'
  override readonly status = 503
}

/** An allocation did not fit into the device's memory. Nothing of it is left behind. */
export class GpuOutOfMemoryError extends LorikeetError {
  readonly code = 'gpu_out_of_memory'
  override readonly status = 503
  readonly label: string
  readonly byteLength: number

  constructor(label: string, byteLength: number, options?: ErrorOptions) {
    super(
      `The GPU has no room for "${label}" (${byteLength} bytes). Lower --kv-cache-memory, --lora-memory or --max-model-len, or use a smaller model.`,
      options,
    )
    this.label = label
    this.byteLength = byteLength
  }
}

/** A buffer larger than the device can create or bind. */
export class GpuLimitError extends LorikeetError {
  readonly code = 'gpu_limit'

  constructor(label: string, byteLength: number, limit: string, most: number) {
    super(`"${label}" needs ${byteLength} bytes; this device's ${limit} is ${most}.`)
  }
}

/** A shader did not compile, or a pipeline could not be made of it: a bug, or a driver's. */
export class ShaderError extends LorikeetError {
  readonly code = 'shader_error'
  override readonly status = 500
}

/** The device is gone (driver reset, tab in the background, GPU unplugged, or close()). */
export class GpuLostError extends LorikeetError {
  readonly code = 'gpu_lost'
  override readonly status = 503
}

/** The device is there, but a result could not be read from it; `cause` says what it reported. */
export class GpuReadbackError extends LorikeetError {
  readonly code = 'gpu_readback'
  override readonly status = 503

  constructor(cause: unknown) {
    super(`A result could not be read from the GPU: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
