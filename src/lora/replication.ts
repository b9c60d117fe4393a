/**
 * `layer_replication`: PEFT puts layers of the base together anew before it adapts them, each copy with LoRA of its own.
 * The copies share the weights of the base, and tensors are named by the new numbers.
 */
import { baseLayers, type LayerList, layerList, MAX_FOLDS } from '../model/layerList.ts'
import type { ModelSpec } from '../model/spec.ts'
import { AdapterRefusedError } from './errors.ts'
import { CONFIG_FILE, type PeftConfig } from './peftConfig.ts'

const FIELD = 'layer_replication'

/**
 * The layers of the replicated model, or null where they are the base's.
 * @throws AdapterRefusedError for ranges that the base does not have, and for what replication is not served with
 */
export function replicatedLayers(spec: ModelSpec, config: PeftConfig): LayerList | null {
  const { layerReplication: ranges } = config
  if (!ranges) return null
  const { numLayers } = spec
  const wrong = ranges.find(([start, end]) => start < 0 || start >= end || end > numLayers)
  if (wrong) {
    const message = `${CONFIG_FILE}: ${FIELD} names [${wrong.join(', ')}], which is no range of layers; the base has ${numLayers}.`
    throw new AdapterRefusedError('adapter_config_invalid', FIELD, message)
  }
  const count = ranges.reduce((sum, [start, end]) => sum + end - start, 0)
  if (count > MAX_FOLDS * numLayers) {
    throw unsupported(FIELD, `asks for ${count} layers; at most ${MAX_FOLDS} times the base's ${numLayers} are served`)
  }
  const layers = ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i))
  const list = layerList(spec, layers)
  if (list.key === baseLayers(spec).key) return null
  // The copies of a layer share the base's bias in PEFT: the last one that is loaded would count for all of them.
  if (config.bias !== 'none') throw unsupported('bias', `cannot be ${config.bias} together with ${FIELD}`)
  if (config.invocation) throw unsupported('alora_invocation_tokens', `cannot be used together with ${FIELD}`)
  // transformers takes the window from the new number in one place and from the old layer in another.
  if (new Set(spec.slidingWindows).size > 1) {
    throw unsupported(FIELD, 'is not supported on a base whose layers have different sliding windows')
  }
  return list
}

function unsupported(field: string, problem: string): AdapterRefusedError {
  return new AdapterRefusedError('adapter_unsupported', field, `${CONFIG_FILE}: ${field} ${problem}.`)
}
