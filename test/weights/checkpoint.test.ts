import { describe, expect, it } from 'vitest'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { CheckpointError, openCheckpoint } from '../../src/weights/checkpoint.ts'
import { ConfigError } from '../../src/weights/config.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { SafetensorsError } from '../../src/weights/safetensors.ts'
import { SourceError } from '../../src/weights/source.ts'
import { readTensor } from '../../src/weights/tensorData.ts'
import { reference } from '../fixtures.ts'
import { makeSafetensors } from './makeSafetensors.ts'

const tensor = (value: number) => ({ dtype: 'U8', shape: [2], bytes: new Uint8Array([value, value]) })
const index = (weightMap: unknown): string => JSON.stringify({ metadata: { total_size: 4 }, weight_map: weightMap })

const shards = {
  'one.safetensors': makeSafetensors({ a: tensor(1), b: tensor(2) }),
  'two.safetensors': makeSafetensors({ c: tensor(3) }),
}
const map = { a: 'one.safetensors', b: 'one.safetensors', c: 'two.safetensors' }

/** Counts what is open, so that a failure which leaves a file open is seen. */
function counted(folder: Folder): Folder & { open: Folder['open']; numOpen: number } {
  const counting = {
    ...folder,
    numOpen: 0,
    async open(path: string) {
      const source = await folder.open(path)
      counting.numOpen++
      const close = source.close.bind(source)
      let closed = false
      source.close = async () => {
        if (!closed) counting.numOpen--
        closed = true
        await close()
      }
      return source
    },
  }
  return counting
}

describe('openCheckpoint', () => {
  it('reads a single file', async () => {
    const folder = counted(memoryFolder('m', { 'model.safetensors': makeSafetensors({ a: tensor(7) }) }))
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.byteLength).toBe(2)
    expect([...(await readTensor(checkpoint.tensors.get('a')!))]).toEqual([7, 7])
    await checkpoint.close()
    expect(folder.numOpen).toBe(0)
    await expect(readTensor(checkpoint.tensors.get('a')!)).rejects.toThrow('is closed')
  })

  it('reads shards as one', async () => {
    const folder = counted(memoryFolder('m', { ...shards, 'model.safetensors.index.json': index(map) }))
    const checkpoint = await openCheckpoint(folder)
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b', 'c'])
    expect([...(await readTensor(checkpoint.tensors.get('c')!))]).toEqual([3, 3])
    await checkpoint.close()
    expect(folder.numOpen).toBe(0)
  })

  it('keeps tensors that the index does not list', async () => {
    const { b, ...rest } = map
    const folder = memoryFolder('m', { ...shards, 'model.safetensors.index.json': index(rest) })
    expect((await openCheckpoint(folder)).tensors.has('b')).toBe(true)
  })

  it('prefers the single file, as transformers does', async () => {
    const files = { ...shards, 'model.safetensors.index.json': index(map), 'model.safetensors': makeSafetensors({}) }
    expect((await openCheckpoint(memoryFolder('m', files))).tensors.size).toBe(0)
  })

  const bad: [
    what: string,
    files: Record<string, string | Uint8Array>,
    error: new (...args: never[]) => Error,
    message: string,
  ][] = [
    ['no weights at all', {}, CheckpointError, 'm has neither model.safetensors nor model.safetensors.index.json'],
    [
      'a missing shard',
      { 'one.safetensors': shards['one.safetensors'], 'model.safetensors.index.json': index(map) },
      CheckpointError,
      'm lacks two.safetensors',
    ],
    [
      'a tensor in another shard',
      { ...shards, 'model.safetensors.index.json': index({ ...map, c: 'one.safetensors' }) },
      CheckpointError,
      'says that c is in one.safetensors, but it is not',
    ],
    [
      'a tensor in two shards',
      {
        ...shards,
        'two.safetensors': makeSafetensors({ c: tensor(3), a: tensor(4) }),
        'model.safetensors.index.json': index(map),
      },
      CheckpointError,
      'a is in two.safetensors and in another shard',
    ],
    [
      'a shard that is broken',
      { ...shards, 'two.safetensors': new Uint8Array(9), 'model.safetensors.index.json': index(map) },
      SafetensorsError,
      'm/two.safetensors is not a valid safetensors file',
    ],
    [
      'a shard outside the folder',
      { ...shards, 'model.safetensors.index.json': index({ a: '../one.safetensors' }) },
      SourceError,
      '"../one.safetensors" is not a plain path',
    ],
    [
      'an absolute shard',
      { 'model.safetensors.index.json': index({ a: '/etc/passwd' }) },
      SourceError,
      '"/etc/passwd" is not a plain path',
    ],
    [
      'a shard that is no string',
      { 'model.safetensors.index.json': index({ a: 1 }) },
      CheckpointError,
      'weight_map.a must be the name of a file',
    ],
    ['no weight map', { 'model.safetensors.index.json': '{}' }, CheckpointError, 'weight_map must be an object'],
    ['an empty weight map', { 'model.safetensors.index.json': index({}) }, CheckpointError, 'weight_map is empty'],
    [
      'an index that is no JSON',
      { 'model.safetensors.index.json': '{"weight_map":{' },
      ConfigError,
      'model.safetensors.index.json is not valid JSON: Expected a key in double quotes at line 1, column 16',
    ],
    [
      'a tensor twice in the index',
      { 'model.safetensors.index.json': '{"weight_map":{"a":"x","a":"y"}}' },
      ConfigError,
      'Duplicate key "a"',
    ],
  ]
  it.each(bad)('refuses %s and leaves nothing open', async (_, files, type, message) => {
    const folder = counted(memoryFolder('m', files))
    const error = await openCheckpoint(folder).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(type)
    expect((error as Error).message).toContain(message)
    expect(folder.numOpen).toBe(0)
  })

  it('reads the sharded reference model: the same bytes as the single file', async () => {
    const whole = await openCheckpoint(directoryFolder(reference('models/llama-tiny')))
    const sharded = await openCheckpoint(directoryFolder(reference('models/llama-tiny-sharded')))
    expect([...sharded.tensors.keys()].sort()).toEqual([...whole.tensors.keys()].sort())
    expect(sharded.byteLength).toBe(whole.byteLength)
    for (const [name, tensor] of whole.tensors) {
      const other = sharded.tensors.get(name)!
      expect(other.shape).toEqual(tensor.shape)
      expect(Buffer.compare(await readTensor(other), await readTensor(tensor))).toBe(0)
    }
    await whole.close()
    await sharded.close()
  })

  it('stops when it is aborted', async () => {
    const folder = directoryFolder(reference('models/llama-tiny'))
    await expect(openCheckpoint(folder, AbortSignal.abort())).rejects.toThrow('abort')
  })
})
