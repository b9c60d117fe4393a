import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  PickleDict,
  PickleError,
  type PickleGlobal,
  PickleTuple,
  type PickleValue,
  unpickle,
} from '../../src/weights/pickle.ts'
import { concat } from './makeSafetensors.ts'
import { fields, type Made, makePickle, text } from './makeTorch.ts'

const calls: string[] = []
const sum: PickleGlobal = { global: 'math.sum', call: (args) => (args as number[]).reduce((a, b) => a + b, 0) }
const named: PickleGlobal = { global: 'math.pi' }

function run(bytes: Uint8Array): PickleValue {
  return unpickle(bytes, {
    file: 'made.pkl',
    global: (name) => [sum, named].find(({ global }) => global === name),
    persistent: (id) => {
      calls.push(String(id))
      return id
    },
  })
}

/** Values of the reader as plain data. */
function plain(value: PickleValue): unknown {
  if (value instanceof PickleTuple) return value.items.map(plain)
  if (value instanceof PickleDict)
    return { dict: [...value.entries()].map(([key, entry]) => [plain(key), plain(entry)]) }
  return value
}

function raw(...parts: (string | Uint8Array)[]): Uint8Array {
  return concat(parts.map((part) => (typeof part === 'string' ? Uint8Array.from(part, (c) => c.charCodeAt(0)) : part)))
}

describe('unpickle', () => {
  it('reads what pickles are made of', () => {
    const value: Made = [
      null,
      true,
      false,
      7,
      -7,
      'é',
      [],
      [1],
      { dict: [['key', [2, 3]]] },
      { call: 'math.sum', args: [1, 2, 3] },
    ]
    expect(plain(run(makePickle(value)))).toEqual([
      null,
      true,
      false,
      7,
      -7,
      'é',
      [],
      [1],
      { dict: [['key', [2, 3]]] },
      6,
    ])
    expect(run(makePickle({ persistent: 'storage' }))).toBe('storage')
    expect(calls).toEqual(['storage'])
  })

  it.each<[string, Uint8Array, unknown]>([
    ['small integers', raw('K\u0007.'), 7],
    ['short integers', raw('M\u0001\u0002.'), 513],
    ['longs', raw('\u008a\u0002\u0000\u00ff.'), -256],
    ['an empty long', raw('\u008a\u0000.'), 0],
    ['floats', raw('G', Uint8Array.of(0x3f, 0xf8, 0, 0, 0, 0, 0, 0), '.'), 1.5],
    ['the memo', raw('K\u0005q\u00000h\u0000.'), 5],
    ['the long memo', raw('K\u0005r', fields([4, 70_000]), '0j', fields([4, 70_000]), '.'), 5],
    ['MEMOIZE', raw('K\u0004\u0094K\u0005\u00940h\u0000.'), 4],
    ['frames and short text', raw('\u0080\u0004\u0095', fields([8, 4]), '\u008c\u0002hi.'), 'hi'],
    ['long text', raw('\u008d', fields([8, 2]), 'hi.'), 'hi'],
    ['names on the stack', raw('\u008c\u0004math\u008c\u0003sum\u0093K\u0001K\u0002\u0086R.'), 3],
  ])('reads %s', (_, bytes, expected) => {
    expect(plain(run(bytes))).toEqual(expected)
  })

  it('keeps the order of tuples', () => {
    expect(plain(run(raw('K\u0001K\u0002\u0086.')))).toEqual([1, 2])
    expect(plain(run(raw('K\u0001K\u0002K\u0003\u0087.')))).toEqual([1, 2, 3])
    expect(plain(run(raw('K\u0001\u0085.')))).toEqual([1])
  })

  it.each<[string, Uint8Array, string]>([
    ['a call', makePickle({ call: 'posix.system', args: ['true'] }), 'posix.system'],
    ['a name on the stack', raw('\u008c\u0008builtins\u008c\u0004eval\u0093.'), 'builtins.eval'],
    ['a name with a path in it', raw('cos\nsystem.__call__\n.'), 'os.system.__call__'],
    ['a prototype', raw('c__proto__\nconstructor\n.'), '__proto__.constructor'],
  ])('runs nothing: %s', (_, bytes, wanted) => {
    expect(() => run(bytes)).toThrow(PickleError)
    expect(() => run(bytes)).toThrow(expect.objectContaining({ param: wanted, status: 400 }))
  })

  it.each<[string, Uint8Array, string]>([
    ['an end without a value', raw('.'), 'empty stack'],
    ['no end', raw('K\u0001'), 'ends too early'],
    ['text that is cut off', raw('X', fields([4, 99]), 'hi.'), 'ends too early'],
    ['text of an impossible length', raw('\u008d', fields([8, 2 ** 60]), 'hi.'), 'impossible length'],
    ['text that is not UTF-8', raw('X', fields([4, 1]), '\u00ff.'), 'not UTF-8'],
    ['a mark taken for a value', raw('(.'), 'empty stack'],
    ['a tuple without a mark', raw('K\u0001t.'), 'empty stack'],
    ['a memo that is not there', raw('h\u0000.'), 'never kept'],
    ['a call of what is named only', raw('cmath\npi\n)R.'), 'cannot be called'],
    ['a call of a value', raw('K\u0001)R.'), 'cannot be called'],
    ['a call without a tuple', raw('cmath\nsum\nK\u0001R.'), 'cannot be called'],
    ['items of a tuple', raw(')K\u0001K\u0002s.'), 'not a dict'],
    ['half an item', raw('}(K\u0001u.'), 'not a dict'],
    ['an append to a dict', raw('}K\u0001a.'), 'not a list'],
    ['attributes of a tuple', raw(')}b.'), 'not a dict'],
    ['huge integers', raw('\u008a\u0009123456789.'), '64 bits'],
    ['integers beyond doubles', raw('\u008a\u0008', new Uint8Array(7).fill(255), '\u007f.'), '53 bits'],
    ['a later protocol', raw('\u0080\u0006N.'), 'protocol 6'],
    ['INST', raw('(iposix\nsystem\n.'), 'opcode 0x69'],
    ['OBJ', raw('(cmath\nsum\no.'), 'opcode 0x6f'],
    ['NEWOBJ', raw('cmath\nsum\n)\u0081.'), 'opcode 0x81'],
    ['EXT1', raw('\u0082\u0001.'), 'opcode 0x82'],
    ['PERSID', raw('Pid\n.'), 'opcode 0x50'],
    ['endless steps', raw('N'.repeat(200_000)), 'more than 100000 steps'],
  ])('refuses %s', (_, bytes, says) => {
    expect(() => run(bytes)).toThrow(PickleError)
    expect(() => run(bytes)).toThrow(says)
  })

  it('does not unfold what refers to itself', () => {
    const doubled = raw(')', ...Array.from({ length: 200 }, () => 'q\u0000h\u0000\u0086'), '.')
    expect(run(doubled)).toBeInstanceOf(PickleTuple)
    expect(run(raw(']q\u0000h\u0000a.'))).toBeTypeOf('object')
  })

  it('throws nothing but its own error, whatever the bytes', () => {
    const opcode = fc.constantFrom(
      ...'\u0080\u0095(01N\u0088\u0089KMJ\u008aGX\u008c\u008dBC)t\u0085\u0086\u0087]ae}suc\u0093RbQqr\u0094hj.',
    )
    const piece = fc.oneof(
      {
        weight: 3,
        arbitrary: opcode.map((char) => (text(char).length === 1 ? text(char) : Uint8Array.of(char.charCodeAt(0)))),
      },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }) },
      { weight: 1, arbitrary: fc.constantFrom(text('cmath\nsum\n'), text('cos\nsystem\n'), text('K\u0001')) },
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          run(concat(pieces))
        } catch (error) {
          expect(error).toBeInstanceOf(PickleError)
        }
      }),
      { numRuns: 5000, seed: 12 },
    )
  })
})
