/**
 * What the config and the tensors of a PEFT adapter mean together: which module gets which tensors, with everything about
 * them checked but their values, or a refusal that names what would not be computed as PEFT computes it.
 */
import { withLayers } from '../model/layerList.ts'
import { hasBias, type ModelSpec } from '../model/spec.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import {
  type AdapterPlan,
  type BaseWeightPlan,
  checkPlan,
  checkTensor,
  type ModulePlan,
  type NormPlan,
  type RowsPlan,
} from './modulePlan.ts'
import {
  type BaseModule,
  baseModules,
  savedModules,
  type TargetModule,
  targetedModules,
  type VocabularyModule,
} from './modules.ts'
import { CONFIG_FILE, type PeftConfig, rankAndScale } from './peftConfig.ts'
import { assignTensors, type ModuleTensors, type TensorRole } from './peftTensors.ts'
import { DEFAULT_MATCH_STEPS, type MatchBudget } from './pythonRegex.ts'
import { replicatedLayers } from './replication.ts'
import { type SavedEmbedding, savedEmbeddingRows } from './savedEmbeddings.ts'
import { unfused } from './unfused.ts'

/**
 * @param notes receives sentences about what was ignored
 * @throws AdapterRefusedError
 */
export function planAdapter(
  base: ModelSpec,
  config: PeftConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  notes: string[],
): AdapterPlan {
  const layers = replicatedLayers(base, config)
  const spec = layers ? withLayers(base, layers) : base
  const budget: MatchBudget = { steps: DEFAULT_MATCH_STEPS }
  const reach: Reach = {
    adapted: new Set(targetedModules(spec, config, budget).map(({ path }) => path)),
    saved: new Set(savedModules(spec, config).map(({ path }) => path)),
  }
  const modules = baseModules(spec)
  for (const module of modules) if (isVocabulary(module)) checkVocabulary(spec, config, module, reach)
  checkInvocation(spec, config, modules, reach)
  const places = new Map(modules.map((module) => [module.path, { roles: rolesOf(spec, config, module, reach) }]))
  const found = assignTensors(tensors, places)
  const absent = [...reach.adapted].filter((path) => !hasLora(found.get(path)))
  if (absent.length > 0) notes.push(absentNote(config, absent))

  const plan = { modules: [] as ModulePlan[], norms: [] as NormPlan[], rows: [] as RowsPlan[] }
  const baseWeights: BaseWeightPlan[] = []
  const savedEmbeddings: SavedEmbedding[] = []
  for (const module of modules) {
    const own = found.get(module.path) ?? {}
    if (module.kind === 'other') continue
    if (module.kind === 'norm') {
      if (reach.saved.has(module.path)) plan.norms.push({ module, gain: normGain(spec, module, own) })
      continue
    }
    if (hasLora(own) || own.bias) plan.modules.push(...unfused(spec, planModule(spec, config, module, own, budget)))
    if (!isVocabulary(module)) continue
    plan.rows.push(...planRows(spec, config, module, own, reach))
    if (own.baseWeight) {
      checkTensor(own.baseWeight, [spec.vocabSize, spec.hiddenSize])
      baseWeights.push({ module, weight: own.baseWeight })
    }
    if (own.weight && !reach.saved.has(module.path)) savedEmbeddings.push({ module, weight: own.weight })
  }
  const vocabulary = modules.filter(isVocabulary)
  const { invocation } = config
  for (const { weight } of savedEmbeddings) notes.push(savedNote(weight))
  const embeddings = savedEmbeddingRows(spec, savedEmbeddings, vocabulary)
  // Rows would be there for every token; of one that waits for its invocation they can only be the base's.
  if (invocation) baseWeights.push(...savedEmbeddings)
  else plan.rows.push(...embeddings)
  return { ...plan, layers, rows: tiedRows(spec, plan.rows, vocabulary), baseWeights, invocation }
}

/** Paths that the config reaches. */
interface Reach {
  readonly adapted: ReadonlySet<string>
  readonly saved: ReadonlySet<string>
}

/** What the config lets a file say about a module of the base. */
function rolesOf(
  spec: ModelSpec,
  config: PeftConfig,
  module: BaseModule,
  { adapted, saved }: Reach,
): ReadonlySet<TensorRole> {
  const roles = new Set<TensorRole>()
  const isAdapted = adapted.has(module.path)
  if (isAdapted) {
    for (const role of module.kind === 'embedding' ? (['embeddingA', 'embeddingB'] as const) : (['a', 'b'] as const)) {
      roles.add(role)
    }
    if (config.useDora) roles.add('magnitude')
    if (config.loraBias) roles.add('loraBias')
    if (isVocabulary(module)) roles.add('baseWeight')
  }
  if (saved.has(module.path) || isSavedBeside(spec, config, module, { adapted, saved })) roles.add('weight')
  if (isVocabulary(module) && config.trainableTokens[module.kind]) roles.add('tokens')
  const bringsBias = config.bias === 'all' || (config.bias === 'lora_only' && isAdapted)
  if (module.kind === 'projection' && bringsBias && hasBias(spec, module.projection)) roles.add('bias')
  return roles
}

/** What PEFT refuses, or would compute in a way of its own, about the embedding and the output layer. */
function checkVocabulary(spec: ModelSpec, config: PeftConfig, module: VocabularyModule, reach: Reach): void {
  const { path, kind } = module
  const tokens = config.trainableTokens[kind]
  const isAdapted = reach.adapted.has(path)
  const isSaved = reach.saved.has(path)
  const refuse = (field: string, problem: string) =>
    new AdapterRefusedError('adapter_unsupported', field, `${CONFIG_FILE}: ${field} ${problem}.`)
  if (tokens && (isAdapted || isSaved)) {
    throw refuse('trainable_token_indices', `cannot be used with LoRA on ${path}, nor with a whole ${path}`)
  }
  if (
    tokens &&
    spec.tiedEmbeddings &&
    isReached(config, reach, kind === 'embedding' ? 'lm_head' : 'model.embed_tokens')
  ) {
    throw refuse('trainable_token_indices', `cannot be used with another change of a tied output layer or embedding`)
  }
  if (kind === 'embedding' && isAdapted && config.loraBias) {
    throw refuse('lora_bias', 'cannot be used with LoRA on an embedding, in PEFT neither')
  }
  if (config.ensureWeightTying && spec.tiedEmbeddings && (isAdapted || isSaved)) {
    throw refuse('ensure_weight_tying', `would tie what the adapter does to ${path}, which is not supported`)
  }
  if (kind === 'head' && isAdapted && spec.vocabSize % 4 > 0) {
    throw refuse('target_modules', `reaches lm_head; LoRA on it needs a vocabulary of a multiple of 4 tokens`)
  }
}

/** PEFT waits for the invocation with LoRA on linear layers only; whatever else an adapter does, it does to all tokens. */
function checkInvocation(
  spec: ModelSpec,
  { invocation, useDora, bias, trainableTokens }: PeftConfig,
  modules: readonly BaseModule[],
  { adapted, saved }: Reach,
): void {
  if (!invocation) return
  const field = 'alora_invocation_tokens'
  const others: readonly (readonly [field: string, is: boolean])[] = [
    ['use_dora', useDora],
    ['target_modules', modules.some(({ kind, path }) => kind === 'embedding' && adapted.has(path))],
    ['modules_to_save', saved.size > 0],
    ['trainable_token_indices', trainableTokens.embedding !== null || trainableTokens.head !== null],
    ['bias', bias !== 'none'],
  ]
  const other = others.find(([, is]) => is)
  if (other) {
    const message = `${CONFIG_FILE}: ${other[0]} asks for more than LoRA on linear layers, which is not supported together with ${field}.`
    throw new AdapterRefusedError('adapter_unsupported', other[0], message)
  }
  const outside = invocation.find((token) => token < 0 || token >= spec.vocabSize)
  if (outside === undefined) return
  const message = `${CONFIG_FILE}: ${field} names ${outside}, which is no token of this base.`
  throw new AdapterRefusedError('adapter_config_invalid', field, message)
}

function isReached({ trainableTokens }: PeftConfig, { adapted, saved }: Reach, path: string): boolean {
  const own = trainableTokens[path === 'lm_head' ? 'head' : 'embedding']
  return adapted.has(path) || saved.has(path) || own !== null
}

/** Whether PEFT may have saved it whole though nothing names it. In a tied base the other side is the same weight. */
function isSavedBeside(spec: ModelSpec, config: PeftConfig, { kind }: BaseModule, reach: Reach): boolean {
  if (kind !== 'embedding' && kind !== 'head') return false
  const sides = spec.tiedEmbeddings
    ? ['model.embed_tokens', 'lm_head']
    : [kind === 'head' ? 'lm_head' : 'model.embed_tokens']
  return !sides.some((path) => isReached(config, reach, path))
}

function isVocabulary(module: BaseModule): module is VocabularyModule {
  return module.kind === 'embedding' || module.kind === 'head'
}

function hasLora(tensors: ModuleTensors | undefined): boolean {
  if (!tensors) return false
  const { a, b, embeddingA, embeddingB, magnitude, loraBias } = tensors
  return Boolean(a || b || embeddingA || embeddingB || magnitude || loraBias)
}

function savedNote({ name }: TensorInfo): string {
  return `${shown(name)} lies beside the adapter, though ${CONFIG_FILE} does not name it: as in PEFT it counts where it is not the base's own.`
}

/** PEFT fills what the file lacks as if it were new: with zeros in B, which does nothing, or at random. */
function absentNote(config: PeftConfig, absent: readonly string[]): string {
  const path = absent[0]!
  if (!config.absentModulesDoNothing) {
    const name = tensorName(path, 'lora_A.weight')
    const message = `${CONFIG_FILE} targets ${path}, but the weights have no ${name}, and with this init_lora_weights PEFT would fill it at random.`
    throw tensorRefusal('adapter_tensor_missing', name, message)
  }
  const more = absent.length > 1 ? ` and ${absent.length - 1} more` : ''
  return `${CONFIG_FILE} targets ${path}${more}, for which the weights hold nothing: left as in the base, as PEFT leaves them.`
}

/** Names PEFT gives the tensors of an adapted module, by role. */
const LORA_TENSORS = {
  a: 'lora_A.weight',
  b: 'lora_B.weight',
  embeddingA: 'lora_embedding_A',
  embeddingB: 'lora_embedding_B',
  magnitude: 'lora_magnitude_vector',
  loraBias: 'lora_B.bias',
} as const satisfies Partial<Record<TensorRole, string>>

function planModule(
  spec: ModelSpec,
  config: PeftConfig,
  module: TargetModule,
  tensors: ModuleTensors,
  budget: MatchBudget,
): ModulePlan<TargetModule> {
  const { path, kind } = module
  const { magnitude, bias, loraBias } = tensors
  const vectors = { magnitude, bias, loraBias }
  if (!hasLora(tensors)) {
    const plan = { module, rank: 0, rankSaidBy: CONFIG_FILE, scale: 0, lora: null, vectors }
    checkPlan(spec, plan)
    return plan
  }
  const [roleOfA, roleOfB] = kind === 'embedding' ? (['embeddingA', 'embeddingB'] as const) : (['a', 'b'] as const)
  const wanted = [
    roleOfA,
    roleOfB,
    ...(config.useDora ? (['magnitude'] as const) : []),
    ...(config.loraBias ? (['loraBias'] as const) : []),
  ]
  const a = tensors[roleOfA]
  const b = tensors[roleOfB]
  const missing = wanted.find((role) => !tensors[role])
  if (missing || !a || !b) {
    const name = tensorName(path, LORA_TENSORS[missing!])
    const present = LORA_TENSORS[wanted.find((role) => tensors[role])!]
    throw tensorRefusal('adapter_tensor_missing', name, `${path} has a ${present} but no ${name}.`)
  }
  const { rank, scale, rankField } = rankAndScale(config, path, budget)
  const plan = { module, rank, rankSaidBy: `${rankField} of ${CONFIG_FILE}`, scale, lora: { a, b }, vectors }
  checkPlan(spec, plan)
  return plan
}

function normGain(
  spec: ModelSpec,
  module: Extract<BaseModule, { kind: 'norm' }>,
  { weight }: ModuleTensors,
): TensorInfo {
  if (!weight) throw missingSaved(module)
  checkTensor(weight, [module.norm === 'q' || module.norm === 'k' ? spec.headDim : spec.hiddenSize])
  return weight
}

/** A whole module, or rows of it. */
function planRows(
  spec: ModelSpec,
  config: PeftConfig,
  module: VocabularyModule,
  { weight, tokens: rows }: ModuleTensors,
  { saved }: Reach,
): RowsPlan[] {
  const { vocabSize, hiddenSize } = spec
  const tokens = config.trainableTokens[module.kind]
  if (saved.has(module.path)) {
    if (!weight) throw missingSaved(module)
    checkTensor(weight, [vocabSize, hiddenSize])
    return [{ module, tokens: null, matrix: weight }]
  }
  if (!tokens) return []
  const field = 'trainable_token_indices'
  if (!rows) {
    const name = tensorName(module.path, 'token_adapter.trainable_tokens_delta')
    throw tensorRefusal('adapter_tensor_missing', name, `${CONFIG_FILE} sets ${field}, but there is no ${name}.`)
  }
  const outside = tokens.find((token) => token < 0 || token >= vocabSize)
  if (outside !== undefined || new Set(tokens).size < tokens.length || tokens.length === 0) {
    const problem = outside === undefined ? 'must name tokens, and none twice' : `names ${outside}, which is no token`
    throw new AdapterRefusedError('adapter_config_invalid', field, `${CONFIG_FILE}: ${field} ${problem}.`)
  }
  checkTensor(rows, [tokens.length, hiddenSize])
  return [{ module, tokens, matrix: rows }]
}

/** PEFT lets trained tokens of a tied embedding reach the output layer too; a whole embedding it unties. */
function tiedRows(
  spec: ModelSpec,
  rows: readonly RowsPlan[],
  modules: readonly VocabularyModule[],
): readonly RowsPlan[] {
  const [only] = rows
  if (!spec.tiedEmbeddings || !only?.tokens) return rows
  if (only.module.kind !== 'embedding') {
    const message = `${CONFIG_FILE}: trainable_token_indices for lm_head alone are not supported where it is tied to the embedding.`
    throw new AdapterRefusedError('adapter_unsupported', 'trainable_token_indices', message)
  }
  const head = modules.find((module) => module.kind === 'head')!
  return [only, { ...only, module: head }]
}

function missingSaved({ path }: BaseModule): AdapterRefusedError {
  const name = tensorName(path, 'weight')
  const message = `${CONFIG_FILE} names ${path} in modules_to_save, but there is no ${name}.`
  return tensorRefusal('adapter_tensor_missing', name, message)
}

function tensorName(path: string, tensor: string): string {
  return `base_model.model.${path}.${tensor}`
}
