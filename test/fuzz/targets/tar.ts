/** Tar archives, as NeMo's. */
import { readTar } from '../../../src/weights/tar.ts'
import { concat } from '../../weights/makeSafetensors.ts'
import { type MadeTarEntry, makeTar } from '../../weights/makeTar.ts'
import type { Dice } from '../dice.ts'
import { EDGES, mutateBytes } from '../mutate.ts'
import { must, only, type Target, text } from '../target.ts'

const NAMES = [
  ...[
    './model_config.yaml',
    'model_weights.ckpt',
    './',
    '.',
    '..',
    '../escape',
    '/etc/passwd',
    'a/../../b',
    'a//b',
    './/a',
  ],
  ...['a\\..\\b', 'C:x', 'a/', 'x'.repeat(99), '', 'é', 'a/./b', '.../x', './a/..'],
]
const TYPES = ['0', '0', '0', '\0', '1', '2', '3', '5', '6', '7', 'g', 'x', 'x', 'L', 'L', 'K', 'S', 'V', 'Z']

/** Records of a pax header: honest, of wrong length, or with keys that change what follows. */
export function pax(dice: Dice): Uint8Array {
  const records = dice.list(dice.small(0, 4), () => {
    const key = dice.pick([
      'path',
      'size',
      'linkpath',
      'GNU.sparse.size',
      'mtime',
      'comment',
      '',
      'SCHILY.xattr.user.x',
    ])
    const value = dice.pick([...NAMES, '12', '0', '99999999999999999999', '-1', 'a\nb', '30 path=../x'])
    const rest = ` ${key}=${value}\n`
    let length = rest.length + 1
    while (`${length}${rest}`.length > length) length++
    return `${dice.chance(0.8) ? length : dice.pick([0, 1, length + 5, length - 1, 9e9])}${rest}`
  })
  return text(records.join(''))
}

function entry(dice: Dice): MadeTarEntry {
  const type = dice.pick(TYPES)
  const isExtended = type === 'x' || type === 'g'
  const bytes = isExtended
    ? pax(dice)
    : type === 'L'
      ? text(`${dice.pick(NAMES).repeat(dice.small(1, 4))}\0`)
      : dice.bytes(dice.small(0, 700))
  return {
    name: dice.pick(NAMES),
    bytes,
    type,
    ...(dice.chance(0.1) && {
      size: Number(dice.chance(0.5) ? BigInt(dice.small(0, 5000)) : dice.pick(EDGES.slice(0, 16))),
    }),
    ...(dice.chance(0.1) && { prefix: dice.pick(NAMES) }),
    ...(dice.chance(0.1) && { binarySize: true }),
  }
}

const archive = (dice: Dice): Uint8Array =>
  makeTar(
    dice.list(dice.small(0, 6), () => entry(dice)),
    dice.chance(0.8),
  )

/** Makes the sums of all headers right again, so that what was spoilt is looked at. */
export function withSums(bytes: Uint8Array): Uint8Array {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes[at + 257] !== 0x75) continue // 'u' of ustar
    bytes.fill(32, at + 148, at + 156)
    const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    bytes.set(text(`${sum.toString(8).padStart(6, '0')}\0 `), at + 148)
  }
  return bytes
}

const MIB = 1024 * 1024

export const tar: Target = {
  name: 'tar',
  make(dice) {
    if (dice.chance(0.4)) return only(archive(dice))
    const spoilt = mutateBytes(dice, archive(dice), archive(dice))
    return only(dice.chance(0.7) ? withSums(spoilt) : spoilt)
  },
  heavy: [
    () => only(makeTar(Array.from({ length: 12_000 }, (_, i) => ({ name: i.toString(36) })))),
    () =>
      only(
        makeTar(
          Array.from({ length: 8 }, () => ({ name: 'x', type: 'x', bytes: text('\n1 GNU.sparse'.repeat(5000)) })),
        ),
      ),
    () =>
      only(makeTar(Array.from({ length: 8 }, () => ({ name: 'x', type: 'L', bytes: text(`${'/'.repeat(60_000)}x`) })))),
    () =>
      only(
        makeTar(Array.from({ length: 8 }, () => ({ name: 'x', type: 'L', bytes: text(`${'./'.repeat(30_000)}x`) }))),
      ),
    () =>
      only(
        makeTar(
          Array.from({ length: 300 }, (_, i) => [
            { name: 'x', type: 'L', bytes: text(`${i}`.padEnd(60_000, 'y')) },
            { name: `${i}` },
          ]).flat(),
        ),
      ),
    () => only(makeTar([{ name: 'a', bytes: new Uint8Array(8 * MIB) }])),
    () => only(concat([makeTar([{ name: 'a' }], false), new Uint8Array(4 * MIB).fill(1)])),
  ],
  async run(reading) {
    const source = reading.source()
    let end = 0
    for (const { name, byteOffset, byteLength } of (await readTar(source)).values()) {
      must(
        byteOffset >= end && byteOffset + byteLength <= source.size,
        'two entries overlap, or one ends behind the file',
      )
      must(!/^\/|\\|:|\0/.test(name) && !name.split('/').includes('..'), `the name ${JSON.stringify(name)} was taken`)
      end = byteOffset + byteLength
    }
    return 0
  },
}
