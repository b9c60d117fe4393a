/**
 * The tensors of a PEFT file by what they are. PEFT ignores, without a word, every tensor whose name it does not expect;
 * here each one is either given to the module it belongs to, or named in the refusal.
 */
import type { TensorInfo } from '../weights/safetensors.ts'
import { type AdapterRefusal, type AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import type { ProjectionModule } from './modules.ts'
import { CONFIG_FILE } from './peftConfig.ts'

/** What the file holds for one targeted module. */
export interface LoraTensors {
  readonly module: ProjectionModule
  a: TensorInfo | null
  b: TensorInfo | null
}

/** `default` is the adapter's name in the model it was saved from; PEFT takes names with it and without. */
const LORA_NAME = /^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$/

/** Names that mean something, but nothing that is computed here: the first row that matches says what. */
const OTHER_NAMES: readonly {
  readonly pattern: RegExp
  readonly code: AdapterRefusal
  readonly problem: string
}[] = [
  {
    pattern: /\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$/,
    code: 'adapter_tensor_unexpected',
    problem: `is the magnitude of DoRA, but ${CONFIG_FILE} does not set use_dora: PEFT would ignore it`,
  },
  {
    pattern: /\.lora_embedding_[AB](?:\.default)?$/,
    code: 'adapter_unsupported',
    problem: 'is LoRA on an embedding, which is not supported yet',
  },
  {
    pattern: /\.lora_B(?:\.default)?\.bias$/,
    code: 'adapter_tensor_unexpected',
    problem: `is a bias of lora_B, but ${CONFIG_FILE} does not set lora_bias: PEFT would ignore it`,
  },
  {
    pattern: /\.lora_diag(?:\.default)?$/,
    code: 'adapter_changed_base',
    problem: 'is the diagonal of KaSA, which belongs to a base that was changed when the adapter was made',
  },
  {
    pattern: /\.trainable_tokens_delta(?:\.default)?$/,
    code: 'adapter_unsupported',
    problem: 'replaces rows of an embedding, which is not supported yet',
  },
  {
    pattern: /\.bias$/,
    code: 'adapter_unsupported',
    problem: 'replaces a bias of the base. Adapter bias is not supported',
  },
  {
    pattern: /^base_model\.model\.(?!.*\.lora_)(?:model|lm_head)\..*weight$/,
    code: 'adapter_unsupported',
    problem: 'replaces a weight of the base, which is not supported yet',
  },
]

/**
 * Gives every tensor to its module; modules keep the order of `targeted`.
 * @throws AdapterRefusedError for the first tensor that no targeted module would read
 */
export function assignTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  targeted: readonly ProjectionModule[],
  isBaseModule: (path: string) => boolean,
): LoraTensors[] {
  const byPath = new Map(targeted.map((module) => [module.path, { module, a: null, b: null } as LoraTensors]))
  for (const tensor of tensors.values()) {
    const [, path, side] = LORA_NAME.exec(tensor.name) ?? []
    if (path === undefined) throw notLora(tensor.name)
    const found = byPath.get(path)
    if (!found) throw notTargeted(tensor.name, path, isBaseModule(path))
    const key = side === 'A' ? 'a' : 'b'
    const other = found[key]
    if (other) {
      const message = `${shown(tensor.name)} and ${shown(other.name)} are the same tensor of ${path}.`
      throw tensorRefusal('adapter_tensor_duplicate', tensor.name, message)
    }
    found[key] = tensor
  }
  return [...byPath.values()]
}

function notLora(name: string): AdapterRefusedError {
  const known = OTHER_NAMES.find(({ pattern }) => pattern.test(name))
  if (known) return tensorRefusal(known.code, name, `Tensor ${shown(name)} ${known.problem}.`)
  return tensorRefusal('adapter_tensor_unexpected', name, `${shown(name)} is unsupported LoRA weight.`)
}

function notTargeted(name: string, path: string, inBase: boolean): AdapterRefusedError {
  const problem = inBase
    ? `which ${CONFIG_FILE} does not target: PEFT would ignore it`
    : 'which the base does not have. Was the adapter made for another base?'
  const message = `Tensor ${shown(name)} is for ${shown(path)}, ${problem}`
  return tensorRefusal('adapter_tensor_unexpected', name, message.endsWith('?') ? message : `${message}.`)
}
