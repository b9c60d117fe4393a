/** Zip archives as PyTorch writes them. */
import { contentOffset, readZip } from '../../../src/weights/zip.ts'
import { type MadeEntry, makeZip } from '../../weights/makeTorch.ts'
import type { Dice } from '../dice.ts'
import { EDGES, mutateBytes } from '../mutate.ts'
import { must, only, type Target } from '../target.ts'

const NAMES = [
  'archive/data.pkl',
  'archive/data/0',
  'archive/data/1',
  'archive/byteorder',
  '../x',
  '/x',
  '',
  'é',
  'x'.repeat(500),
  '\u0000',
]

function entries(dice: Dice): MadeEntry[] {
  return dice.list(dice.small(0, 6), () => {
    const bytes = dice.bytes(dice.small(0, 60))
    return { name: dice.pick(NAMES), bytes, ...(dice.chance(0.25) && { directory: lies(dice, bytes.length) }) }
  })
}

/** What the directory says of an entry that is not so: sizes, places in others, methods, encryption, another name. */
function lies(dice: Dice, size: number): NonNullable<MadeEntry['directory']> {
  const number = (): number => Number(dice.chance(0.6) ? BigInt(dice.small(0, 300)) : dice.pick(EDGES.slice(0, 17)))
  return dice.pick([
    { size: number() },
    { stored: number() },
    { size: number(), stored: number() },
    { offset: number() },
    { size: size + 1, stored: size + 1 },
    { method: dice.pick([8, 9, 12, 14, 93, 95, 99]) },
    { flags: 0x801 },
    { name: dice.pick(NAMES) },
  ])
}

function archive(dice: Dice): Uint8Array {
  return makeZip(entries(dice), dice.chance(0.3), dice.chance(0.1) ? 'PK\u0005\u0006'.repeat(dice.small(1, 20)) : '')
}

const MIB = 1024 * 1024
const empty = (count: number): MadeEntry[] =>
  Array.from({ length: count }, (_, i) => ({ name: i.toString(36), bytes: new Uint8Array(0) }))

export const zip: Target = {
  name: 'zip',
  make: (dice) => only(dice.chance(0.4) ? archive(dice) : mutateBytes(dice, archive(dice), archive(dice))),
  heavy: [
    () => only(makeZip(empty(20_000))),
    () => only(makeZip(empty(20_000), true)),
    // Signatures of an end all over the tail, and the directory nowhere.
    () => only(new Uint8Array(MIB).map((_, i) => [0x50, 0x4b, 5, 6][i % 4]!)),
    () =>
      only(
        makeZip(Array.from({ length: 60 }, (_, i) => ({ name: `${i}`.padEnd(60_000, 'x'), bytes: new Uint8Array(0) }))),
      ),
    // A bomb: every entry claims the whole of the file.
    () =>
      only(
        makeZip(
          Array.from({ length: 500 }, (_, i) => ({
            name: `${i}`,
            bytes: new Uint8Array(64),
            directory: { offset: 0, size: 40_000, stored: 40_000 },
          })),
        ),
      ),
  ],
  async run(reading) {
    const source = reading.source()
    const found = await readZip(source)
    const extents: (readonly [number, number])[] = []
    for (const entry of found.entries.values()) {
      const begin = await contentOffset(found, entry)
      must(begin + entry.byteLength <= source.size, 'an entry ends behind the file')
      extents.push([begin, begin + entry.byteLength])
    }
    extents.sort(([one], [other]) => one - other)
    for (const [i, [begin]] of extents.entries()) must(i === 0 || begin >= extents[i - 1]![1], 'two entries overlap')
    return 0
  },
}
