/**
 * The tensors of a PEFT file by what they are. PEFT ignores, without a word, every tensor whose name it does not expect;
 * here each one is either given to the module it belongs to, or named in the refusal.
 */
import type { TensorInfo } from '../weights/safetensors.ts'
import { type AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { CONFIG_FILE } from './peftConfig.ts'

/** What a tensor is to its module. */
export type TensorRole =
  | 'a'
  | 'b'
  | 'embeddingA'
  | 'embeddingB'
  | 'magnitude'
  | 'loraBias'
  | 'bias'
  | 'baseWeight'
  | 'tokens'
  | 'weight'

/** What the file holds for one module. */
export type ModuleTensors = Partial<Record<TensorRole, TensorInfo>>

/**
 * `default` is the adapter's name in the model it was saved from; PEFT takes names with it and without. `base_layer` is
 * the layer inside the one that PEFT puts around it. The first pattern that matches decides.
 */
const ROLE_NAMES: readonly (readonly [role: TensorRole, pattern: RegExp])[] = [
  ['a', /^base_model\.model\.(.+)\.lora_A(?:\.default)?\.weight$/],
  ['b', /^base_model\.model\.(.+)\.lora_B(?:\.default)?\.weight$/],
  ['embeddingA', /^base_model\.model\.(.+)\.lora_embedding_A(?:\.default)?$/],
  ['embeddingB', /^base_model\.model\.(.+)\.lora_embedding_B(?:\.default)?$/],
  ['magnitude', /^base_model\.model\.(.+)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$/],
  ['loraBias', /^base_model\.model\.(.+)\.lora_B(?:\.default)?\.bias$/],
  ['tokens', /^base_model\.model\.(.+)\.token_adapter\.trainable_tokens_delta(?:\.default)?$/],
  ['bias', /^base_model\.model\.(.+?)(?:\.base_layer)?\.bias$/],
  ['baseWeight', /^base_model\.model\.(.+)\.base_layer\.weight$/],
  ['weight', /^base_model\.model\.(?!.*\.lora_)(.+)\.weight$/],
]

const KASA_NAME = /\.lora_diag(?:\.default)?$/

/** What is wrong with a tensor in a role that its module does not have. */
const UNWANTED: Readonly<Record<TensorRole, string>> = {
  a: `which ${CONFIG_FILE} does not target: PEFT would ignore it`,
  b: `which ${CONFIG_FILE} does not target: PEFT would ignore it`,
  embeddingA: `as LoRA on an embedding, which ${CONFIG_FILE} does not target: PEFT would ignore it`,
  embeddingB: `as LoRA on an embedding, which ${CONFIG_FILE} does not target: PEFT would ignore it`,
  magnitude: `as the magnitude of DoRA, but ${CONFIG_FILE} does not ask for DoRA there: PEFT would ignore it`,
  loraBias: `as a bias of lora_B, but ${CONFIG_FILE} does not set lora_bias: PEFT would ignore it`,
  bias: `as a bias, which ${CONFIG_FILE} does not say the adapter brings, or the base does not have there`,
  baseWeight: `as a weight of the base, which is not served in another form for one adapter`,
  tokens: `as rows of it, but ${CONFIG_FILE} names no such module in trainable_token_indices`,
  weight: `as a weight of its own, but ${CONFIG_FILE} does not name it in modules_to_save`,
}

/** A module of the base that an adapter may say something about, by what it may say. */
export interface TensorPlace {
  readonly roles: ReadonlySet<TensorRole>
}

/**
 * Gives every tensor to its module.
 * @param places every module of the base by its path
 * @returns by path, modules for which the file holds something
 * @throws AdapterRefusedError for the first tensor that has no place
 */
export function assignTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  places: ReadonlyMap<string, TensorPlace>,
): ReadonlyMap<string, ModuleTensors> {
  const byPath = new Map<string, ModuleTensors>()
  for (const tensor of tensors.values()) {
    const [role, path] = roleOf(tensor.name)
    const place = places.get(path)
    if (!place?.roles.has(role)) throw notWanted(tensor.name, role, path, place !== undefined)
    const found = byPath.get(path) ?? {}
    const other = found[role]
    if (other) {
      const message = `${shown(tensor.name)} and ${shown(other.name)} are the same tensor of ${path}.`
      throw tensorRefusal('adapter_tensor_duplicate', tensor.name, message)
    }
    found[role] = tensor
    byPath.set(path, found)
  }
  return byPath
}

function roleOf(name: string): readonly [TensorRole, string] {
  for (const [role, pattern] of ROLE_NAMES) {
    const path = pattern.exec(name)?.[1]
    if (path !== undefined) return [role, path]
  }
  if (KASA_NAME.test(name)) {
    const message = `Tensor ${shown(name)} is the diagonal of KaSA, which belongs to a base that was changed when the adapter was made.`
    throw tensorRefusal('adapter_changed_base', name, message)
  }
  throw tensorRefusal('adapter_tensor_unexpected', name, `${shown(name)} is unsupported LoRA weight.`)
}

function notWanted(name: string, role: TensorRole, path: string, inBase: boolean): AdapterRefusedError {
  const problem = inBase ? `${UNWANTED[role]}.` : 'which the base does not have. Was the adapter made for another base?'
  const message = `Tensor ${shown(name)} is for ${shown(path)}, ${problem}`
  return tensorRefusal('adapter_tensor_unexpected', name, message)
}
