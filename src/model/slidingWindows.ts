/** Which layers of a model see only a window of positions. Each family has its own rule in transformers. */
import type { ConfigFields } from '../weights/config.ts'
import { UnsupportedModelError } from './errors.ts'
import type { Family } from './spec.ts'

/** What MistralConfig, Qwen2Config and Qwen3Config take where `sliding_window` is missing (not null); Phi3Config takes null. */
const DEFAULT_WINDOW = 4096
const DEFAULT_MAX_WINDOW_LAYERS = 28

/** Per layer: how many of the last positions, its own included, a query sees; null for all of them. */
export function readSlidingWindows(
  fields: ConfigFields,
  family: Family,
  numLayers: number,
): readonly (number | null)[] {
  const all = (window: number | null): (number | null)[] => new Array(numLayers).fill(window)
  switch (family) {
    case 'llama':
      // LlamaModel has no windows, whatever sliding_window says.
      requireUniform(fields, numLayers, 'full_attention')
      return all(null)
    case 'mistral':
    case 'phi3': {
      const window = readWindow(fields, family === 'mistral' ? DEFAULT_WINDOW : null)
      requireUniform(fields, numLayers, window === null ? 'full_attention' : 'sliding_attention')
      return all(window)
    }
    case 'qwen2':
    case 'qwen3':
      return qwenWindows(fields, numLayers)
  }
}

/** Null means no window; a missing field has the class's default. */
function readWindow(fields: ConfigFields, missing: number | null): number | null {
  return fields.positiveInteger('sliding_window', fields.raw('sliding_window') === undefined ? missing : null)
}

function qwenWindows(fields: ConfigFields, numLayers: number): readonly (number | null)[] {
  const window = fields.boolean('use_sliding_window', false) ? readWindow(fields, DEFAULT_WINDOW) : null
  const types = readLayerTypes(fields, numLayers)
  if (types === null) {
    const firstLayer = fields.count('max_window_layers', DEFAULT_MAX_WINDOW_LAYERS)
    return Array.from({ length: numLayers }, (_, layer) => (layer >= firstLayer ? window : null))
  }
  if (window === null && types.includes('sliding_attention')) {
    throw fields.error('layer_types', 'names sliding layers, but use_sliding_window and sliding_window give no window')
  }
  return types.map((type) => (type === 'sliding_attention' ? window : null))
}

/** Classes without layer types ignore them: a config where they matter was meant for another class. */
function requireUniform(fields: ConfigFields, numLayers: number, expected: LayerType): void {
  const other = readLayerTypes(fields, numLayers)?.find((type) => type !== expected)
  if (other === undefined) return
  throw new UnsupportedModelError(fields.file, 'layer_types', other, `Every layer of this model is ${expected}`)
}

type LayerType = 'full_attention' | 'sliding_attention'

function readLayerTypes(fields: ConfigFields, numLayers: number): readonly LayerType[] | null {
  const types = fields.stringList('layer_types', null)
  if (types === null) return null
  if (types.length !== numLayers) {
    throw fields.error('layer_types', `has ${types.length} entries for ${numLayers} layers`)
  }
  return types.map((type) => {
    if (type === 'full_attention' || type === 'sliding_attention') return type
    // The older name of the same thing.
    if (type === 'attention') return 'full_attention'
    throw new UnsupportedModelError(fields.file, 'layer_types', type, 'Supported: full_attention, sliding_attention')
  })
}
