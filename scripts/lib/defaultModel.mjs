/** The model that is served when none is named: the embedded one, or what stands in for it in a checkout without. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { inProject } from './project.mjs'

/**
 * @typedef {object} DefaultModel
 * @property {string} folder
 * @property {Record<string, string>} adapters name to PEFT folder
 * @property {boolean} isStandIn its weights are random
 */

const EMBEDDED = inProject('models/aviary')
const STAND_IN = inProject('test/fixtures/reference/models/llama-tiny')
const STAND_IN_ADAPTERS = inProject('test/fixtures/reference/adapters/llama-tiny')
/** Of different ranks, so that a batch of them shows something. */
const STAND_IN_ADAPTER_NAMES = ['r1', 'r5', 'all-linear-r8', 'attn-r16', 'mlp-r32']

/** @param {string} folder @param {readonly string[]} names */
function adaptersIn(folder, names) {
  const found = names.filter((name) => existsSync(join(folder, name, 'adapter_config.json')))
  return Object.fromEntries(found.map((name) => [name, join(folder, name)]))
}

/** @returns {DefaultModel} */
export function defaultModel() {
  if (!existsSync(join(EMBEDDED, 'model.safetensors'))) {
    return { folder: STAND_IN, adapters: adaptersIn(STAND_IN_ADAPTERS, STAND_IN_ADAPTER_NAMES), isStandIn: true }
  }
  const voices = join(EMBEDDED, 'adapters')
  const adapters = existsSync(voices) ? adaptersIn(voices, readdirSync(voices).sort()) : {}
  return { folder: EMBEDDED, adapters, isStandIn: false }
}

/**
 * A command line with the default model in its environment, and with that model's adapters where it serves and none
 * are asked for.
 * @param {readonly string[]} args of the command line, sub-command first
 * @param {NodeJS.ProcessEnv} env
 * @param {() => DefaultModel} [model]
 * @returns {{ args: string[], env: NodeJS.ProcessEnv }}
 */
export function withDefaultModel(args, env, model = defaultModel) {
  const has = (/** @type {string} */ option) => args.some((arg) => arg === option || arg.startsWith(`${option}=`))
  if (env.LORIKEET_DEFAULT_MODEL || has('--model')) return { args: [...args], env }
  const { folder, adapters, isStandIn } = model()
  const modules = Object.entries(adapters).map(([name, path]) => `${name}=${path}`)
  const addsAdapters = args[0] === 'serve' && modules.length > 0 && !has('--lora-modules') && !has('--help')
  return {
    args: addsAdapters ? [...args, '--lora-modules', ...modules] : [...args],
    env: { ...env, LORIKEET_DEFAULT_MODEL: folder, ...(isStandIn ? { LORIKEET_STAND_IN: '1' } : {}) },
  }
}
