/** Safetensors files, and the index of a model in shards. */
import { HEADER_LIMITS } from '../../../src/lora/peft.ts'
import { openCheckpoint } from '../../../src/weights/checkpoint.ts'
import { DTYPE_BITS, readSafetensors } from '../../../src/weights/safetensors.ts'
import { makeSafetensors, withHeader } from '../../weights/makeSafetensors.ts'
import type { Dice } from '../dice.ts'
import { EDGES, mutateBytes, mutateText, nested } from '../mutate.ts'
import { type Files, must, only, type Target, text } from '../target.ts'

const TOKENS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    ' ',
    '\n',
    '\\',
    '\\u0000',
    '\\ud800',
    '0',
    '9',
    '-1',
    '1e9',
    '1.5',
    '0.0',
    '-0',
  ],
  ...['4294967296', '9007199254740993', '18446744073709551615', '1e999', 'null', 'true', '[0,0]', '{}', '[]', '""'],
  ...[
    '"F16"',
    '"F32"',
    '"F4"',
    '"Q9"',
    '"toString"',
    '"__proto__"',
    '"__metadata__"',
    '"dtype"',
    '"shape"',
    '"data_offsets"',
  ],
]
const DTYPES = [...Object.keys(DTYPE_BITS), 'Q4', '', 'f32', '__proto__', 'constructor']

interface Entry {
  dtype: unknown
  shape: unknown
  data_offsets: unknown
}

/** Tensors that tile `byteLength` bytes, and then, unless they are to be honest, one or two lies. */
function header(dice: Dice, isHonest: boolean): { text: string; byteLength: number } {
  const entries: Record<string, Entry> = {}
  let end = 0
  for (let i = dice.small(0, 8); i > 0; i--) {
    const dtype = dice.pick(['F32', 'F16', 'BF16', 'U8', 'I64', 'BOOL', 'F4'])
    const shape = dice.list(dice.small(0, 3), () => dice.small(0, 6) * (dtype === 'F4' ? 2 : 1))
    const bits = shape.reduce((product, size) => product * size, DTYPE_BITS[dtype as 'F32'])
    const begin = end
    end += Math.ceil(bits / 8)
    entries[name(dice)] = { dtype, shape, data_offsets: [begin, end] }
  }
  const made = Object.values(entries)
  for (let lies = isHonest || made.length === 0 ? 0 : dice.small(1, 2); lies > 0; lies--) lie(dice, dice.pick(made))
  const metadata = dice.chance(0.3) ? { __metadata__: dice.chance(0.8) ? { format: 'pt' } : { format: 1 } } : {}
  return { text: JSON.stringify({ ...metadata, ...entries }), byteLength: end }
}

function name(dice: Dice): string {
  return dice.pick([
    'a',
    'b.weight',
    'model.layers.0.mlp.up_proj.weight',
    '7',
    '',
    '__proto__',
    'ü',
    '\u0000',
    'x'.repeat(300),
  ])
}

function lie(dice: Dice, entry: Entry): void {
  const number = (): number => (dice.chance(0.5) ? dice.small(0, 40) : Number(dice.pick(EDGES)))
  switch (dice.integer(6)) {
    case 0:
      entry.dtype = dice.pick([...DTYPES, null, 4, ['F32']])
      break
    case 1:
      entry.shape = dice.list(dice.small(0, 6), number)
      break
    case 2:
      entry.shape = dice.pick([null, {}, 'F32', [[1]], [-1], [1.5], [0, 2 ** 53 - 1, 2 ** 53 - 1], ['1']])
      break
    case 3:
      entry.data_offsets = [number(), number()]
      break
    case 4:
      entry.data_offsets = dice.pick([null, [], [0], [0, 1, 2], { 0: 0, 1: 4, length: 2 }, ['0', '4'], [4, 0]])
      break
    default:
      Object.assign(entry, { extra: dice.pick([null, [], 'x']) })
  }
}

function make(dice: Dice): Files {
  const { text: json, byteLength } = header(dice, dice.chance(0.5))
  const data = new Uint8Array(Math.min(byteLength, 4096))
  switch (dice.integer(5)) {
    case 0:
      return only(withHeader(json, data))
    case 1:
      return only(withHeader(mutateText(dice, json, TOKENS), data))
    case 2:
      return only(withHeader(json, data, dice.pick(EDGES)))
    case 3: // the same key again
      return only(withHeader(json.replace(/}$/, `,${json.slice(1)}`), data))
    default:
      return only(mutateBytes(dice, withHeader(json, data), withHeader(header(dice, true).text, data)))
  }
}

/** Somewhat less than is read of a header. */
const MIB = HEADER_LIMITS.maxBytes - 200
const fill = (piece: string, bytes: number): string => piece.repeat(Math.floor(bytes / piece.length))
const many = (make: (i: number) => string, count: number): string =>
  Array.from({ length: count }, (_, i) => make(i)).join()

export const safetensors: Target = {
  name: 'safetensors',
  make,
  heavy: [
    () => only(withHeader(`{"a":[${fill('{},', MIB)}{}]}`)),
    () => only(withHeader(`{"a":[${fill('{"":0},', MIB)}{}]}`)),
    () => only(withHeader(`{"a":[${fill('[],', MIB)}[]]}`)),
    () =>
      only(withHeader(`{"a":{"shape":[${fill('1,', MIB)}1],"dtype":"F32","data_offsets":[0,4]}}`, new Uint8Array(4))),
    () => only(withHeader(`{"a":{"shape":[],"dtype":"${fill('é', MIB)}","data_offsets":[0,4]}}`)),
    () => only(withHeader(`{"${fill('\\u00e9', MIB)}":{}}`)),
    () => only(withHeader(`{${fill('\n', MIB)}!`)),
    () => only(withHeader(nested('[', '', ']', 500_000))),
    () =>
      only(
        withHeader(`{${many((i) => `"${i.toString(36)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, 14_000)}}`),
      ),
    () => only(withHeader(`{"__metadata__":{${many((i) => `"${i.toString(36)}":""`, 90_000)}}}`)),
    (dice) => only(withHeader(dice.bytes(MIB))),
  ],
  async run(reading) {
    const source = reading.source()
    const { tensors } = await readSafetensors(source, undefined, HEADER_LIMITS)
    let covered = 0
    for (const { byteOffset, byteLength, shape, dtype } of tensors.values()) {
      must(byteOffset + byteLength <= source.size, 'a tensor ends behind the file')
      must(
        shape.reduce((product, size) => product * size, DTYPE_BITS[dtype]) === byteLength * 8,
        'bytes are not its shape',
      )
      covered += byteLength
    }
    const headerBytes = new DataView(reading.files.file!.buffer, reading.files.file!.byteOffset).getBigUint64(0, true)
    must(covered + 8 + Number(headerBytes) === source.size, 'bytes that belong to no tensor, or to two')
    return 0
  },
}

const SHARD = makeSafetensors({
  'model.a.weight': { dtype: 'F16', shape: [3, 4], bytes: new Uint8Array(24) },
  'model.b.weight': { dtype: 'F32', shape: [2], bytes: new Uint8Array(8) },
})
const INDEX = JSON.stringify({
  metadata: { total_size: 32 },
  weight_map: { 'model.a.weight': 'one.safetensors', 'model.b.weight': 'one.safetensors' },
})
const PATHS = [
  '"../one.safetensors"',
  '"/etc/passwd"',
  '"one.safetensors"',
  '"two.safetensors"',
  '"one.safetensors\\u0000"',
  '"a\\\\b"',
]

/** A model whose tensors lie in shards. */
export const checkpoint: Target = {
  name: 'checkpoint',
  make(dice) {
    const index = dice.chance(0.9) ? mutateText(dice, INDEX, [...TOKENS, ...PATHS]) : INDEX
    const shard = dice.chance(0.2) ? mutateBytes(dice, SHARD) : SHARD
    return {
      'model.safetensors.index.json': text(index),
      'one.safetensors': shard,
      ...(dice.chance(0.2) && { 'two.safetensors': dice.chance(0.5) ? SHARD : mutateBytes(dice, SHARD) }),
    }
  },
  heavy: [
    () => ({
      'model.safetensors.index.json': text(`{"weight_map":{${many((i) => `"${i}":"one.safetensors"`, 20_000)}}}`),
      'one.safetensors': SHARD,
    }),
    () => ({ 'model.safetensors.index.json': text(`{"weight_map":{${many((i) => `"${i}":"${i}"`, 20_000)}}}`) }),
    () => ({
      'model.safetensors.index.json': text(`{"weight_map":{"${fill('x', MIB)}":"one.safetensors"}}`),
      'one.safetensors': SHARD,
    }),
  ],
  async run(reading) {
    const { tensors, byteLength, close } = await openCheckpoint(reading.folder())
    await close()
    must(tensors.size > 0, 'a model of no tensors')
    must(
      byteLength <= Object.values(reading.files).reduce((sum, file) => sum + file.byteLength, 0),
      'more than its files',
    )
    return 0
  },
}
