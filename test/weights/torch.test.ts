import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { readTensor } from '../../src/weights/tensorData.ts'
import { readTorch } from '../../src/weights/torch.ts'
import { reference } from '../fixtures.ts'
import { sha256, TORCH_FILES } from '../lora/referenceAdapters.ts'
import { type Made, makePickle, makeTorch, makeZip, text, torchTensor } from './makeTorch.ts'

function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}

/** Names to [dtype, shape, values or bytes]. */
async function read(bytes: Uint8Array): Promise<Record<string, unknown>> {
  const tensors = await readTorch(bytesSource('made.bin', bytes))
  const out: Record<string, unknown> = {}
  for (const [name, tensor] of tensors) {
    const data = await readTensor(tensor)
    out[name] = [
      tensor.dtype,
      tensor.shape,
      tensor.dtype === 'F32' ? [...new Float32Array(data.slice().buffer)] : [...data],
    ]
  }
  return out
}

function dict(entries: Readonly<Record<string, Made>>): Made {
  return { dict: Object.entries(entries) }
}

describe('readTorch', () => {
  it.each(Object.keys(TORCH_FILES).filter((path) => path.endsWith('.bin')))('reads %s as Python does', async (path) => {
    const found: Record<string, unknown> = {}
    for (const [name, tensor] of await readTorch(bytesSource(path, readFileSync(reference(path))))) {
      found[name] = { dtype: tensor.dtype, shape: tensor.shape, sha256: sha256(await readTensor(tensor)) }
    }
    expect(found).toEqual(TORCH_FILES[path])
  })

  it('reads views of storages', async () => {
    const storage = floats(0, 1, 2, 3, 4, 5)
    const value = dict({
      whole: torchTensor({ shape: [2, 3] }),
      row: torchTensor({ shape: [1, 3], offset: 3, length: 6 }),
      transposed: torchTensor({ shape: [3, 2], strides: [1, 3] }),
      cube: torchTensor({ shape: [1, 2, 3], strides: [99, 1, 2] }),
      scalar: torchTensor({ shape: [], offset: 5, length: 6 }),
      none: torchTensor({ shape: [0, 4], length: 6 }),
      parameter: { call: 'torch._utils._rebuild_parameter', args: [torchTensor({ shape: [6] }), true, null] },
      half: torchTensor({ shape: [2], storage: '1', type: 'torch.HalfStorage' }),
    })
    expect(await read(makeTorch(value, { 0: storage, 1: Uint8Array.of(1, 2, 3, 4) }))).toEqual({
      whole: ['F32', [2, 3], [0, 1, 2, 3, 4, 5]],
      row: ['F32', [1, 3], [3, 4, 5]],
      transposed: ['F32', [3, 2], [0, 3, 1, 4, 2, 5]],
      cube: ['F32', [1, 2, 3], [0, 2, 4, 1, 3, 5]],
      scalar: ['F32', [], [5]],
      none: ['F32', [0, 4], []],
      parameter: ['F32', [6], [0, 1, 2, 3, 4, 5]],
      half: ['F16', [2], [1, 2, 3, 4]],
    })
  })

  it('reads a state dict with attributes', async () => {
    const raw = makePickle(dict({ x: torchTensor({ shape: [1] }) })).slice(2, -1)
    const built: Made = { raw: Uint8Array.from([...raw, ...text('}b')]) }
    expect(await read(makeTorch(built, { 0: floats(4) }))).toEqual({ x: ['F32', [1], [4]] })
  })

  it.each<[string, Made, string]>([
    ['a list', [1, 2], 'does not hold a dict'],
    ['a number in the dict', dict({ x: 1 }), 'is no tensor'],
    ['a nested dict', dict({ state_dict: dict({}) }), 'is no tensor'],
    ['a key that is no text', { dict: [[1, 2]] }, 'a key that is no text'],
    [
      'a storage that is not there',
      dict({ x: torchTensor({ shape: [6], storage: '9' }) }),
      'data/9, which is not there',
    ],
    ['a storage elsewhere', dict({ x: torchTensor({ shape: [6], storage: '../byteorder' }) }), 'which is not there'],
    ['a storage of another size', dict({ x: torchTensor({ shape: [7] }) }), 'has 24 bytes'],
    ['a shape beyond the storage', dict({ x: torchTensor({ shape: [7], length: 6 }) }), 'more than its storage holds'],
    ['an offset beyond the storage', dict({ x: torchTensor({ shape: [3], offset: 4, length: 6 }) }), 'reaches beyond'],
    ['strides beyond the storage', dict({ x: torchTensor({ shape: [2, 3], strides: [4, 1] }) }), 'reaches beyond'],
    ['repeated elements', dict({ x: torchTensor({ shape: [2], strides: [0], length: 6 }) }), 'cut or repeated'],
    ['a repeated diagonal', dict({ x: torchTensor({ shape: [2, 3], strides: [1, 1], length: 6 }) }), 'cut or repeated'],
    ['columns cut out', dict({ x: torchTensor({ shape: [2, 2], strides: [3, 1], length: 6 }) }), 'cut or repeated'],
    ['negative sizes', dict({ x: torchTensor({ shape: [-2, -3], length: 6 }) }), 'cannot be'],
    ['sizes and strides that differ', dict({ x: torchTensor({ shape: [2, 3], strides: [1] }) }), 'cannot be'],
    [
      'overflowing sizes',
      dict({ x: torchTensor({ shape: Array(9).fill(2 ** 31 - 1), length: 6 }) }),
      'more than its storage',
    ],
    ['65 dimensions', dict({ x: torchTensor({ shape: Array(65).fill(1), length: 6 }) }), 'cannot be'],
    ['negated tensors', dict({ x: torchTensor({ shape: [6], metadata: dict({ neg: true }) }) }), 'metadata'],
    ['an unknown storage', dict({ x: torchTensor({ shape: [6], type: 'torch.QInt8Storage' }) }), 'torch.QInt8Storage'],
    ['a subclass', dict({ x: { call: 'torch._tensor._rebuild_from_type_v2', args: [] } }), '_rebuild_from_type_v2'],
    ['a parameter of nothing', dict({ x: { call: 'torch._utils._rebuild_parameter', args: [] } }), 'parameter'],
    ['a tensor of nothing', dict({ x: { call: 'torch._utils._rebuild_tensor_v2', args: [] } }), 'cannot be'],
    ['a persistent id of nothing', { persistent: 'x' }, 'not a storage'],
    ['a call', dict({ x: { call: 'os.system', args: ['true'] } }), 'nothing of it was run'],
  ])('refuses %s', async (_, value, says) => {
    const outcome = read(makeTorch(value, { 0: floats(0, 1, 2, 3, 4, 5) }))
    await expect(outcome).rejects.toThrow(LorikeetError)
    await expect(outcome).rejects.toThrow(says)
  })

  it.each<[string, Uint8Array, string]>([
    ['what is no archive', text('\u0080\u0002legacy pickles begin like this'), 'before PyTorch 1.6'],
    ['nothing', new Uint8Array(0), 'not a zip archive'],
    ['an archive without data.pkl', makeZip([{ name: 'a/b', bytes: text('') }]), '0 data.pkl'],
    [
      'two data.pkl',
      makeZip(['a', 'b'].map((root) => ({ name: `${root}/data.pkl`, bytes: text('N.') }))),
      '2 data.pkl',
    ],
    [
      'TorchScript',
      makeZip(['data.pkl', 'constants.pkl'].map((name) => ({ name: `a/${name}`, bytes: text('N.') }))),
      'TorchScript',
    ],
    [
      'big-endian numbers',
      makeZip([
        { name: 'a/data.pkl', bytes: makePickle({ dict: [] }) },
        { name: 'a/byteorder', bytes: text('big') },
      ]),
      'byte order',
    ],
    ['a huge pickle', makeZip([{ name: 'a/data.pkl', bytes: new Uint8Array(5_000_000) }]), '5000000 bytes'],
  ])('refuses %s', async (_, bytes, says) => {
    const outcome = read(bytes)
    await expect(outcome).rejects.toThrow(LorikeetError)
    await expect(outcome).rejects.toThrow(says)
  })

  it('refuses a storage that is more under many names than the file has', async () => {
    const tensors = (count: number) =>
      dict(Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, torchTensor({ shape: [20_000] })])))
    const storage = { 0: new Uint8Array(80_000) }
    expect(Object.keys(await read(makeTorch(tensors(1), storage)))).toHaveLength(1)
    await expect(read(makeTorch(tensors(2), storage))).rejects.toThrow('more than the file')
  })

  it('puts a storage of several pieces in order, whole and in part', async () => {
    // Axes in the storage: 700 of 3 of 250, which are the tensor's 1, 2 and 0.
    const [a, b, c] = [700, 3, 250]
    const values = Float32Array.from({ length: a * b * c }, (_, i) => i)
    const tensor = torchTensor({ shape: [c, a, b], strides: [1, b * c, c] })
    const file = makeTorch(dict({ tensor }), { 0: new Uint8Array(values.buffer) })
    const found = (await readTorch(bytesSource('made.bin', file))).get('tensor')!
    const expected = new Float32Array(a * b * c)
    for (let z = 0; z < c; z++) {
      for (let x = 0; x < a; x++) for (let y = 0; y < b; y++) expected[(z * a + x) * b + y] = (x * b + y) * c + z
    }
    const bytes = await readTensor(found)
    expect(bytes.byteLength).toBe(2_100_000)
    expect(Buffer.compare(bytes, new Uint8Array(expected.buffer))).toBe(0)
    const part = await found.source.read(4001, 10_007)
    expect(Buffer.compare(part, new Uint8Array(expected.buffer, 4001, 10_007))).toBe(0)
  })

  it('answers changed files with tensors or typed errors', async () => {
    const whole = new Uint8Array(readFileSync(reference('adapters/llama-tiny/bin-f16/adapter_model.bin')))
    // The pickle and the directory, where a change can matter.
    const place = fc.oneof(fc.nat(2200), fc.integer({ min: whole.length - 3500, max: whole.length - 1 }))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 3 }), async (changes) => {
        const bytes = whole.slice()
        for (const [at, value] of changes) bytes[at] = value
        await readTorch(bytesSource('changed.bin', bytes)).catch((error: unknown) => {
          if (!(error instanceof LorikeetError)) throw error
        })
      }),
      { numRuns: 2000, seed: 13 },
    )
  })
})
