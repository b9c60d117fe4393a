/** Child processes in the two ways the scripts need them: captured with a time limit, or in the foreground. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { basename } from 'node:path'

/** The last bytes kept of each stream: enough for any error text. */
const KEEP_CHARACTERS = 1 << 20
/** Between asking a child to end and ending it. */
const KILL_AFTER_MS = 5_000
const PARENT_CHECK_MS = 250

/**
 * @typedef {{ code: number | null, signal: NodeJS.Signals | null, stdout: string, stderr: string, timedOut: boolean }} Captured
 * @typedef {{ env?: NodeJS.ProcessEnv, cwd?: string, timeoutMs: number, shell?: boolean }} CaptureOptions
 */

/**
 * Runs a command to its end, or to the time limit. Never rejects: a command that cannot start has code null.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {CaptureOptions} options
 * @returns {Promise<Captured>}
 */
export function capture(command, args, { env = process.env, cwd, timeoutMs, shell = false }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, cwd, shell, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true })
    const seen = { stdout: '', stderr: '' }
    let timedOut = false
    for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
      child[name].setEncoding('utf8')
      child[name].on('data', (text) => {
        seen[name] = (seen[name] + text).slice(-KEEP_CHARACTERS)
      })
    }
    const limit = setTimeout(() => {
      timedOut = true
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
    }, timeoutMs)
    child.on('error', (error) => {
      clearTimeout(limit)
      resolve({ code: null, signal: null, ...seen, stderr: error.message, timedOut })
    })
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      resolve({ code, signal, ...seen, timedOut })
    })
  })
}

/**
 * Why a captured command failed, in one line: the last line that says so, else the last one.
 * @param {Captured} result
 */
export function failureLine(result) {
  if (result.timedOut) return 'it ran past its time limit'
  const lines = `${result.stdout}\n${result.stderr}`.split('\n').flatMap((line) => line.trim() || [])
  const telling = lines.filter((line) => /^(E:|npm error (?!A complete log|code|errno|\/)|Error)/i.test(line)).at(0)
  return telling ?? lines.at(-1) ?? (result.signal ? `killed by ${result.signal}` : `exit code ${result.code}`)
}

/**
 * Runs npm itself: the one that started this script, so that no second version comes into play.
 * @param {readonly string[]} args
 * @param {CaptureOptions} options
 */
export function npm(args, options) {
  const own = process.env.npm_execpath
  if (own && basename(own).startsWith('npm')) return capture(process.execPath, [own, ...args], options)
  return capture('npm', args, { ...options, shell: process.platform === 'win32' })
}

/**
 * Runs Node with this terminal and hands every signal on, so that the child alone decides how to stop.
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} the exit code to end with; 128 + n after signal n, as shells do
 */
export function foreground(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, stdio: 'inherit' })
    /** @type {NodeJS.Signals[]} */
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    /** @param {NodeJS.Signals} signal */
    const handOn = (signal) => {
      // Ctrl-C in a terminal reaches the whole process group, the child too: once is enough.
      if (signal === 'SIGINT' && process.stdin.isTTY) return
      child.kill(signal)
    }
    for (const signal of signals) process.on(signal, handOn)
    const orphanWatch = watchNpmsShell(() => child.kill('SIGTERM'))
    const release = () => {
      clearInterval(orphanWatch)
      for (const signal of signals) process.off(signal, handOn)
    }
    child.on('error', (error) => {
      release()
      reject(error)
    })
    child.on('exit', (code, signal) => {
      release()
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0))
    })
  })
}

/**
 * npm starts scripts through a shell, and a SIGTERM for npm ends that shell without reaching the script. Its
 * parent's end is then the only sign that it should stop.
 * @param {() => void} onGone
 */
function watchNpmsShell(onGone) {
  if (!process.env.npm_lifecycle_event) return undefined
  const shell = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === shell) return
    clearInterval(watch)
    onGone()
  }, PARENT_CHECK_MS)
  return watch
}
