import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import type { LoraModule, LoraPart, LoraTensor, LoraVector } from '../../src/lora/normal.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { PROJECTION_MODULES } from '../../src/model/spec.ts'
import {
  PEFT_ADAPTERS,
  REFUSED_FOLDERS,
  readReferenceJson,
  referenceFolder,
  referenceSpec,
  referenceTensors,
  sha256,
} from './referenceAdapters.ts'

const Q1 = 'base_model.model.model.layers.1.self_attn.q_proj.lora_'

/** Adapters that must be refused: code and the field, tensor or file that the error names. */
const REFUSED: Readonly<Record<string, readonly [code: string, param: string | RegExp]>> = {
  'alpha-not-a-number': ['adapter_config_invalid', 'lora_alpha'],
  'b-without-a': ['adapter_tensor_missing', `${Q1}A.weight`],
  'config-is-list': ['adapter_config_invalid', 'adapter_config.json'],
  'config-not-json': ['adapter_config_invalid', 'adapter_config.json'],
  'dora-without-magnitude': ['adapter_tensor_missing', /lora_magnitude_vector$/],
  'dtype-unknown': ['safetensors_invalid', `${Q1}A.weight`],
  'empty-file': ['safetensors_invalid', /adapter_model\.safetensors$/],
  'header-length-huge': ['safetensors_invalid', /adapter_model\.safetensors$/],
  'header-length-short': ['safetensors_invalid', /adapter_model\.safetensors$/],
  ia3: ['adapter_unsupported', 'peft_type'],
  inf: ['adapter_not_finite', `${Q1}B.weight`],
  'init-corda': ['adapter_changed_base', 'init_lora_weights'],
  'init-loftq': ['adapter_changed_base', 'init_lora_weights'],
  'init-olora': ['adapter_changed_base', 'init_lora_weights'],
  'init-pissa-niter-4': ['adapter_changed_base', 'init_lora_weights'],
  'integer-weights': ['adapter_dtype_unsupported', /lora_A\.weight$/],
  kasa: ['adapter_changed_base', 'kasa_config'],
  loha: ['adapter_unsupported', 'peft_type'],
  lokr: ['adapter_unsupported', 'peft_type'],
  nan: ['adapter_not_finite', `${Q1}A.weight`],
  'no-config': ['adapter_config_missing', 'adapter_config.json'],
  'no-peft-type': ['adapter_config_invalid', 'peft_type'],
  'no-weights': ['adapter_weights_missing', 'adapter_model.safetensors'],
  'offsets-outside': ['safetensors_invalid', /layers\.1\.self_attn\.q_proj\.lora_[AB]\.weight$/],
  'offsets-overlap': ['safetensors_invalid', /lora_[AB]\.weight$/],
  'other-base': ['adapter_shape_mismatch', /lora_A\.weight$/],
  'path-like-names': ['adapter_tensor_unexpected', '../../../etc/passwd'],
  'pickle-call': ['pickle_refused', 'posix.system'],
  'pickle-truncated': ['zip_invalid', /adapter_model\.bin$/],
  pissa: ['adapter_changed_base', 'init_lora_weights'],
  'proto-names': ['adapter_tensor_unexpected', '__proto__'],
  'r-against-tensors': ['adapter_rank_mismatch', /lora_A\.weight$/],
  'r-negative': ['adapter_config_invalid', 'r'],
  'r-zero': ['adapter_config_invalid', 'r'],
  'rank-differs-between-a-and-b': ['adapter_rank_mismatch', `${Q1}B.weight`],
  'shape-against-bytes': ['safetensors_invalid', `${Q1}A.weight`],
  'shape-overflow': ['safetensors_invalid', `${Q1}A.weight`],
  'target-regex-broken': ['adapter_pattern_invalid', 'target_modules'],
  truncated: ['safetensors_invalid', /./],
  'truncated-header': ['safetensors_invalid', /adapter_model\.safetensors$/],
  'unknown-module': ['adapter_tensor_unexpected', /layers\.7\.self_attn\.q_proj/],
  'unknown-peft-type': ['adapter_unsupported', 'peft_type'],
  'unknown-target': ['adapter_target_invalid', 'target_modules'],
  vera: ['adapter_unsupported', 'peft_type'],
}

const NORM_MODULES = {
  input: 'input_layernorm',
  post: 'post_attention_layernorm',
  q: 'self_attn.q_norm',
  k: 'self_attn.k_norm',
  final: 'norm',
}

async function refusalOf(dir: string, model: string): Promise<LorikeetError> {
  const outcome = await readPeftAdapter(referenceFolder(dir), referenceSpec(model)).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(LorikeetError)
  return outcome as LorikeetError
}

function pathOf({ layer, projection }: LoraModule): string {
  return `model.layers.${layer}.${PROJECTION_MODULES[projection]}`
}

describe('reference adapters', () => {
  it('are what the tables below name', () => {
    expect(PEFT_ADAPTERS.length).toBeGreaterThan(30)
    const folders = REFUSED_FOLDERS.map(({ dir }) => dir.replace('refused/', ''))
    expect(Object.keys(REFUSED).sort()).toEqual(folders.sort())
  })

  // The module list, the ranks and the bytes are those of the file; the scales are worked out here a second time.
  it.each(PEFT_ADAPTERS)('$id has the modules, ranks, scales and bytes of its files', async ({ dir, model }) => {
    const { adapter } = await readPeftAdapter(referenceFolder(dir), referenceSpec(model))
    const tensors = referenceTensors(dir)
    const config = readReferenceJson(`${dir}/adapter_config.json`)
    const pick = (patterns: Record<string, number> = {}, path: string): number | undefined =>
      Object.entries(patterns).find(([key]) => new RegExp(`^(?:.*\\.)?(?:${key})$`).test(path))?.[1]

    const found = new Map<string, LoraTensor | LoraVector>()
    const checkPart = (path: string, { rank, scale, a, b, magnitude, bias, loraBias }: LoraPart) => {
      const prefix = `base_model.model.${path}`
      // What PEFT adapts it wraps, so the layer's own bias has another name there.
      if (bias) found.set(`${prefix}.${rank ? 'base_layer.' : ''}bias`, bias)
      if (rank === 0) {
        expect({ scale, a: a.bytes.length, b: b.bytes.length }).toEqual({ scale: 0, a: 0, b: 0 })
        return
      }
      const isEmbedding = path.endsWith('embed_tokens')
      found.set(`${prefix}.${isEmbedding ? 'lora_embedding_A' : 'lora_A.weight'}`, a)
      found.set(`${prefix}.${isEmbedding ? 'lora_embedding_B' : 'lora_B.weight'}`, b)
      if (magnitude) found.set(`${prefix}.lora_magnitude_vector`, magnitude)
      if (loraBias) found.set(`${prefix}.lora_B.bias`, loraBias)
      expect(rank).toBe(a.shape[0])
      const alpha = pick(config.alpha_pattern, path) ?? config.lora_alpha ?? 8
      expect(scale).toBe(alpha / (config.use_rslora ? Math.sqrt(rank) : rank))
    }
    expect(adapter.invocation).toEqual(config.alora_invocation_tokens ?? undefined)
    for (const module of adapter.modules) checkPart(pathOf(module), module)
    for (const { layer, norm, gain } of adapter.norms ?? []) {
      const place = layer === null ? '' : `layers.${layer}.`
      found.set(`base_model.model.model.${place}${NORM_MODULES[norm]}.weight`, gain)
    }
    for (const [path, change] of [
      ['model.embed_tokens', adapter.embedding],
      ['lm_head', adapter.head],
    ] as const) {
      if (change?.lora) checkPart(path, change.lora)
      if (!change?.rows) continue
      expect(change.rows.tokens).toEqual(config.trainable_token_indices ?? null)
      const name = change.rows.tokens ? 'embed_tokens.token_adapter.trainable_tokens_delta' : `${path}.weight`
      found.set(`base_model.model.${change.rows.tokens ? 'model.' : ''}${name}`, change.rows.matrix)
    }
    // The base's own weights come along with LoRA on the embedding and on lm_head.
    const own = [...tensors.keys()].filter((name) => !name.endsWith('.base_layer.weight'))
    expect([...found.keys()].sort()).toEqual(own.sort())
    for (const [name, { dtype, shape, bytes }] of found) {
      expect({ dtype, shape, sha256: sha256(bytes) }, name).toEqual(tensors.get(name))
    }
    const ranks = [...adapter.modules, adapter.embedding?.lora, adapter.head?.lora].map((part) => part?.rank ?? 0)
    expect(adapter.maxRank).toBe(Math.max(...ranks))
    const widths: Record<string, number> = { F32: 4, F16: 2, BF16: 2 }
    const sizes = own.map((name) => {
      const { dtype, shape } = tensors.get(name)!
      return shape.reduce((product, size) => product * size, widths[dtype]!)
    })
    expect(adapter.byteLength).toBe(sizes.reduce((sum, size) => sum + size, 0))
    expect(adapter.digest).toMatch(/^[0-9a-f]{64}$/)
  })

  it('takes the first pattern that matches', async () => {
    const { adapter } = await readPeftAdapter(
      referenceFolder('adapters/llama-tiny/patterns'),
      referenceSpec('llama-tiny'),
    )
    const found = Object.fromEntries(adapter.modules.map((module) => [pathOf(module), [module.rank, module.scale]]))
    // r 4, alpha 8; ranks: all of layer 0 12, down_proj of layer 2 3, q_proj 6; alphas: q and k of layer 2 24, q_proj 10, up_proj 5.
    expect(found).toMatchObject({
      'model.layers.0.self_attn.q_proj': [12, 10 / 12],
      'model.layers.0.mlp.up_proj': [12, 5 / 12],
      'model.layers.0.mlp.down_proj': [12, 8 / 12],
      'model.layers.1.self_attn.q_proj': [6, 10 / 6],
      'model.layers.1.self_attn.k_proj': [4, 2],
      'model.layers.1.mlp.up_proj': [4, 5 / 4],
      'model.layers.2.self_attn.q_proj': [6, 4],
      'model.layers.2.self_attn.k_proj': [4, 6],
      'model.layers.2.mlp.down_proj': [3, 8 / 3],
    })
  })

  it('orders modules by layer and projection', async () => {
    const { adapter } = await readPeftAdapter(
      referenceFolder('adapters/llama-tiny/full-paths'),
      referenceSpec('llama-tiny'),
    )
    expect(adapter.modules.map(pathOf)).toEqual(['model.layers.1.self_attn.k_proj', 'model.layers.2.mlp.gate_proj'])
  })

  it.each([
    ['fan-in-fan-out', 'fan_in_fan_out'],
    ['unknown-field', 'a_field_from_the_future'],
  ])('%s is read, with a note', async (name, said) => {
    const { notes } = await readPeftAdapter(referenceFolder(`adapters/llama-tiny/${name}`), referenceSpec('llama-tiny'))
    expect(notes.filter((note) => note.includes(said))).toHaveLength(1)
  })

  it.each(['qv-r8', 'all-linear-r8', 'older-config', 'minimal-config', 'bias-all', 'gaussian-init'])(
    '%s needs no note',
    async (name) => {
      const folder = referenceFolder(`adapters/llama-tiny/${name}`)
      expect((await readPeftAdapter(folder, referenceSpec('llama-tiny'))).notes).toEqual([])
    },
  )

  it.each(REFUSED_FOLDERS)('$dir is refused: $reason', async ({ dir, model }) => {
    const error = await refusalOf(dir, model)
    const [code, param] = REFUSED[dir.replace('refused/', '')]!
    expect(error).toMatchObject({
      code,
      status: 400,
      param: typeof param === 'string' ? param : expect.stringMatching(param),
    })
    expect(error.message.length).toBeLessThan(500)
  })

  it('of another base are refused for every base that is shaped differently', async () => {
    const folder = referenceFolder('adapters/llama-tiny/all-linear-r8')
    for (const model of ['llama3-tiny', 'qwen3-tiny']) {
      await expect(readPeftAdapter(folder, referenceSpec(model)), model).rejects.toThrow(AdapterRefusedError)
    }
  })
})
