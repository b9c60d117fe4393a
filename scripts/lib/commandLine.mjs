/** Runs the built command line on the chosen device. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { buildWhenStale } from './build.mjs'
import { foreground } from './child.mjs'
import { DIST, inProject } from './project.mjs'
import { say } from './report.mjs'
import { setUp } from './setup.mjs'

/** The model that needs no download, and what stands in for it in a checkout that has none. */
const EMBEDDED_MODEL = 'models/aviary'
const STAND_IN_MODEL = 'test/fixtures/reference/models/llama-tiny'
const STAND_IN_ADAPTERS = 'test/fixtures/reference/adapters/llama-tiny'
/** Of different ranks, so that a batch of them shows something. */
const STAND_IN_ADAPTER_NAMES = ['r1', 'r5', 'all-linear-r8', 'attn-r16', 'mlp-r32']

/** @param {readonly string[]} args @param {string} option */
function has(args, option) {
  return args.some((arg) => arg === option || arg.startsWith(`${option}=`))
}

/**
 * What to add to a command line in a checkout without the embedded model: the stand-in, and with it its adapters where
 * none are asked for.
 * @param {readonly string[]} args of the command line, sub-command first
 * @param {NodeJS.ProcessEnv} env
 * @param {boolean} [hasModel] whether the embedded model is there
 * @returns {{ args: string[], env: NodeJS.ProcessEnv }}
 */
export function withStandIn(args, env, hasModel = existsSync(inProject(EMBEDDED_MODEL, 'config.json'))) {
  if (hasModel || env.LORIKEET_DEFAULT_MODEL || has(args, '--model')) return { args: [...args], env }
  const modules = STAND_IN_ADAPTER_NAMES.map((name) => `${name}=${inProject(STAND_IN_ADAPTERS, name)}`)
  const addsAdapters = args[0] === 'serve' && !has(args, '--lora-modules') && !has(args, '--help')
  return {
    args: addsAdapters ? [...args, '--lora-modules', ...modules] : [...args],
    env: { ...env, LORIKEET_DEFAULT_MODEL: inProject(STAND_IN_MODEL) },
  }
}

/**
 * Sets up, builds if needed, and stays in the foreground until the command ends.
 * @param {readonly string[]} wanted the command line's arguments, sub-command first
 * @returns {Promise<number>} its exit code
 */
export async function runCommandLine(wanted) {
  const ready = await setUp()
  await buildWhenStale()
  const { args, env } = withStandIn(wanted, ready)
  if (env !== ready && args[0] === 'serve') {
    say('there is no embedded model yet: llama-tiny, which has random weights, stands in. Its text is noise.')
  }
  return foreground([join(DIST, 'cli.js'), ...args], env)
}
