/**
 * From the start of the process to the first token (line S14), with the embedded model and over HTTP: as a user's first
 * `lorikeet serve`, with nothing in the driver's cache of compiled shaders, and as every later one.
 *
 *     npm run build && node bench/run.mjs bench/firstToken.ts [--rounds=3]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, rounded } from './support/timing.ts'

const option = process.argv.find((argument) => argument.startsWith('--rounds='))
const ROUNDS = Number(option?.split('=')[1] ?? 3)
const VOICE = 'melville'

/** Seconds from the start of the process. */
interface Start {
  readonly listening: number
  readonly firstToken: number
  /** Of an adapter, asked for after the base has answered. */
  readonly firstAdapterToken: number
}

/** `cache`: the folder in which Mesa keeps compiled shaders. */
async function start(cache: string): Promise<Start> {
  const env = { ...process.env, MESA_SHADER_CACHE_DIR: cache }
  const began = performance.now()
  const since = () => (performance.now() - began) / 1000
  const server = spawn(process.execPath, ['dist/cli.js', 'serve', '--port', '0'], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    const url = await listening(server)
    const listeningAt = since()
    await firstToken(url, 'aviary')
    const firstAt = since()
    await firstToken(url, VOICE)
    return { listening: listeningAt, firstToken: firstAt, firstAdapterToken: since() - firstAt }
  } finally {
    server.kill('SIGTERM')
    await new Promise((resolve) => server.once('exit', resolve))
  }
}

function listening(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    server.stdout!.on('data', (text) => {
      said += text
      const url = /API\s+(http:\S+)\/v1/.exec(said)?.[1]
      if (url) resolve(url)
    })
    server.once('exit', () => reject(new Error(`the server ended: ${said}`)))
  })
}

async function firstToken(url: string, model: string): Promise<void> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({ model, prompt: 'The sea', max_tokens: 2, stream: true }),
  })
  const reader = response.body!.getReader()
  await reader.read()
  await reader.cancel()
}

if (!existsSync('dist/cli.js')) throw new Error('dist/cli.js is not there: npm run build')
const rounds: { cold: Start; warm: Start }[] = []
for (let round = 0; round < ROUNDS; round++) {
  const cache = mkdtempSync(join(tmpdir(), 'lorikeet-first-'))
  try {
    rounds.push({ cold: await start(cache), warm: await start(cache) })
  } finally {
    rmSync(cache, { recursive: true, force: true })
  }
}
const summary = (state: 'cold' | 'warm') => {
  const of = (pick: (start: Start) => number) => {
    const values = rounds.map((round) => pick(round[state]))
    return { best: Math.min(...values), median: median(values), rounds: values }
  }
  return {
    listening: of((s) => s.listening),
    firstToken: of((s) => s.firstToken),
    firstAdapterToken: of((s) => s.firstAdapterToken),
  }
}
console.log(rounded({ unit: 'seconds', rounds: ROUNDS, cold: summary('cold'), warm: summary('warm') }))
