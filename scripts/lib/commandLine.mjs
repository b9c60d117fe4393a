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

/**
 * Sets up, builds if needed, and stays in the foreground until the command ends.
 * @param {readonly string[]} args of the command line, sub-command first
 * @returns {Promise<number>} its exit code
 */
export async function runCommandLine(args) {
  const env = await setUp()
  await buildWhenStale()
  if (!env.LORIKEET_DEFAULT_MODEL && !existsSync(inProject(EMBEDDED_MODEL, 'config.json'))) {
    env.LORIKEET_DEFAULT_MODEL = inProject(STAND_IN_MODEL)
    if (!args.some((arg) => /^--model(=|$)/.test(arg))) {
      say('there is no embedded model yet: llama-tiny, which has random weights, stands in. Its text is noise.')
    }
  }
  return foreground([join(DIST, 'cli.js'), ...args], env)
}
