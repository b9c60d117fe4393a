/** The names of the house: which model a request means, and the cards of `/v1/models`. */
import { ModelNotFoundError } from './errors.ts'
import type { AdapterCard, Service } from './service.ts'

/** The base, or one of its adapters. */
export interface ResolvedModel {
  /** The name to answer with. */
  readonly name: string
  /** Null for the base. */
  readonly adapter: string | null
}

/**
 * What `model` means: nothing or a served name is the base, a bare name or `base:name` is an adapter.
 * @throws ModelNotFoundError for anything else; there is no fall-back to the base.
 */
export function resolveModel(service: Service, model: string | null | undefined): ResolvedModel {
  if (model === undefined || model === null || model === '') return { name: service.modelNames[0], adapter: null }
  if (service.modelNames.includes(model)) return { name: model, adapter: null }
  if (service.adapters.find(model)) return { name: model, adapter: model }
  const colon = model.indexOf(':')
  if (colon > 0 && service.modelNames.includes(model.slice(0, colon))) {
    const adapter = model.slice(colon + 1)
    if (service.adapters.find(adapter)) return { name: model, adapter }
  }
  throw new ModelNotFoundError(model)
}

/** As vLLM writes them. */
export interface ModelCard {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: 'lorikeet'
  readonly root: string
  /** Null for the base and its other names. */
  readonly parent: string | null
  readonly max_model_len: number | null
  /** Only of a base with an adapter folded into it: which. */
  readonly merged?: { readonly id: string; readonly root: string; readonly digest: string }
  readonly permission: readonly ModelPermission[]
}

interface ModelPermission {
  readonly id: string
  readonly object: 'model_permission'
  readonly created: number
  readonly allow_create_engine: boolean
  readonly allow_sampling: boolean
  readonly allow_logprobs: boolean
  readonly allow_search_indices: boolean
  readonly allow_view: boolean
  readonly allow_fine_tuning: boolean
  readonly organization: string
  readonly group: null
  readonly is_blocking: boolean
}

/** The base under each of its names, then every adapter. */
export function modelCards(service: Service): readonly ModelCard[] {
  return [
    ...service.modelNames.map((name) => baseCard(service, name)),
    ...service.adapters.list().map((adapter) => adapterCard(service, adapter)),
  ]
}

/** @throws ModelNotFoundError */
export function modelCard(service: Service, id: string): ModelCard {
  const { adapter } = resolveModel(service, id)
  if (adapter === null) return baseCard(service, id)
  const found = service.adapters.find(adapter)
  if (found === null) throw new ModelNotFoundError(id)
  return adapterCard(service, found)
}

function adapterCard(service: Service, adapter: AdapterCard): ModelCard {
  return {
    id: adapter.name,
    object: 'model',
    created: adapter.created,
    owned_by: 'lorikeet',
    root: adapter.root,
    parent: service.modelNames[0],
    max_model_len: null,
    permission: [permission(adapter.name, adapter.created)],
  }
}

function baseCard(service: Service, name: string): ModelCard {
  const { merged, modelRoot } = service
  return {
    id: name,
    object: 'model',
    created: service.created,
    owned_by: 'lorikeet',
    root: merged ? `${modelRoot} + ${merged.root}` : modelRoot,
    parent: null,
    max_model_len: service.engine.limits.maxModelLen,
    ...(merged && { merged: { id: merged.name, root: merged.root, digest: merged.digest } }),
    permission: [permission(name, service.created)],
  }
}

function permission(name: string, created: number): ModelPermission {
  return {
    id: `modelperm-${name}`,
    object: 'model_permission',
    created,
    allow_create_engine: false,
    allow_sampling: true,
    allow_logprobs: true,
    allow_search_indices: false,
    allow_view: true,
    allow_fine_tuning: false,
    organization: '*',
    group: null,
    is_blocking: false,
  }
}
