/** Builds dist/ when it was not built from the sources as they are now: told by a digest of them, not by file times. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { capture } from './child.mjs'
import { withLock } from './lock.mjs'
import { DIST, inProject, NODE_MODULES, ROOT } from './project.mjs'
import { SetupError, say, secondsSince } from './report.mjs'

const BUILD_LIMIT_MS = 5 * 60_000
const BROWSER_CONFIG = 'build/browser.config.ts'
const STANDALONE_CONFIG = 'build/standalone.config.ts'
/** Single files; see there. */
const STANDALONE = ['page', 'service-worker']
const DEMO_CONFIG = 'demo/vite.config.ts'
/** All that the bundles are made of. */
const INPUTS = ['src', 'shaders', 'demo', 'models/aviary', 'build', 'vite.config.ts', 'package-lock.json']

/** @param {string} path relative to the project @returns {string[]} the files in or at it */
function filesAt(path) {
  const at = statSync(inProject(path), { throwIfNoEntry: false })
  if (!at) return []
  if (!at.isDirectory()) return [path]
  return readdirSync(inProject(path))
    .sort()
    .flatMap((entry) => filesAt(`${path}/${entry}`))
}

function digestOfInputs() {
  const hash = createHash('sha256')
  for (const path of INPUTS.flatMap(filesAt))
    hash
      .update(`${path}\0`)
      .update(readFileSync(inProject(path)))
      .update('\0')
  return hash.digest('hex')
}

/** @param {readonly string[]} args */
async function vite(args) {
  const result = await capture(process.execPath, [join(NODE_MODULES, 'vite/bin/vite.js'), 'build', ...args], {
    cwd: ROOT,
    timeoutMs: BUILD_LIMIT_MS,
  })
  if (result.code === 0) return
  process.stderr.write(result.stdout + result.stderr)
  throw new SetupError(`vite build ${args.join(' ')} failed`)
}

/** The library, the command line and the demo page, without the type declarations. */
export function buildWhenStale() {
  return withLock(inProject('.cache'), build)
}

async function build() {
  const stamp = join(DIST, '.built-from')
  const now = digestOfInputs()
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return
  const started = performance.now()
  await vite([])
  await vite(['--config', BROWSER_CONFIG])
  for (const mode of STANDALONE) await vite(['--config', STANDALONE_CONFIG, '--mode', mode])
  if (existsSync(inProject(DEMO_CONFIG))) await vite(['--config', DEMO_CONFIG])
  writeFileSync(stamp, now)
  say(`built in ${secondsSince(started)}`)
}
