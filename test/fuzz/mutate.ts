/** Ways to spoil bytes and texts that were honest: what transfers, disks, editors and attackers do to files. */
import { concat } from '../weights/makeSafetensors.ts'
import type { Dice } from './dice.ts'

/** Numbers at which widths, signs and doubles end. */
export const EDGES: readonly bigint[] = [
  ...[0n, 1n, 2n, 7n, 8n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x1_0000n],
  ...[0x7fff_ffffn, 0x8000_0000n, 0xffff_fffen, 0xffff_ffffn, 0x1_0000_0000n],
  ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
]

/** One to `most` changes. `other` is a file of the same kind, to splice with. */
export function mutateBytes(dice: Dice, honest: Uint8Array, other: Uint8Array = honest, most = 4): Uint8Array {
  let bytes: Uint8Array = honest.slice()
  for (let left = dice.small(1, most); left > 0; left--) bytes = mutateOnce(dice, bytes, other)
  return bytes
}

function mutateOnce(dice: Dice, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  const { length } = bytes
  const at = dice.integer(length + 1)
  const span = dice.small(1, 64)
  switch (dice.integer(9)) {
    case 0: // one bit
      if (at < length) bytes[at]! ^= 1 << dice.integer(8)
      return bytes
    case 1: // one byte
      if (at < length) bytes[at] = Number(dice.pick(EDGES) & 0xffn)
      return bytes
    case 2: // a number
      return writeNumber(dice, bytes, at)
    case 3: // cut off
      return bytes.slice(0, at)
    case 4: // a hole
      return concat([bytes.subarray(0, at), bytes.subarray(Math.min(length, at + span))])
    case 5: // something in between
      return concat([bytes.subarray(0, at), dice.bytes(span), bytes.subarray(at)])
    case 6: // something twice
      return concat([bytes.subarray(0, Math.min(length, at + span)), bytes.subarray(at)])
    case 7: // the end of another
      return concat([bytes.subarray(0, at), other.subarray(dice.integer(other.length + 1))])
    default: // blank
      return bytes.fill(dice.pick([0, 32, 0x30, 0xff]), at, Math.min(length, at + span))
  }
}

/** Writes an edge, or the size of the file and its neighbours, into a field of two, four or eight bytes. */
function writeNumber(dice: Dice, bytes: Uint8Array, at: number): Uint8Array {
  const width = dice.pick([2, 4, 8])
  if (at + width > bytes.length) return bytes
  const size = BigInt(bytes.length)
  const value = dice.chance(0.3) ? dice.pick([size - 1n, size, size + 1n, BigInt(at)]) : dice.pick(EDGES)
  const isLittle = dice.chance(0.8)
  for (let i = 0; i < width; i++) {
    bytes[at + (isLittle ? i : width - 1 - i)] = Number((value >> BigInt(8 * i)) & 0xffn)
  }
  return bytes
}

/** One to `most` edits; `tokens` are what the text's reader looks for. */
export function mutateText(dice: Dice, honest: string, tokens: readonly string[], most = 3): string {
  let text = honest
  for (let left = dice.small(1, most); left > 0; left--) {
    const at = dice.integer(text.length + 1)
    const end = Math.min(text.length, at + dice.small(0, 16))
    const piece = text.slice(at, end)
    switch (dice.integer(6)) {
      case 0:
        text = text.slice(0, at) + dice.pick(tokens) + text.slice(at)
        break
      case 1:
        text = text.slice(0, at) + dice.pick(tokens) + text.slice(end)
        break
      case 2:
        text = text.slice(0, at) + text.slice(end)
        break
      case 3:
        text = text.slice(0, end) + piece.repeat(dice.small(1, 6)) + text.slice(end)
        break
      case 4:
        text = text.slice(0, at) + String.fromCodePoint(dice.pick(ODD_CHARACTERS)) + text.slice(at)
        break
      default:
        text = dice.chance(0.3) ? text.slice(0, at) : swapLines(dice, text)
    }
  }
  return text
}

const ODD_CHARACTERS = [0, 9, 10, 13, 32, 0x7f, 0x80, 0x85, 0xa0, 0x2028, 0xd800, 0xfeff, 0xfffd, 0x1f99c, 0x10ffff]

function swapLines(dice: Dice, text: string): string {
  const lines = text.split('\n')
  const [one, other] = [dice.integer(lines.length), dice.integer(lines.length)]
  const line = lines[one]!
  lines[one] = lines[other]!
  lines[other] = line
  return lines.join('\n')
}

/** `open` … `close` around `inner`, so many times. */
export function nested(open: string, inner: string, close: string, depth: number): string {
  return open.repeat(depth) + inner + close.repeat(depth)
}

/** A number as configs may have it: sensible, at an edge, or none at all. */
export function oddNumber(dice: Dice): unknown {
  return dice.pick<() => unknown>([
    () => dice.small(0, 16),
    () => Number(dice.pick(EDGES)),
    () => -dice.small(1, 5),
    () => dice.next() * 4,
    () => dice.pick([1e-308, 1e308, -0, 5e-324]),
    () => dice.pick<unknown>([null, true, '', '8', [], {}]),
  ])()
}
