/** Deno as tests run it: the npm package's program, on the device that set-up chose, from the root of the checkout. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The program itself. */
export const DENO: string = fileURLToPath(new URL('../../node_modules/.bin/deno', import.meta.url))

export interface DenoRun {
  /** Lines of its standard output that are JSON: drivers write there too. */
  readonly lines: readonly string[]
  readonly stderr: string
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
}

/** `deno run -A` with these arguments, the script first. */
export function runDeno(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<DenoRun> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...process.env, ...env, NO_COLOR: '1' }, maxBuffer: 2 ** 26 }
    const child = execFile(DENO, ['run', '-A', '--no-prompt', ...args], options, (_error, stdout, stderr) => {
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
      resolve({ lines, stderr, code: child.exitCode })
    })
  })
}
