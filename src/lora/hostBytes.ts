/** What an adapter takes in host memory. Apart from how it is packed, which is loaded with the first adapter. */
import type { HostAdapter } from './packing.ts'

/** Bytes in host memory. */
export function hostBytesOf({ image, byteLength }: Pick<HostAdapter, 'image' | 'byteLength'>): number {
  return image?.hostBytes ?? byteLength
}
