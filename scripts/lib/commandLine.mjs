/** Runs the built command line on the chosen device. */
import { join } from 'node:path'
import { buildWhenStale } from './build.mjs'
import { foreground } from './child.mjs'
import { withDefaultModel } from './defaultModel.mjs'
import { DIST } from './project.mjs'
import { setUp } from './setup.mjs'

/**
 * Sets up, builds if needed, and stays in the foreground until the command ends.
 * @param {readonly string[]} wanted the command line's arguments, sub-command first
 * @returns {Promise<number>} its exit code
 */
export async function runCommandLine(wanted) {
  const ready = await setUp()
  await buildWhenStale()
  const { args, env } = withDefaultModel(wanted, ready)
  return foreground([join(DIST, 'cli.js'), ...args], env)
}
