/** What WebGPU device a process would get under a given environment. */
import { fileURLToPath } from 'node:url'
import { capture } from './child.mjs'

/** A cold driver on a slow machine takes seconds; a hung one takes for ever. */
const PROBE_LIMIT_MS = 60_000

/**
 * @typedef {{ name: string, software: boolean, f16: boolean }} Adapter
 * @typedef {{ status: 'adapter', adapter: Adapter }
 *   | { status: 'none' }
 *   | { status: 'broken', detail: string }
 *   | { status: 'unloadable', detail: string }} Probed
 * `none`: no driver offers a device. `broken`: there is one, and it fails. `unloadable`: dawn.node itself does not start here.
 */

/**
 * @param {NodeJS.ProcessEnv} env variables on top of this process's own
 * @returns {Promise<Probed>}
 */
export async function probe(env) {
  const script = fileURLToPath(new URL('./probeChild.mjs', import.meta.url))
  const result = await capture(process.execPath, [script], {
    env: { ...process.env, ...env },
    timeoutMs: PROBE_LIMIT_MS,
  })
  const line = result.stdout.split('\n').find((text) => text.startsWith('{'))
  if (line) return JSON.parse(line)
  const detail = result.timedOut
    ? 'no answer within a minute'
    : `the process ended with ${result.signal ?? result.code}`
  return { status: 'broken', detail }
}
