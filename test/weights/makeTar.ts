/** Tar archives for tests. */
import { concat } from './makeSafetensors.ts'

export interface MadeTarEntry {
  readonly name: string
  readonly bytes?: Uint8Array
  readonly type?: string
  /** What the header says, where it is not the truth. */
  readonly size?: number
  readonly prefix?: string
  /** Writes the size as GNU tar does for large files. */
  readonly binarySize?: boolean
}

export function makeTar(entries: readonly MadeTarEntry[], end = true): Uint8Array {
  const parts = entries.flatMap(
    ({ name, bytes = new Uint8Array(0), type = '0', size = bytes.length, prefix, binarySize }) => {
      const header = new Uint8Array(512)
      const put = (at: number, text: string): void => header.set(new TextEncoder().encode(text), at)
      put(0, name)
      put(100, '0000644\0')
      put(124, `${size.toString(8).padStart(11, '0')}\0`)
      if (binarySize) {
        header.fill(0, 124, 136)
        header[124] = 0x80
        new DataView(header.buffer).setUint32(132, size)
      }
      put(156, type)
      put(257, 'ustar\0' + '00')
      if (prefix !== undefined) put(345, prefix)
      header.fill(32, 148, 156)
      put(
        148,
        `${header
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
      )
      return [header, bytes, new Uint8Array((512 - (bytes.length % 512)) % 512)]
    },
  )
  return concat(end ? [...parts, new Uint8Array(1024)] : parts)
}
