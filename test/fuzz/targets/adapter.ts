/** Whole adapters, in every format that is read. */
import { gzipSync } from 'node:zlib'
import { readAdapter } from '../../../src/lora/readAdapter.ts'
import { BOTH_Q, f32, loraTensors, Q_CONFIG, TINY, tensorName } from '../../lora/makeAdapter.ts'
import { concat, type MadeTensor, makeSafetensors } from '../../weights/makeSafetensors.ts'
import { makeTar } from '../../weights/makeTar.ts'
import { makeTorch, torchTensor } from '../../weights/makeTorch.ts'
import type { Dice } from '../dice.ts'
import { mutateBytes } from '../mutate.ts'
import { type Files, must, type Target, text } from '../target.ts'
import { adapterConfig, adapterConfigText, HEAVY_CONFIGS } from './config.ts'
import { withSums } from './tar.ts'
import { nemoYaml } from './yaml.ts'

const PREFIX = 'base_model.model.'
const STRANGE: readonly string[] = [
  ...[
    `${PREFIX}model.layers.0.self_attn.q_proj.lora_A.default.weight`,
    `${PREFIX}model.layers.7.self_attn.q_proj.lora_A.weight`,
  ],
  ...[`${PREFIX}model.embed_tokens.lora_embedding_A`, `${PREFIX}lm_head.weight`, `${PREFIX}model.norm.weight`, 'x', ''],
  ...[
    `${PREFIX}model.layers.0.self_attn.q_proj.lora_magnitude_vector`,
    `${PREFIX}model.layers.0.self_attn.q_proj.lora_diag`,
  ],
  `${PREFIX}${'.'.repeat(400)}.lora_A.weight`,
]

/** Tensors of a small adapter; with a fault or two unless it is to be honest. */
function tensors(dice: Dice, isHonest: boolean): Record<string, MadeTensor> {
  const made: Record<string, MadeTensor> = loraTensors(dice.chance(0.5) ? BOTH_Q : [[0, 'q']])
  for (let faults = isHonest ? 0 : dice.small(1, 2); faults > 0; faults--) {
    const name = dice.pick(Object.keys(made))
    const tensor = made[name] ?? f32([2, 8])
    switch (dice.integer(5)) {
      case 0:
        delete made[name]
        break
      case 1:
        made[dice.pick(STRANGE)] = f32(dice.pick([[2, 8], [8], [8, 2], [0], [32, 8]]))
        break
      case 2:
        made[name] = f32(dice.list(dice.small(0, 3), () => dice.small(0, 9)))
        break
      case 3: // NaN, or bits that are something else in another type
        made[name] = { ...tensor, bytes: tensor.bytes.slice().fill(255, 0, 4) }
        break
      default:
        made[name] = { ...tensor, dtype: dice.pick(['I32', 'U32', 'F32']) }
    }
    if (Object.keys(made).length === 0) break
  }
  return made
}

/** The same tensors as torch.save would write them. */
function asTorch(made: Readonly<Record<string, MadeTensor>>, isTransposed = false): Uint8Array {
  const all = Object.entries(made)
  return makeTorch(
    {
      dict: all.map(
        ([name, { shape }], i) =>
          [name, torchTensor({ shape, storage: `${i}`, ...(isTransposed && { strides: [1, shape[0]!] }) })] as const,
      ),
    },
    Object.fromEntries(all.map(([, { bytes }], i) => [`${i}`, bytes])),
  )
}

const NEMO = 'model.decoder.layers.0.self_attention.adapter_layer.lora_kqv_adapter.linear_'

function nemo(dice: Dice): Uint8Array {
  const made: Record<string, MadeTensor> = { [`${NEMO}in.weight`]: f32([2, 8]), [`${NEMO}out.weight`]: f32([16, 2]) }
  if (dice.chance(0.3)) made[dice.pick([`${NEMO}in.bias`, `${NEMO}out.weight`, 'x'])] = f32([dice.small(0, 9), 2])
  const weights = asTorch(made)
  return makeTar([
    { name: dice.pick(['./model_config.yaml', './model_config.yaml', 'x.yaml']), bytes: text(nemoYaml(dice)) },
    {
      name: dice.pick(['./model_weights.ckpt', './model_weights.ckpt', 'tp_rank_00/model_weights.ckpt']),
      bytes: dice.chance(0.3) ? mutateBytes(dice, weights) : weights,
    },
  ])
}

function make(dice: Dice): Files {
  const kind = dice.next()
  if (kind < 0.25) {
    const honest = nemo(dice)
    const archive = dice.chance(0.3) ? withSums(mutateBytes(dice, honest)) : honest
    if (dice.chance(0.7)) return { 'adapter.nemo': archive }
    const packed = new Uint8Array(gzipSync(archive))
    return { 'adapter.nemo': dice.chance(0.5) ? mutateBytes(dice, packed, packed, 2) : packed }
  }
  const isHonest = dice.chance(0.5)
  const config =
    isHonest && dice.chance(0.6)
      ? JSON.stringify({ ...Q_CONFIG, ...dice.pick([{}, dice.chance(0.5) ? adapterConfig(dice) : {}]) })
      : adapterConfigText(dice)
  const made = tensors(dice, isHonest)
  const spoil = (bytes: Uint8Array): Uint8Array => (dice.chance(0.25) ? mutateBytes(dice, bytes) : bytes)
  const weights: Files =
    kind < 0.6
      ? { 'adapter_model.safetensors': spoil(makeSafetensors(made)) }
      : { 'adapter_model.bin': spoil(asTorch(made)) }
  return { ...(dice.chance(0.97) && { 'adapter_config.json': text(config) }), ...(dice.chance(0.98) && weights) }
}

const MIB = 1024 * 1024
/** A base whose adapters are large. */
const WIDE = { ...TINY, hiddenSize: 4096, numHeads: 32, numKvHeads: 32, headDim: 128 }
const RANK = 512

const zeros = (shape: readonly [number, number]): MadeTensor => ({
  dtype: 'F32',
  shape,
  bytes: new Uint8Array(shape[0] * shape[1] * 4),
})

/** Zeros, 8 MiB for each side of a module of rank 512. */
function wideTensors(): Record<string, MadeTensor> {
  return Object.fromEntries(
    [0, 1].flatMap((layer) => [
      [tensorName(layer, 'q', 'A'), zeros([RANK, 4096])] as const,
      [tensorName(layer, 'q', 'B'), zeros([4096, RANK])] as const,
    ]),
  )
}

const WIDE_CONFIG = text(JSON.stringify({ ...Q_CONFIG, r: RANK }))

/** Honest ones, in each format: what holds them may not hold much else. */
const WIDE_ADAPTERS: readonly (() => Files)[] = [
  () => ({ 'adapter_config.json': WIDE_CONFIG, 'adapter_model.safetensors': makeSafetensors(wideTensors()) }),
  () => ({ 'adapter_config.json': WIDE_CONFIG, 'adapter_model.bin': asTorch(wideTensors()) }),
  () => ({ 'adapter_config.json': WIDE_CONFIG, 'adapter_model.bin': asTorch(wideTensors(), true) }),
  () => ({ 'adapter.nemo': wideNemo() }),
  () => packed(wideNemo()),
]

function wideNemo(): Uint8Array {
  const weights = asTorch({ [`${NEMO}in.weight`]: zeros([RANK, 4096]), [`${NEMO}out.weight`]: zeros([3 * 4096, RANK]) })
  const config = text(`peft:\n  peft_scheme: lora\n  lora_tuning:\n    adapter_dim: ${RANK}\n`)
  return makeTar([
    { name: 'model_config.yaml', bytes: config },
    { name: 'model_weights.ckpt', bytes: weights },
  ])
}

const packed = (archive: Uint8Array): Files => ({ 'adapter.nemo': new Uint8Array(gzipSync(archive, { level: 1 })) })

/** Small files that unpack to much. */
const GZIP_BOMBS: readonly (() => Files)[] = [
  () => packed(new Uint8Array(64 * MIB)),
  () => packed(new Uint8Array(64 * MIB).fill(65)),
  () => packed(makeTar([{ name: 'model_config.yaml', bytes: new Uint8Array(64 * MIB) }])),
  () => packed(makeTar([{ name: 'model_config.yaml' }, { name: 'x', size: 2 ** 32 }])),
  () => packed(concat([makeTar([{ name: 'model_config.yaml' }]), new Uint8Array(64 * MIB)])),
  () =>
    packed(concat(Array.from({ length: 20 }, () => makeTar([{ name: 'x', bytes: new Uint8Array(3 * MIB) }], false)))),
  () => packed(makeTar(Array.from({ length: 30_000 }, (_, i) => ({ name: `${i}` })))),
]

export const adapter: Target = {
  name: 'adapter',
  make,
  heavy: [
    ...WIDE_ADAPTERS,
    ...GZIP_BOMBS,
    ...HEAVY_CONFIGS.map((config) => () => ({
      ...config(),
      'adapter_model.safetensors': makeSafetensors(loraTensors(BOTH_Q, 8)),
    })),
  ],
  async run(reading) {
    const bytes = Object.values(reading.files).reduce((sum, file) => sum + file.byteLength, 0)
    const { adapter: read } = await readAdapter(reading.folder(), bytes > 64 * 1024 ? WIDE : TINY, { maxRank: 512 })
    must(/^[0-9a-f]{64}$/.test(read.digest), 'a digest that is none')
    let held = 0
    for (const { a, b, rank, scale } of read.modules) {
      must(
        a.shape[0] === rank && b.shape[1] === rank && Number.isFinite(scale),
        'a module whose rank is not its tensors’',
      )
      held += a.bytes.byteLength + b.bytes.byteLength
    }
    must(read.maxRank <= 512, 'a rank beyond the limit')
    const isPacked = reading.files['adapter.nemo']?.[0] === 0x1f
    must(isPacked || read.byteLength <= bytes, 'more bytes than its files')
    // A compressed archive is there beside what is read out of it.
    return Math.min(held, read.byteLength) * (isPacked ? 2 : 1)
  },
}
