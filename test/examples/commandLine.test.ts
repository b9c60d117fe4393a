/** The examples for the command line, run as their reader would, on the package as it is built. */
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { ROOT } from '../architecture/projectFiles.ts'
import { DENO } from '../support/deno.ts'

const example = (path: string) => join(ROOT, 'examples', path)

beforeAll(async () => {
  const { buildWhenStale } = await import(join(ROOT, 'scripts/lib/build.mjs'))
  await buildWhenStale()
})

describe('examples', () => {
  it('node: every voice answers the openai client', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [example('node/chat.mjs')])
    const answers = stdout.split(/^(?=[\w-]+: )/m).filter((part) => part.includes(': '))
    expect(answers.map((answer) => answer.split(':')[0])).toEqual(
      expect.arrayContaining(['aviary', 'melville', 'king-james', 'early-presidents', 'late-presidents']),
    )
    for (const answer of answers) expect(answer).toMatch(/[a-z]{2,}.*[a-z]{2,}/s)
  })

  it('deno: the line that it prints works', async () => {
    const child = spawn(DENO, ['run', '-A', example('deno/server.ts'), '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    const line = await new Promise<string>((resolve, reject) => {
      let said = ''
      child.stdout.on('data', (text) => {
        said += text
        const found = /^curl .*$/m.exec(said)
        if (found) resolve(found[0])
      })
      exited.then((code) => reject(new Error(`it ended with ${code}: ${said}`)))
    })
    // As curl would; not every machine has it.
    const [, url, body] = /^curl (\S+) -d '(.*)'$/.exec(line)!
    const response = await fetch(url!, { method: 'POST', body: body! })
    expect(await response.json()).toMatchObject({ model: 'melville', usage: { completion_tokens: 40 } })
    child.kill('SIGINT')
    expect(await exited).toBe(0)
  })
})
