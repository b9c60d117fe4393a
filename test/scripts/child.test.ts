/** Child processes: their output, time limits, exit codes and signals. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { capture, failureLine } from '../../scripts/lib/child.mjs'

const node = (code: string, timeoutMs = 30_000) => capture(process.execPath, ['-e', code], { timeoutMs })

describe('capture', () => {
  it('gives output and exit code', async () => {
    const result = await node('console.log("out"); console.error("err"); process.exit(3)')
    expect(result).toEqual({ code: 3, signal: null, stdout: 'out\n', stderr: 'err\n', timedOut: false })
  })

  it('ends a command at its time limit', async () => {
    const result = await node('setInterval(() => {}, 1000)', 50)
    expect(result).toMatchObject({ code: null, signal: 'SIGTERM', timedOut: true })
    expect(failureLine(result)).toBe('it ran past its time limit')
  })

  it('reports a command that does not exist', async () => {
    const result = await capture('no-such-command', [], { timeoutMs: 1000 })
    expect(result.code).toBeNull()
    // EACCES where the search path holds a folder that this user may not read.
    expect(failureLine(result)).toMatch(/^spawn no-such-command (ENOENT|EACCES)$/)
  })
})

describe('failureLine', () => {
  it.each([
    ['Reading package lists...\nE: Unable to locate package\nmore', 'E: Unable to locate package'],
    ['npm error code E404\nnpm error 404 Not Found\nnpm error A complete log of this run', 'npm error 404 Not Found'],
    ['just\nwords\n', 'words'],
    ['', 'exit code 2'],
  ])('finds the telling line of %j', (stderr, line) => {
    expect(failureLine({ code: 2, signal: null, stdout: '', stderr, timedOut: false })).toBe(line)
  })
})

describe('foreground', () => {
  const child = fileURLToPath(new URL('../../scripts/lib/child.mjs', import.meta.url))
  const WAITS = `const close = () => { console.log('closing'); setTimeout(() => process.exit(5), 20) }
    process.on('SIGINT', close).on('SIGTERM', close)
    setInterval(() => {}, 1000)
    console.log('up')`

  /** Arguments for a Node that runs `code` in the foreground and ends with its exit code. */
  function script(code: string): string[] {
    const outer = `import { foreground } from ${JSON.stringify(child)}
      process.exitCode = await foreground(['-e', ${JSON.stringify(code)}], { ...process.env, GIVEN: 'yes' })`
    return ['--input-type=module', '-e', outer]
  }

  function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    return spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  }

  /** All output, with `onUp` called once the inner program is up. */
  async function outputOf(outer: ReturnType<typeof start>, onUp: () => void): Promise<string> {
    let output = ''
    for await (const data of outer.stdout) {
      output += data
      if (output === 'up\n') onUp()
    }
    return output
  }

  it('passes on environment, output and exit code', async () => {
    const outer = start(process.execPath, script('console.log(process.env.GIVEN); process.exitCode = 7'))
    const [[output], [code]] = await Promise.all([once(outer.stdout, 'data'), once(outer, 'close')])
    expect([String(output), code]).toEqual(['yes\n', 7])
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('hands %s on and waits for the child to finish its work', async (signal) => {
    const outer = start(process.execPath, script(WAITS))
    const ended = once(outer, 'close')
    expect(await outputOf(outer, () => outer.kill(signal))).toBe('up\nclosing\n')
    expect(await ended).toEqual([5, null])
  })

  it("ends the child when npm's shell was killed without a word", async () => {
    const shell = start('sh', ['-c', '"$0" "$@"; true', process.execPath, ...script(WAITS)], {
      ...process.env,
      npm_lifecycle_event: 'start',
    })
    expect(await outputOf(shell, () => shell.kill('SIGKILL'))).toBe('up\nclosing\n')
  })

  it('ends as shells do when the child is killed', async () => {
    const outer = start(process.execPath, script('process.kill(process.pid, "SIGKILL")'))
    expect(await once(outer, 'close')).toEqual([137, null])
  })
})
