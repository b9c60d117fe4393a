/** Adapters that PEFT, PyTorch and NeMo wrote, with a few bytes changed where it matters, or with each other's files. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readAdapter } from '../../../src/lora/readAdapter.ts'
import { readModelSpec } from '../../../src/model/config.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { concat } from '../../weights/makeSafetensors.ts'
import type { Dice } from '../dice.ts'
import { mutateBytes, mutateText } from '../mutate.ts'
import { type Files, must, type Target, text } from '../target.ts'
import { CONFIG_TOKENS } from './config.ts'
import { withSums } from './tar.ts'

/** Below the folder that the script and the tests are started in: a bundle lies elsewhere. */
const FIXTURES = 'test/fixtures/reference'
const FOLDERS = [
  ...['adapters/llama-tiny/r1', 'adapters/llama-tiny/bin-f16', 'adapters/llama-tiny/dora-rank-pattern'],
  ...['adapters/llama-tiny/bias-all', 'adapters/llama-tiny/trainable-tokens', 'adapters/llama-tiny/layer-replication'],
  ...['adapters/llama-tiny/regex-targets', 'refused/pickle-call', 'refused/proto-names', 'refused/offsets-overlap'],
]
const ARCHIVES = ['adapters/llama-tiny/nemo-language-model.nemo', 'refused/nemo-path-traversal.nemo']
/** At either end of a file lies what says where everything else is. */
const END_BYTES = 4096

interface Shelf {
  readonly spec: ModelSpec
  readonly adapters: readonly Files[]
}

function readShelf(): Shelf {
  const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(join(FIXTURES, path)))
  const folders = FOLDERS.map((folder) =>
    Object.fromEntries(readdirSync(join(FIXTURES, folder)).map((file) => [file, bytes(`${folder}/${file}`)])),
  )
  return {
    spec: readModelSpec(JSON.parse(readFileSync(join(FIXTURES, 'models/llama-tiny/config.json'), 'utf8'))),
    adapters: [...folders, ...ARCHIVES.map((path) => ({ 'adapter.nemo': bytes(path) }))],
  }
}

const { spec, adapters } = readShelf()

function spoil(dice: Dice, name: string, bytes: Uint8Array): Uint8Array {
  if (name.endsWith('.json')) return text(mutateText(dice, new TextDecoder().decode(bytes), CONFIG_TOKENS))
  const end = Math.min(END_BYTES, bytes.length)
  const [head, body, tail] = [
    bytes.subarray(0, end),
    bytes.subarray(end, -end),
    bytes.subarray(Math.max(end, bytes.length - end)),
  ]
  const spoilt = dice.chance(0.5)
    ? concat([mutateBytes(dice, head, tail, 2), body, tail])
    : concat([head, body, mutateBytes(dice, tail, head, 2)])
  return name.endsWith('.nemo') && dice.chance(0.7) ? withSums(spoilt) : spoilt
}

export const real: Target = {
  name: 'real',
  make(dice) {
    const files = { ...dice.pick(adapters), ...(dice.chance(0.05) && dice.pick(adapters)) }
    if (dice.chance(0.1)) return files
    const name = dice.pick(Object.keys(files))
    return { ...files, [name]: spoil(dice, name, files[name]!) }
  },
  heavy: [],
  async run(reading) {
    const { adapter } = await readAdapter(reading.folder(), spec, { maxRank: 512 })
    must(
      adapter.byteLength <= Object.values(reading.files).reduce((sum, file) => sum + file.byteLength, 0),
      'more bytes than its files',
    )
    return adapter.byteLength
  },
}
