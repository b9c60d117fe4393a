/** Runs the built command line on the chosen device. */
import { join } from 'node:path'
import { buildWhenStale } from './build.mjs'
import { foreground } from './child.mjs'
import { DIST } from './project.mjs'
import { setUp } from './setup.mjs'

/**
 * Sets up, builds if needed, and stays in the foreground until the command ends.
 * @param {readonly string[]} args the command line's arguments, sub-command first
 * @returns {Promise<number>} its exit code
 */
export async function runCommandLine(args) {
  const env = await setUp()
  await buildWhenStale()
  return foreground([join(DIST, 'cli.js'), ...args], env)
}
