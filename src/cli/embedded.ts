/** The model that comes with lorikeet (models/aviary) and its adapters: what is served when none is named. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LorikeetError } from '../errors.ts'
import type { ServeFlags } from './program.ts'

/** No model was named and none came along. */
export class NoModelError extends LorikeetError {
  readonly code = 'no_model'
  override readonly param = '--model'

  constructor() {
    super('Which model? Name a Hugging Face folder: lorikeet serve --model ./SmolLM2-135M-Instruct')
  }
}

export interface WantedModel {
  /** Its folder. */
  readonly model: string
  readonly adapters: NonNullable<ServeFlags['loraModules']>
}

/**
 * What the flags ask for: without a model the one that comes along, and its adapters unless others are named.
 * @throws NoModelError
 */
export function wantedModel(
  { model, loraModules, loraDir }: Pick<ServeFlags, 'model' | 'loraModules' | 'loraDir'>,
  { modelFolders }: { readonly modelFolders: readonly URL[] },
): WantedModel {
  if (model !== undefined) return { model, adapters: loraModules ?? [] }
  const embedded = embeddedModel(modelFolders)
  if (!embedded) throw new NoModelError()
  return { ...embedded, adapters: loraModules ?? (loraDir === undefined ? embedded.adapters : []) }
}

/** The first of `folders` that has a model in it, or null. */
export function embeddedModel(folders: readonly URL[]): WantedModel | null {
  const model = folders.map((folder) => fileURLToPath(folder)).find((path) => existsSync(join(path, 'config.json')))
  return model === undefined ? null : { model, adapters: adaptersIn(join(model, 'adapters')) }
}

function adaptersIn(folder: string): WantedModel['adapters'] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, path: join(folder, name) }))
    .filter(({ path }) => existsSync(join(path, 'adapter_config.json')))
}
