/** Safetensors files for tests: honest ones, and any header whatsoever. */
export interface MadeTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** A well-formed file holding `tensors` in order. */
export function makeSafetensors(
  tensors: Readonly<Record<string, MadeTensor>>,
  metadata?: Record<string, string>,
): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  let end = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.byteLength] }
    end += bytes.byteLength
  }
  const data = Object.values(tensors).map(({ bytes }) => bytes)
  return withHeader(JSON.stringify(header), concat(data))
}

/** A file with `header` as it stands, its length in front (or another length), and `data` behind. */
export function withHeader(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(0),
  length?: bigint,
): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const prefix = new Uint8Array(8)
  new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(text.byteLength), true)
  return concat([prefix, text, data])
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}
