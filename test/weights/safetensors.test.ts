import { describe, expect, it } from 'vitest'
import { openFile } from '../../src/hosts/node/files.ts'
import { readSafetensors, SafetensorsError } from '../../src/weights/safetensors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { reference } from '../fixtures.ts'
import { concat, makeSafetensors, withHeader } from './makeSafetensors.ts'

const read = (bytes: Uint8Array) => readSafetensors(bytesSource('a.safetensors', bytes))

/** A header of one or more entries as text, with `size` bytes of data. */
const header = (entries: string, size: number): Uint8Array => withHeader(`{${entries}}`, new Uint8Array(size))

async function problemOf(bytes: Uint8Array): Promise<string> {
  const error = await read(bytes).then(
    () => expect.fail('was accepted'),
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(SafetensorsError)
  const { message } = error as SafetensorsError
  return message
    .replace('a.safetensors is not a valid safetensors file: ', '')
    .replace('. Download or save it again.', '')
}

describe('readSafetensors', () => {
  it('reads names, dtypes, shapes and absolute offsets, in the order of the bytes', async () => {
    const bytes = makeSafetensors(
      {
        b: { dtype: 'BF16', shape: [2, 3], bytes: new Uint8Array(12).fill(1) },
        'a.weight': { dtype: 'F32', shape: [], bytes: new Uint8Array(4).fill(2) },
        empty: { dtype: 'F16', shape: [0, 7], bytes: new Uint8Array(0) },
      },
      { format: 'pt' },
    )
    const { tensors, metadata } = await read(bytes)
    const dataStart = bytes.byteLength - 16
    expect([...tensors.values()].map(({ source, ...info }) => ({ ...info, source: source.name }))).toEqual(
      [
        { name: 'b', dtype: 'BF16', shape: [2, 3], byteOffset: dataStart, byteLength: 12, source: 'a.safetensors' },
        {
          name: 'empty',
          dtype: 'F16',
          shape: [0, 7],
          byteOffset: dataStart + 16,
          byteLength: 0,
          source: 'a.safetensors',
        },
        {
          name: 'a.weight',
          dtype: 'F32',
          shape: [],
          byteOffset: dataStart + 12,
          byteLength: 4,
          source: 'a.safetensors',
        },
      ].sort((a, b) => a.byteOffset - b.byteOffset),
    )
    expect([...metadata]).toEqual([['format', 'pt']])
  })

  it('reads the entries in any order, padding behind the header, and empty tensors between others', async () => {
    const entries = [
      '"z":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}',
      '"y":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}',
      '"x":{"dtype":"U8","shape":[0],"data_offsets":[3,3]}',
    ]
    const { tensors } = await read(withHeader(`{${entries}}    `, new Uint8Array(5)))
    expect([...tensors.keys()]).toEqual(['y', 'x', 'z'])
  })

  it('accepts a file without tensors', async () => {
    expect((await read(withHeader('{}'))).tensors.size).toBe(0)
  })

  it('takes __proto__ and constructor for what they are: names', async () => {
    const entries = ['__proto__', 'constructor', 'toString'].map(
      (name, i) => `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    )
    const { tensors } = await read(header(entries.join(), 3))
    expect([...tensors.keys()]).toEqual(['__proto__', 'constructor', 'toString'])
    expect(({} as Record<string, unknown>).dtype).toBeUndefined()
  })

  const t = (rest: string, name = 't') => `"${name}":{${rest}}`
  const refusals: [what: string, bytes: Uint8Array, problem: string | RegExp][] = [
    ['an empty file', new Uint8Array(0), 'it has only 0 bytes'],
    ['seven bytes', new Uint8Array(7), 'it has only 7 bytes'],
    ['a header of no bytes', new Uint8Array(8), "its header does not begin with '{'"],
    ['a huge header length', withHeader('{}', undefined, 2n ** 60n), /claims 1152921504606846976 bytes, at most/],
    ['all bits set in the length', withHeader('{}', undefined, 2n ** 64n - 1n), /claims 18446744073709551615/],
    ['a header beyond the end', withHeader('{}', undefined, 3n), 'its header claims 3 bytes, the file has 10'],
    ['a header of 100 MB and a byte', withHeader('{}', undefined, 100_000_001n), /at most 100000000 are read/],
    ['white space before the header', withHeader(' {}'), "its header does not begin with '{'"],
    ['a header that is a list', withHeader('[]'), "its header does not begin with '{'"],
    [
      'bytes that are not UTF-8',
      withHeader(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
      'its header is not UTF-8',
    ],
    ['a cut header', withHeader('{"a":{"dtype"'), /its header is not JSON \(Expected ':' at line 1, column 14\)/],
    ['text behind the header', withHeader('{}{}'), /Unexpected text after the end/],
    [
      'two tensors of one name',
      header(
        `${t('"dtype":"U8","shape":[1],"data_offsets":[0,1]')},${t('"dtype":"U8","shape":[1],"data_offsets":[1,2]')}`,
        2,
      ),
      /Duplicate key "t" at line 1, column \d+/,
    ],
    [
      'two tensors of one name, one escaped',
      header(
        `${t('"dtype":"U8","shape":[1],"data_offsets":[0,1]')},${t('"dtype":"U8","shape":[1],"data_offsets":[1,2]', '\\u0074')}`,
        2,
      ),
      /Duplicate key "t"/,
    ],
    [
      'a field twice',
      header(t('"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]'), 1),
      /Duplicate key "dtype"/,
    ],
    ['an entry that is no object', header('"t":[1]', 1), 'tensor "t": its entry is not an object'],
    [
      'an unknown dtype',
      header(t('"dtype":"Q9","shape":[1],"data_offsets":[0,1]'), 1),
      'tensor "t": unknown dtype "Q9"',
    ],
    [
      'a dtype that an object would inherit',
      header(t('"dtype":"toString","shape":[1],"data_offsets":[0,1]'), 1),
      'tensor "t": unknown dtype "toString"',
    ],
    ['no dtype', header(t('"shape":[1],"data_offsets":[0,1]'), 1), 'tensor "t": unknown dtype undefined'],
    [
      'no shape',
      header(t('"dtype":"U8","data_offsets":[0,1]'), 1),
      'tensor "t": its shape is not a list of whole numbers',
    ],
    [
      'a negative size',
      header(t('"dtype":"U8","shape":[-1,-1],"data_offsets":[0,1]'), 1),
      'tensor "t": its shape is not a list of whole numbers',
    ],
    [
      'a fraction',
      header(t('"dtype":"U8","shape":[0.5,2],"data_offsets":[0,1]'), 1),
      'tensor "t": its shape is not a list of whole numbers',
    ],
    [
      'a size beyond the safe integers',
      header(t('"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]'), 1),
      'tensor "t": its shape is not a list of whole numbers',
    ],
    [
      'a product that overflows',
      header(t('"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]'), 0),
      'tensor "t": shape [4294967296,4294967296] overflows',
    ],
    [
      'an overflow hidden by a zero',
      header(t('"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]'), 0),
      'tensor "t": shape [4294967296,4294967296,0] overflows',
    ],
    [
      'three offsets',
      header(t('"dtype":"U8","shape":[1],"data_offsets":[0,1,1]'), 1),
      'tensor "t": data_offsets is not a pair of whole numbers',
    ],
    [
      'offsets the wrong way round',
      header(t('"dtype":"U8","shape":[1],"data_offsets":[1,0]'), 1),
      'tensor "t": its data ends at 0 before it begins at 1',
    ],
    [
      'a shape that needs more',
      header(t('"dtype":"F32","shape":[2],"data_offsets":[0,4]'), 4),
      'tensor "t": F32 of shape [2] is 8 bytes, its data has 4',
    ],
    [
      'half a byte left of four-bit elements',
      header(t('"dtype":"F4","shape":[3],"data_offsets":[0,2]'), 2),
      'tensor "t": F4 of shape [3] is 1.5 bytes, its data has 2',
    ],
    [
      'a hole at the start',
      header(t('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), 2),
      'tensor "t": its data begins at 1, the one before ends at 0',
    ],
    [
      'an overlap',
      header(
        `${t('"dtype":"U8","shape":[2],"data_offsets":[0,2]')},${t('"dtype":"U8","shape":[2],"data_offsets":[1,3]', 'u')}`,
        3,
      ),
      'tensor "u": its data begins at 1, the one before ends at 2',
    ],
    [
      'data behind the end',
      header(t('"dtype":"U8","shape":[9],"data_offsets":[0,9]'), 7),
      /tensor "t": its data ends 2 bytes behind the end of the file/,
    ],
    [
      'bytes of no tensor',
      header(t('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), 3),
      '2 bytes at its end belong to no tensor',
    ],
    ['metadata that is no object', withHeader('{"__metadata__":"pt"}'), '__metadata__ is not an object'],
    ['metadata that is not text', withHeader('{"__metadata__":{"format":1}}'), '__metadata__.format is not a string'],
    ['deep nesting', withHeader(`{"t":${'['.repeat(100_000)}`), /Nested deeper than 64 levels/],
  ]
  it.each(refusals)('refuses %s', async (_, bytes, problem) => {
    const found = await problemOf(bytes)
    if (typeof problem === 'string') expect(found).toBe(problem)
    else expect(found).toMatch(problem)
  })

  it('names the tensor, else the file, as the parameter', async () => {
    await expect(read(header(t('"dtype":"Q9","shape":[1],"data_offsets":[0,1]'), 1))).rejects.toMatchObject({
      code: 'safetensors_invalid',
      status: 400,
      param: 't',
      file: 'a.safetensors',
    })
    await expect(read(new Uint8Array(3))).rejects.toMatchObject({ param: 'a.safetensors', tensor: null })
  })

  it('counts elements narrower than a byte', async () => {
    const { tensors } = await read(concat([header(t('"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]'), 3)]))
    expect(tensors.get('t')?.byteLength).toBe(3)
  })

  // Adapters of the reference whose weights file itself is broken; what else is refused is for lora/ to notice.
  const broken =
    'dtype-unknown empty-file header-length-huge header-length-short offsets-outside offsets-overlap shape-against-bytes shape-overflow truncated truncated-header'
  it.each(broken.split(' '))('refuses the reference file %s', async (name) => {
    const source = await openFile(reference(`refused/${name}/adapter_model.safetensors`))
    await expect(readSafetensors(source)).rejects.toBeInstanceOf(SafetensorsError)
    await source.close()
  })

  it.each(['nan', 'proto-names', 'path-like-names', 'integer-weights'])('reads the reference file %s', async (name) => {
    const source = await openFile(reference(`refused/${name}/adapter_model.safetensors`))
    expect((await readSafetensors(source)).tensors.size).toBeGreaterThan(0)
    await source.close()
  })
})
