import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { Folder } from '../../src/weights/folder.ts'
import { memoryFolder } from '../../src/weights/folder.ts'
import { type MadeTensor, makeSafetensors } from '../weights/makeSafetensors.ts'
import { adapterFolder, BOTH_Q, f32, loraTensors, Q_CONFIG, TINY, tensorName } from './makeAdapter.ts'

const A0 = tensorName(0, 'q', 'A')
const B0 = tensorName(0, 'q', 'B')

/** Of kinds other than plain LoRA. */
const OTHER_NAMES = [
  'model.layers.0.self_attn.q_proj.lora_magnitude_vector',
  'model.layers.0.self_attn.q_proj.lora_B.bias',
  'model.layers.0.self_attn.q_proj.base_layer.bias',
  'model.norm.weight',
  'model.embed_tokens.weight',
  'model.embed_tokens.base_layer.weight',
  'model.embed_tokens.lora_embedding_A',
  'model.embed_tokens.lora_embedding_B',
  'model.embed_tokens.token_adapter.trainable_tokens_delta',
  'lm_head.weight',
  'lm_head.lora_A.weight',
  'lm_head.lora_B.weight',
].map((name) => `base_model.model.${name}`)

async function refused(folder: Folder, options = {}): Promise<AdapterRefusedError> {
  const outcome = await readPeftAdapter(folder, TINY, options).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(AdapterRefusedError)
  return outcome as AdapterRefusedError
}

describe('readPeftAdapter', () => {
  it('reads what it should', async () => {
    const { adapter, notes } = await readPeftAdapter(adapterFolder(), TINY)
    expect(notes).toEqual([])
    expect(adapter).toMatchObject({ maxRank: 2, byteLength: 2 * (2 * 8 + 8 * 2) * 4 })
    expect(adapter.modules).toMatchObject([
      { layer: 0, projection: 'q', rank: 2, scale: 2, a: { dtype: 'F32', shape: [2, 8] }, b: { shape: [8, 2] } },
      { layer: 1, projection: 'q' },
    ])
  })

  it('takes the name of the adapter in tensor names, as PEFT does', async () => {
    const named = Object.fromEntries(
      Object.entries(loraTensors(BOTH_Q)).map(([name, tensor]) => [name.replace('.weight', '.default.weight'), tensor]),
    )
    const { adapter } = await readPeftAdapter(adapterFolder(Q_CONFIG, named), TINY)
    expect(adapter.digest).toBe((await readPeftAdapter(adapterFolder(), TINY)).adapter.digest)

    const twice = { ...loraTensors(BOTH_Q), [A0.replace('.weight', '.default.weight')]: f32([2, 8]) }
    expect(await refused(adapterFolder(Q_CONFIG, twice))).toMatchObject({ code: 'adapter_tensor_duplicate' })
    const other = { ...loraTensors(BOTH_Q), [A0.replace('.weight', '.mine.weight')]: f32([2, 8]) }
    expect(await refused(adapterFolder(Q_CONFIG, other))).toMatchObject({ code: 'adapter_tensor_unexpected' })
  })

  it('leaves targeted modules without tensors alone where PEFT does, and says so', async () => {
    const half = loraTensors([[1, 'q']])
    const { adapter, notes } = await readPeftAdapter(adapterFolder(Q_CONFIG, half), TINY)
    expect(adapter.modules).toHaveLength(1)
    expect(notes).toEqual([expect.stringContaining('targets model.layers.0.self_attn.q_proj,')])
    for (const init of [false, null, 'orthogonal']) {
      const random = adapterFolder({ ...Q_CONFIG, init_lora_weights: init }, half)
      expect(await refused(random)).toMatchObject({ code: 'adapter_tensor_missing', param: A0 })
    }
  })

  it.each([
    ['A without B', (t: Record<string, unknown>) => delete t[B0], 'adapter_tensor_missing', B0],
    ['B without A', (t: Record<string, unknown>) => delete t[A0], 'adapter_tensor_missing', A0],
    ['one dimension', (t: Record<string, unknown>) => (t[A0] = f32([16])), 'adapter_shape_mismatch', A0],
    ['three dimensions', (t: Record<string, unknown>) => (t[B0] = f32([8, 2, 1])), 'adapter_shape_mismatch', B0],
    ['a transposed A', (t: Record<string, unknown>) => (t[A0] = f32([8, 2])), 'adapter_shape_mismatch', A0],
    [
      'rank 0',
      (t: Record<string, unknown>) => Object.assign(t, { [A0]: f32([0, 8]), [B0]: f32([8, 0]) }),
      'adapter_rank_mismatch',
      A0,
    ],
    [
      'doubles',
      (t: Record<string, unknown>) => (t[A0] = { dtype: 'F64', shape: [2, 8], bytes: new Uint8Array(128) }),
      'adapter_dtype_unsupported',
      A0,
    ],
  ])('refuses %s', async (_, change, code, param) => {
    const tensors = loraTensors(BOTH_Q)
    change(tensors)
    expect(await refused(adapterFolder(Q_CONFIG, tensors))).toMatchObject({ code, param })
  })

  const model = 'base_model.model.model'
  it.each([
    [`${model}.layers.0.self_attn.k_proj.lora_A.weight`, 'adapter_tensor_unexpected', 'does not target'],
    [`${model}.layers.2.self_attn.q_proj.lora_A.weight`, 'adapter_tensor_unexpected', 'made for another base?'],
    [`base_model.model.layers.0.self_attn.q_proj.lora_A.weight`, 'adapter_tensor_unexpected', 'made for another base?'],
    [`model.layers.0.self_attn.q_proj.lora_A.weight`, 'adapter_tensor_unexpected', 'unsupported LoRA weight'],
    [`${model}.layers.0.self_attn.q_proj.lora_magnitude_vector`, 'adapter_tensor_unexpected', 'DoRA'],
    [`${model}.layers.0.self_attn.q_proj.lora_B.bias`, 'adapter_tensor_unexpected', 'lora_bias'],
    [`${model}.layers.0.self_attn.q_proj.lora_diag`, 'adapter_changed_base', 'KaSA'],
    [`${model}.layers.0.self_attn.q_proj.base_layer.bias`, 'adapter_tensor_unexpected', 'as a bias'],
    [`${model}.layers.0.self_attn.q_proj.base_layer.weight`, 'adapter_tensor_unexpected', 'a weight of the base'],
    [`${model}.norm.weight`, 'adapter_tensor_unexpected', 'modules_to_save'],
    ['base_model.model.lm_head.weight', 'adapter_shape_mismatch', 'this base needs [32, 8]'],
    [`${model}.embed_tokens.lora_embedding_A`, 'adapter_tensor_unexpected', 'embedding'],
    [
      `${model}.embed_tokens.token_adapter.trainable_tokens_delta`,
      'adapter_tensor_unexpected',
      'trainable_token_indices',
    ],
    ['base_model.model.hasOwnProperty.lora_A.weight', 'adapter_tensor_unexpected', 'made for another base?'],
    ['', 'adapter_tensor_unexpected', 'unsupported LoRA weight'],
  ])('names the tensor %j in the refusal', async (name, code, says) => {
    const tensors = { ...loraTensors(BOTH_Q), [name]: f32([2, 8]) }
    const error = await refused(adapterFolder(Q_CONFIG, tensors))
    expect(error).toMatchObject({ code, param: name })
    expect(error.message).toContain(says)
  })

  describe('of other kinds', () => {
    const q0 = 'base_model.model.model.layers.0.self_attn.q_proj'
    const k0 = q0.replace('q_proj', 'k_proj')
    const biased = { ...TINY, bias: { qkv: true, o: false, mlp: false } }
    const read = async (config: object, tensors: Record<string, MadeTensor>, spec = biased) => {
      const folder = adapterFolder({ ...Q_CONFIG, ...config }, { ...loraTensors([[0, 'q']]), ...tensors })
      return (await readPeftAdapter(folder, spec)).adapter
    }
    const code = async (...args: Parameters<typeof read>) =>
      await read(...args).then(
        () => null,
        (error: unknown) => (error as AdapterRefusedError).code,
      )

    it.each([
      [{ use_dora: true }, `${q0}.lora_magnitude_vector`, 'magnitude'],
      [{ use_dora: true }, `${q0}.lora_magnitude_vector.default.weight`, 'magnitude'],
      [{ lora_bias: true }, `${q0}.lora_B.bias`, 'loraBias'],
      [{ bias: 'all' }, `${q0}.base_layer.bias`, 'bias'],
      [{ bias: 'lora_only' }, `${q0}.bias`, 'bias'],
    ])('%j reads %s', async (config, name, field) => {
      const { modules, byteLength } = await read(config, { [name]: f32([8], 5) })
      expect(modules).toMatchObject([{ layer: 0, projection: 'q', rank: 2, [field]: { dtype: 'F32', shape: [8] } }])
      expect(byteLength).toBe(128 + 32)
      expect(await code(config, { [name]: f32([4]) })).toBe('adapter_shape_mismatch')
      expect(await code(config, { [name]: f32([8, 1]) })).toBe('adapter_shape_mismatch')
      expect(await code(config, { [name]: { dtype: 'I32', shape: [8], bytes: new Uint8Array(32) } })).toBe(
        'adapter_dtype_unsupported',
      )
      expect(await code(config, { [name]: f32([8], Number.NaN) })).toBe('adapter_not_finite')
      expect(await code({}, { [name]: f32([8]) })).toBe('adapter_tensor_unexpected')
    })

    it('reads a bias on a module without LoRA, where the config says so and the base has one', async () => {
      const { modules } = await read({ bias: 'all' }, { [`${k0}.bias`]: f32([4]) })
      expect(modules).toMatchObject([
        { projection: 'q', rank: 2 },
        { projection: 'k', rank: 0, a: { shape: [0, 8] }, b: { shape: [4, 0] }, bias: { shape: [4] } },
      ])
      expect(await code({ bias: 'lora_only' }, { [`${k0}.bias`]: f32([4]) })).toBe('adapter_tensor_unexpected')
      expect(await code({ bias: 'all' }, { [`${k0}.bias`]: f32([4]) }, TINY)).toBe('adapter_tensor_unexpected')
    })

    it('misses what the config promises', async () => {
      expect(await code({ use_dora: true }, {})).toBe('adapter_tensor_missing')
      expect(await code({ lora_bias: true }, {})).toBe('adapter_tensor_missing')
    })
  })

  it('finds NaN and infinity in every width and says where', async () => {
    const cases = [
      ['F32', 4, [0, 0, 0x80, 0x7f]],
      ['F32', 4, [1, 0, 0x80, 0xff]],
      ['F16', 2, [0, 0x7c]],
      ['F16', 2, [1, 0xfe]],
      ['BF16', 2, [0x80, 0x7f]],
      ['BF16', 2, [0xc0, 0xff]],
    ] as const
    for (const [dtype, width, bits] of cases) {
      const bytes = new Uint8Array(16 * width)
      bytes.set(bits, 11 * width)
      const tensors = { ...loraTensors(BOTH_Q), [A0]: { dtype, shape: [2, 8], bytes } }
      const error = await refused(adapterFolder(Q_CONFIG, tensors))
      expect(error).toMatchObject({ code: 'adapter_not_finite', param: A0, message: expect.stringContaining('[1, 3]') })
      // The largest finite value of each width is fine.
      bytes.set(dtype === 'F16' ? [0xff, 0x7b] : width === 2 ? [0x7f, 0x7f] : [0xff, 0xff, 0x7f, 0x7f], 11 * width)
      await readPeftAdapter(adapterFolder(Q_CONFIG, tensors), TINY)
    }
  })

  it('keeps A and B in widths of their own', async () => {
    const tensors = { ...loraTensors(BOTH_Q), [A0]: { dtype: 'BF16', shape: [2, 8], bytes: new Uint8Array(32) } }
    const { adapter } = await readPeftAdapter(adapterFolder(Q_CONFIG, tensors), TINY)
    expect(adapter.modules[0]).toMatchObject({ a: { dtype: 'BF16' }, b: { dtype: 'F32' } })
  })

  it('keeps to the limits of the server', async () => {
    const error = await refused(adapterFolder(), { maxRank: 1 })
    expect(error).toMatchObject({ code: 'adapter_rank_too_large', param: 'r' })
    expect(error.message).toBe('LoRA rank 2 is greater than max_lora_rank 1.')
    // Ranks filled up to four, behind 16 bytes where nothing is.
    const bytes = 16 + 2 * (4 * 8 + 8 * 4) * 4
    const large = await refused(adapterFolder(), { maxBytes: bytes - 1 })
    expect(large).toMatchObject({ code: 'adapter_too_large' })
    await readPeftAdapter(adapterFolder(), TINY, { maxRank: 2, maxBytes: bytes })
  })

  it('says what is missing in a folder', async () => {
    const files = { 'adapter_config.json': JSON.stringify(Q_CONFIG) }
    expect(await refused(memoryFolder('made', {}))).toMatchObject({ code: 'adapter_config_missing' })
    const bare = await refused(memoryFolder('made', files))
    expect(bare).toMatchObject({ code: 'adapter_weights_missing', message: "made doesn't contain tensors" })
    const empty = { ...files, 'adapter_model.safetensors': makeSafetensors({}) }
    expect(await refused(memoryFolder('made', empty))).toMatchObject({ code: 'adapter_weights_missing' })
    const huge = memoryFolder('made', { 'adapter_config.json': ' '.repeat(2 ** 20 + 1) })
    await expect(readPeftAdapter(huge, TINY)).rejects.toMatchObject({ code: 'file_too_large' })
  })

  it('stops when asked to', async () => {
    const reason = new Error('enough')
    await expect(readPeftAdapter(adapterFolder(), TINY, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  it('closes what it opened, whatever happens', async () => {
    const open = new Set<string>()
    const watched = (folder: Folder): Folder => ({
      ...folder,
      async open(path, signal) {
        const source = await folder.open(path, signal)
        open.add(path)
        const close = source.close.bind(source)
        source.close = async () => {
          open.delete(path)
          await close()
        }
        return source
      },
    })
    await readPeftAdapter(watched(adapterFolder()), TINY)
    await refused(watched(adapterFolder('{')))
    await refused(watched(adapterFolder(Q_CONFIG, { x: f32([1]) })))
    await refused(watched(adapterFolder()), { maxRank: 1 })
    expect([...open]).toEqual([])
  })

  it('answers hostile files with typed errors only', async () => {
    const name = fc.oneof(
      fc.constantFrom(A0, B0, tensorName(1, 'q', 'A'), tensorName(1, 'q', 'B'), tensorName(0, 'down', 'A')),
      fc.constantFrom(...OTHER_NAMES),
      fc.string({ maxLength: 30 }),
      fc
        .constantFrom(A0, B0, ...OTHER_NAMES)
        .chain((whole) =>
          fc
            .tuple(fc.nat(whole.length), fc.string({ maxLength: 4 }))
            .map(([at, add]) => whole.slice(0, at) + add + whole.slice(at)),
        ),
    )
    const config = fc.record(
      {
        target_modules: fc.subarray(['q_proj', 'embed_tokens', 'lm_head'], { minLength: 1 }),
        modules_to_save: fc.subarray(['norm', 'embed_tokens', 'lm_head']),
        trainable_token_indices: fc.oneof(
          fc.constant(null),
          fc.array(fc.integer({ min: -1, max: 40 }), { maxLength: 3 }),
        ),
        alora_invocation_tokens: fc.oneof(
          fc.constant(null),
          fc.array(fc.integer({ min: -1, max: 40 }), { maxLength: 3 }),
        ),
        use_dora: fc.boolean(),
        lora_bias: fc.boolean(),
        bias: fc.constantFrom('none', 'all', 'lora_only'),
        ensure_weight_tying: fc.boolean(),
      },
      { requiredKeys: [] },
    )
    const shape = fc.oneof(
      fc.constantFrom([2, 8], [8, 2], [8], [32, 8], [2, 32], [32, 2]),
      fc.array(fc.nat(9), { maxLength: 3 }),
    )
    const tensors = fc.array(fc.tuple(name, shape, fc.constantFrom('F32', 'F16', 'BF16', 'I32')), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(config, tensors, async (fields, list) => {
        const made = Object.fromEntries(
          list.map(([key, sizes, dtype]) => {
            const count = sizes.reduce((product, size) => product * size, 1)
            return [key, { dtype, shape: sizes, bytes: new Uint8Array(count * (dtype.endsWith('16') ? 2 : 4)) }]
          }),
        )
        await readPeftAdapter(adapterFolder({ ...Q_CONFIG, ...fields }, made), TINY).catch((error: unknown) => {
          if (!(error instanceof LorikeetError) || error.status !== 400) throw error
        })
      }),
      { numRuns: 3000, seed: 3 },
    )
  })
})
