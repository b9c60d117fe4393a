/** Files of torch.save: what pickles say of tensors, and pickles of any opcodes whatsoever. */
import { readTensor } from '../../../src/weights/tensorData.ts'
import { readTorch } from '../../../src/weights/torch.ts'
import { concat } from '../../weights/makeSafetensors.ts'
import {
  fields,
  type Made,
  type MadeTorchTensor,
  makePickle,
  makeTorch,
  makeZip,
  torchTensor,
} from '../../weights/makeTorch.ts'
import type { Dice } from '../dice.ts'
import { EDGES, mutateBytes } from '../mutate.ts'
import { must, only, type Reading, type Target, text } from '../target.ts'

const STORAGES = [
  'torch.FloatStorage',
  'torch.HalfStorage',
  'torch.BFloat16Storage',
  'torch.LongStorage',
  'torch.BoolStorage',
]
const WIDTHS: Readonly<Record<string, number>> = {
  ...{
    'torch.FloatStorage': 4,
    'torch.HalfStorage': 2,
    'torch.BFloat16Storage': 2,
    'torch.LongStorage': 8,
    'torch.BoolStorage': 1,
  },
}

interface MadeFile {
  readonly tensors: readonly (readonly [Made, Made])[]
  readonly storages: Record<string, Uint8Array>
}

/** Tensors in storages of their own, contiguous or transposed; with lies unless it is honest. */
function tensors(dice: Dice, isHonest: boolean): MadeFile {
  const storages: Record<string, Uint8Array> = {}
  const made = dice.list(dice.small(0, 5), (i) => {
    const shape = dice.list(dice.small(0, 3), () => dice.small(0, 5))
    const count = shape.reduce((product, size) => product * size, 1)
    const type = dice.pick(STORAGES)
    storages[`${i}`] = dice.bytes(count * WIDTHS[type]!)
    const strides = dice.chance(0.2) ? transposed(shape) : undefined
    const honest: MadeTorchTensor = { shape, storage: `${i}`, type, ...(strides && { strides }) }
    const name = `model.layers.${i}.weight`
    return [name, torchTensor(isHonest || dice.chance(0.6) ? honest : lie(dice, honest))] as const
  })
  return { tensors: made, storages }
}

/** Strides of a tensor whose first axis runs fastest. */
function transposed(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(0, axis).reduce((product, size) => product * size, 1))
}

function lie(dice: Dice, honest: MadeTorchTensor): MadeTorchTensor {
  const number = (): number => (dice.chance(0.7) ? dice.small(0, 30) : Number(dice.pick(EDGES.slice(0, 15))))
  return dice.pick<() => MadeTorchTensor>([
    () => ({ ...honest, shape: dice.list(dice.small(0, 5), number) }),
    () => ({ ...honest, strides: honest.shape.map(number) }),
    () => ({ ...honest, offset: number() }),
    () => ({ ...honest, length: number() }),
    () => ({ ...honest, storage: dice.pick(['0', '1', '9', '../0', '']) }),
    () => ({ ...honest, type: dice.pick([...STORAGES, 'torch.QInt8Storage', 'os.system', 'collections.OrderedDict']) }),
    () => ({ ...honest, metadata: dice.pick<Made>([null, { dict: [] }, { dict: [['neg', true]] }, 3]) }),
    () => ({ ...honest, strides: [] }),
  ])()
}

const archiveOf = ({ tensors: made, storages }: MadeFile): Uint8Array => makeTorch({ dict: made }, storages)

/** Reads every tensor: none may hold more than the file. */
async function readAll(reading: Reading): Promise<number> {
  const source = reading.source()
  let held = 0
  const kept: Uint8Array[] = []
  for (const tensor of (await readTorch(source)).values()) {
    const bytes = await readTensor(tensor)
    must(bytes.byteLength === tensor.byteLength, 'a tensor of other bytes than it says')
    held += bytes.byteLength
    kept.push(bytes)
  }
  must(held <= source.size, `${held} bytes out of a file of ${source.size}`)
  return held
}

const shared = (count: number, elements: number): Uint8Array =>
  archiveOf({
    tensors: Array.from(
      { length: count },
      (_, i) => [`${i}`, torchTensor({ shape: [elements], length: elements })] as const,
    ),
    storages: { 0: new Uint8Array(elements * 4) },
  })

const MIB = 1024 * 1024
const ONES = Array.from({ length: 50_000 }, () => 1)
const pickled = (...parts: readonly Uint8Array[]): Uint8Array =>
  makeZip([{ name: 'archive/data.pkl', bytes: concat(parts) }])
const repeated = (piece: string, count: number): Uint8Array => latin(piece.repeat(count))

export const torch: Target = {
  name: 'torch',
  make(dice) {
    const file = tensors(dice, dice.chance(0.3))
    switch (dice.integer(3)) {
      case 0:
        return only(archiveOf(file))
      case 1: // only the pickle, so that the archive around it stands
        return only(
          makeZip([
            { name: 'archive/data.pkl', bytes: mutateBytes(dice, makePickle({ dict: file.tensors })) },
            ...Object.entries(file.storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes })),
          ]),
        )
      default:
        return only(mutateBytes(dice, archiveOf(file), archiveOf(tensors(dice, true))))
    }
  },
  heavy: [
    () => only(shared(2000, 64 * 1024)),
    () =>
      only(
        archiveOf({
          tensors: [['t', torchTensor({ shape: [2048, 2048], strides: [1, 2048] })]],
          storages: { 0: new Uint8Array(16 * MIB) },
        }),
      ),
    () =>
      only(
        archiveOf({
          tensors: [['t', torchTensor({ shape: ONES, strides: ONES })]],
          storages: { 0: new Uint8Array(4) },
        }),
      ),
    () =>
      only(
        archiveOf({
          tensors: Array.from({ length: 4000 }, (_, i) => [`t${i}`, torchTensor({ shape: [1], storage: `${i}` })]),
          storages: Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`${i}`, new Uint8Array(4)])),
        }),
      ),
    () => only(archiveOf({ tensors: [['x'.repeat(MIB - 1000), 3]], storages: {} })),
  ],
  run: readAll,
}

/** Opcodes and operands as pieces; what is not known is there too. */
const OPCODES = [
  ...'\u0080\u0095(01N\u0088\u0089KMJ\u008aGX\u008c\u008dBC)t\u0085\u0086\u0087]ae}suc\u0093RbQqr\u0094hj.',
  ...'ioP\u0081\u0082\u0090\u008e\u0096I',
].map(latin)
const PIECES = [
  'K\u0001',
  'K\u0002',
  'q\u0000',
  'h\u0000',
  'q\u0001',
  'h\u0001',
  ')',
  ']',
  '}',
  '(',
  't',
  '\u0085',
  '\u0086',
  'R',
  'Q',
  's',
  'u',
  '\u0094',
  'ccollections\nOrderedDict\n',
  'ctorch._utils\n_rebuild_tensor_v2\n',
  'ctorch._utils\n_rebuild_parameter\n',
  'ctorch\nFloatStorage\n',
  'cposix\nsystem\n',
  'c__builtin__\neval\n',
  'X\u0007\u0000\u0000\u0000storage',
  'X\u0001\u0000\u0000\u00000',
  '\u008c\u0001a',
  '\u0089',
  'N',
].map(latin)

function latin(codes: string): Uint8Array {
  return Uint8Array.from(codes, (char) => char.charCodeAt(0))
}

/** Pickles that no honest tool makes, inside an archive that is in order. */
export const pickle: Target = {
  name: 'pickle',
  make(dice) {
    const piece = (): Uint8Array => {
      const kind = dice.next()
      if (kind < 0.5) return dice.pick(PIECES)
      if (kind < 0.9) return dice.pick(OPCODES)
      return dice.chance(0.5) ? dice.bytes(dice.small(0, 8)) : fields([dice.pick([1, 2, 4]), dice.small(0, 255)])
    }
    const soup = concat([
      latin('\u0080\u0002'),
      dice.chance(0.3) ? latin('}') : latin(''),
      ...dice.list(dice.small(0, 60), piece),
      dice.chance(0.8) ? text('.') : text(''),
    ])
    const storage = { name: 'archive/data/0', bytes: new Uint8Array(4) }
    return only(makeZip([{ name: 'archive/data.pkl', bytes: soup }, storage]))
  },
  heavy: [
    () => only(pickled(repeated('N', 2 * MIB))),
    ...[
      ')',
      ']',
      '}',
      ')\u0094',
      '}\u0094',
      'N\u0085',
      'N\u0085\u0094',
      ')q\u0000h\u0000\u0086',
      ']q\u0000h\u0000a',
      '(t',
      'K\u0001K\u0002\u0086',
      '}K\u0001N\u0073',
    ].map((piece) => () => only(pickled(repeated(piece, Math.floor(900_000 / piece.length)), text('.')))),
    () => only(pickled(latin(')'), repeated('q\u0000h\u0000\u0086', 100_000), text('.'))),
    () => only(pickled(repeated('(', 60_000), repeated('t', 60_000), text('.'))),
    () => only(pickled(latin('}('), repeated('\u008c\u0002abK\u0001', 60_000), text('u.'))),
    () => only(pickled(latin('X'), fields([4, MIB - 100]), text('x'.repeat(MIB - 100)), text('.'))),
    () => only(pickled(latin('c'), text('x'.repeat(MIB - 100)))),
    () => only(pickled(latin('c'), text(`${'x'.repeat(MIB - 1000)}\ny\n`))),
    () => only(pickled(latin(']'), repeated('\u008c\u00ff'.concat('x'.repeat(255), 'a'), 4000), text('.'))),
    () => only(pickled(latin('r\u00ff\u00ff\u00ff\u00ff'), text('.'))),
    () =>
      only(
        pickled(
          concat(
            Array.from({ length: 100_000 }, (_, i) => (i === 0 ? latin('N') : concat([latin('r'), fields([4, i])]))),
          ),
        ),
      ),
  ],
  run: readAll,
}
