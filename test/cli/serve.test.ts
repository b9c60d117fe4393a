/** `lorikeet serve` as a whole, in this process: what it says, what its flags do, and how it stops. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NoModelError } from '../../src/cli/embedded.ts'
import type { ServeFlags } from '../../src/cli/program.ts'
import { NoLoraDirectoryError, serve, type Terminal } from '../../src/cli/serve.ts'
import { TraceFileError } from '../../src/cli/traceFile.ts'
import { serve as listen } from '../../src/hosts/node/serve.ts'
import { reference } from '../fixtures.ts'

const SIZES = { kvCacheMemory: 2 ** 21, loraMemory: 2 ** 22, maxNumBatchedTokens: 64 }
const MODEL = reference('models/llama-tiny')
const FLAGS: ServeFlags = { host: '127.0.0.1', port: 0, logFormat: 'pretty', ...SIZES }

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lorikeet-serve-'))
  mkdirSync(join(root, 'voices'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** A process that is not this one. */
function fakeTerminal({ env = {}, modelFolders = [] }: { env?: Record<string, string>; modelFolders?: URL[] } = {}) {
  const said = { out: '', err: '' }
  let stop = (): void => {}
  const stream = (name: 'out' | 'err') =>
    ({
      isTTY: false,
      write(text: string) {
        said[name] += text
        return true
      },
    }) as unknown as NodeJS.WriteStream
  const terminal: Terminal = {
    env,
    stdout: stream('out'),
    stderr: stream('err'),
    pageFolders: [],
    listen,
    modelFolders,
    onStop(listener) {
      stop = listener
    },
  }
  return { terminal, said, stop: () => stop() }
}

async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve))
}

describe('serve', () => {
  it('serves a model with what lies in a folder, follows it, and lets requests bring more', async () => {
    const voices = join(root, 'voices')
    cpSync(reference('adapters/llama-tiny/r1'), join(voices, 'pirate'), { recursive: true })
    const { terminal, said, stop } = fakeTerminal()
    const serving = serve({ ...FLAGS, model: MODEL, loraDir: voices, loraRefreshInterval: 0.05 }, terminal)
    serving.catch(() => undefined)
    await Promise.race([serving, until(() => said.out.includes('Try it:'))])
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said.out)![0]
    // One line to paste for the base, and one for each voice.
    expect(said.out.match(/^ {2}curl .*"model":"(llama-tiny|pirate)"/gm)).toHaveLength(2)
    const models = async (): Promise<string[]> =>
      ((await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] }).data.map(({ id }) => id)
    expect(await models()).toEqual(['llama-tiny', 'pirate'])
    cpSync(reference('adapters/llama-tiny/r5'), join(voices, 'tutor'), { recursive: true })
    while (!(await models()).includes('tutor')) await new Promise((resolve) => setImmediate(resolve))
    const load = (lora_path: string) =>
      fetch(`${url}/v1/load_lora_adapter`, { method: 'POST', body: JSON.stringify({ lora_name: 'cook', lora_path }) })
    // Below the working directory and the folder of adapters, nowhere else.
    expect((await load('test/fixtures/reference/adapters/llama-tiny/qv-r8')).status).toBe(200)
    expect((await load('/etc')).status).toBe(400)
    expect(await models()).toEqual(['llama-tiny', 'pirate', 'tutor', 'cook'])
    stop()
    await serving
    expect(said.err).toContain('stopped')
  })

  it('writes a trace of requests, steps and the device', async () => {
    const { terminal, said, stop } = fakeTerminal()
    const trace = join(root, 'trace.json')
    const serving = serve({ ...FLAGS, model: MODEL, trace }, terminal)
    serving.catch(() => undefined)
    await Promise.race([serving, until(() => said.out.includes('Try it:'))])
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said.out)![0]
    const body = JSON.stringify({ prompt: [1, 2, 3], max_tokens: 9, ignore_eos: true })
    expect((await fetch(`${url}/v1/completions`, { method: 'POST', body })).status).toBe(200)
    stop()
    await serving
    expect(said.err).toContain('trace.json')
    const events = JSON.parse(readFileSync(trace, 'utf8')) as { name: string; cat?: string; tid: number; ph: string }[]
    expect(events.filter(({ name }) => name === 'plan')).toHaveLength(9)
    expect(events.filter(({ cat, ph }) => cat === 'request' && ph === 'b')).toHaveLength(4)
    // Where the device has timestamps, as software devices do.
    expect(events.filter(({ name, tid }) => name === 'run' && tid === 2)).toHaveLength(9)
  })

  it('refuses a trace that it cannot write, before anything is loaded', async () => {
    const { terminal } = fakeTerminal()
    const trace = join(root, 'no such folder', 'trace.json')
    await expect(serve({ ...FLAGS, model: MODEL, trace }, terminal)).rejects.toThrow(TraceFileError)
  })

  it('serves the model that comes along, with its adapters unless others are named', async () => {
    cpSync(MODEL, join(root, 'model'), { recursive: true })
    cpSync(reference('adapters/llama-tiny/r1'), join(root, 'model/adapters/pirate'), { recursive: true })
    mkdirSync(join(root, 'model/adapters/notes'))
    const modelFolders = [new URL(`file://${root}/none/`), new URL(`file://${root}/model/`)]
    for (const [flags, adapters] of [
      [FLAGS, ['pirate']],
      [{ ...FLAGS, loraModules: [{ name: 'cook', path: reference('adapters/llama-tiny/r5') }] }, ['cook']],
      [{ ...FLAGS, loraDir: join(root, 'voices') }, []],
    ] as const) {
      const { terminal, said, stop } = fakeTerminal({ modelFolders })
      const serving = serve(flags, terminal)
      serving.catch(() => undefined)
      await Promise.race([serving, until(() => said.out.includes('Try it:'))])
      const named = [...said.out.matchAll(/^ {2}curl .*"model":"([^"]+)"/gm)].map(([, name]) => name)
      expect(named).toEqual(['model', ...adapters])
      stop()
      await serving
    }
  })

  it('needs a model, and a directory to look at', async () => {
    await expect(serve(FLAGS, fakeTerminal().terminal)).rejects.toThrow(NoModelError)
    const model = MODEL
    await expect(serve({ ...FLAGS, model, loraRefreshInterval: 1 }, fakeTerminal().terminal)).rejects.toThrow(
      NoLoraDirectoryError,
    )
    await expect(serve({ ...FLAGS, model, loraDir: join(root, 'none') }, fakeTerminal().terminal)).rejects.toThrow(
      /none does not exist/,
    )
  })
})
