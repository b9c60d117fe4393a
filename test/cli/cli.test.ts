/** The command line without a GPU: flags, sizes, texts, errors. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { sizesOf } from '../../src/cli/engineFlags.ts'
import { createLog } from '../../src/cli/log.ts'
import { describeProblem } from '../../src/cli/problem.ts'
import { type Actions, createProgram, type ServeFlags } from '../../src/cli/program.ts'
import { createProgress } from '../../src/cli/progress.ts'
import { runtimeLora } from '../../src/cli/runtimeLora.ts'
import { readBytes } from '../../src/cli/values.ts'
import { curlLine, type Welcome, welcomeText } from '../../src/cli/welcome.ts'
import { InvariantError } from '../../src/errors.ts'
import { ListenError } from '../../src/hosts/server.ts'

/** Commands that do nothing. */
const nothing = async (): Promise<void> => {}
const NOTHING: Actions = { serve: nothing, bench: nothing, benchKernels: nothing, doctor: nothing }

/** The flags that reach `serve`. */
async function flagsOf(...args: string[]): Promise<ServeFlags> {
  let found: ServeFlags | null = null
  const program = createProgram({
    ...NOTHING,
    serve: async (flags) => {
      found = flags
    },
  })
  await quiet(program).parseAsync(['serve', ...args], { from: 'user' })
  return found!
}

/** What commander writes when it refuses. */
async function refusalOf(...args: string[]): Promise<string> {
  let text = ''
  const program = createProgram(NOTHING)
  quiet(program, (line) => {
    text += line
  })
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow(CommanderError)
  return text
}

function quiet(program: ReturnType<typeof createProgram>, write: (text: string) => void = () => {}) {
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: write, writeErr: write })
  }
  return program
}

describe('flags', () => {
  it('have defaults for this machine alone', async () => {
    expect(await flagsOf()).toEqual({ host: '127.0.0.1', port: 8000, logFormat: 'pretty', runAhead: true })
  })

  it('name an adapter to merge, or say where it is', async () => {
    expect(await flagsOf('--merge', 'a/b')).toMatchObject({ merge: 'a/b' })
    expect(await flagsOf('--merge', 'tutor=./t=u')).toMatchObject({ merge: { name: 'tutor', path: './t=u' } })
    const json = '{"name": "tutor", "path": "./t", "accept": ["adapter_changed_base"]}'
    expect(await flagsOf('--merge', json)).toMatchObject({ merge: JSON.parse(json) })
  })

  it('choose element types; auto is f32, whatever a device can do', async () => {
    const dtypesOf = async (dtype: string) =>
      sizesOf(await flagsOf('--kv-cache-dtype', dtype, '--activation-dtype', dtype))
    expect(await dtypesOf('float16')).toEqual({ kvCacheDtype: 'F16', activationDtype: 'F16' })
    for (const dtype of ['auto', 'float32']) expect(await dtypesOf(dtype)).toEqual({})
    await expect(flagsOf('--activation-dtype', 'int8')).rejects.toThrow(CommanderError)
  })

  it('are named as vLLM names them', async () => {
    expect(
      await flagsOf(
        ...['--model', './base', '--served-model-name', 'a', 'b', '--lora-modules', 'pirate=./p', 'x=y=z'],
        ...['--lora-modules', '{"name": "tutor", "path": "./t", "base_model_name": "a"}', '--enable-lora'],
        ...['--merge', 'tutor'],
        ...['--lora-dir', './voices', '--lora-refresh-interval', '2.5', '--lora-root', './a', '--lora-root', './b'],
        ...['--allow-runtime-lora', '--max-cpu-loras', '9', '--lora-host-memory', '2GiB'],
        ...['--max-loras', '4', '--lora-memory', '1GiB', '--max-model-len', '2048', '--max-num-seqs', '8'],
        ...['--max-num-batched-tokens', '256', '--kv-cache-memory', '1.5MiB', '--host', '0.0.0.0', '--port', '0'],
        ...[
          '--api-key',
          'one',
          '--api-key',
          'two',
          '--cors-origin',
          'https://a',
          '--strict',
          '--verbose',
          '--no-run-ahead',
          '--trace',
          't.json',
        ],
      ),
    ).toEqual({
      model: './base',
      servedModelName: ['a', 'b'],
      loraModules: [
        { name: 'pirate', path: './p' },
        { name: 'x', path: 'y=z' },
        { name: 'tutor', path: './t' },
      ],
      merge: 'tutor',
      loraDir: './voices',
      loraRefreshInterval: 2.5,
      loraRoot: ['./a', './b'],
      allowRuntimeLora: true,
      maxCpuLoras: 9,
      loraHostMemory: 2 * 2 ** 30,
      enableLora: true,
      maxLoras: 4,
      loraMemory: 2 ** 30,
      maxModelLen: 2048,
      maxNumSeqs: 8,
      maxNumBatchedTokens: 256,
      kvCacheMemory: 1.5 * 2 ** 20,
      host: '0.0.0.0',
      port: 0,
      apiKey: ['one', 'two'],
      corsOrigin: ['https://a'],
      strict: true,
      runAhead: false,
      trace: 't.json',
      verbose: true,
      logFormat: 'pretty',
    })
  })

  it('fall back on the environment', async () => {
    const env = {
      NIM_SERVED_MODEL_NAME: 'a,b',
      VLLM_API_KEY: 'k',
      LORIKEET_PORT: '9',
      NIM_MAX_GPU_LORAS: '3',
      NIM_MAX_CPU_LORAS: '5',
      NIM_MAX_LORA_RANK: '64',
      NIM_PEFT_SOURCE: '/loras',
      NIM_PEFT_REFRESH_INTERVAL: '30',
    }
    Object.assign(process.env, env)
    try {
      expect(await flagsOf()).toMatchObject({
        servedModelName: ['a', 'b'],
        apiKey: ['k'],
        port: 9,
        maxLoras: 3,
        maxCpuLoras: 5,
        maxLoraRank: 64,
        loraDir: '/loras',
        loraRefreshInterval: 30,
      })
      expect(await flagsOf('--port', '10', '--served-model-name', 'c')).toMatchObject({
        servedModelName: ['c'],
        port: 10,
      })
    } finally {
      for (const name of Object.keys(env)) delete process.env[name]
    }
  })

  it.each<[string[], string]>([
    [['serve', '--prot', '1'], 'Did you mean --port?'],
    [['serve', '--port', '70000'], 'Give a port from 0 to 65535'],
    [['serve', '--max-num-seqs', '0'], 'Give a whole number above 0.'],
    [['serve', '--lora-refresh-interval', '0'], 'Give seconds above 0, at most 86400.'],
    [['serve', '--lora-refresh-interval', '-5'], 'Give seconds above 0'],
    [['serve', '--lora-refresh-interval', 'soon'], 'Give seconds above 0'],
    [['serve', '--lora-refresh-interval', '1e9'], 'Give seconds above 0'],
    [['serve', '--max-num-seqs', '1e3'], 'Give a whole number above 0.'],
    [['serve', '--kv-cache-memory', '5 parsecs'], 'Give a size such as 512MiB or 2GiB.'],
    [['serve', '--lora-modules', 'pirate'], 'Give an adapter as name=path'],
    [['serve', '--lora-modules', 'a=b', 'a=c'], 'Two adapters are called "a".'],
    [['serve', '--lora-modules', '{"name": 5}'], 'An adapter in JSON needs a "name" and a "path".'],
    [['serve', '--lora-modules', '{"name": "a", "path": "b", "accept": ["nan"]}'], '"accept" of an adapter is a list'],
    [['serve', '--lora-modules', '{name'], 'This is not JSON.'],
    [['serve', '--merge', '=x'], 'Give an adapter as name=path'],
    [['serve', 'model'], 'too many arguments'],
    [['sevre'], 'Did you mean serve?'],
  ])('%j: %s', async (args, message) => {
    expect(await refusalOf(...args)).toContain(message)
  })

  it('are explained, with an example', async () => {
    const help = await refusalOf('serve', '--help')
    for (const flag of ['--model', '--lora-modules', '--kv-cache-memory', '--api-key']) expect(help).toContain(flag)
    expect(help).toContain('curl localhost:8000/v1/chat/completions')
  })
})

describe('changes by request', () => {
  const at = '/work'
  const roots = (flags: Partial<ServeFlags>, env: Record<string, string> = {}) =>
    runtimeLora({ host: '127.0.0.1', ...flags }, env, at)?.roots ?? null

  it('are on for this machine alone, from the working directory', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) expect(roots({ host })).toEqual([at])
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '127.0.0.1.example.org']) {
      expect(roots({ host })).toBeNull()
    }
  })

  it('are on elsewhere where the owner says so, from the folders he names', () => {
    const host = '0.0.0.0'
    expect(roots({ host, allowRuntimeLora: true })).toEqual([])
    expect(roots({ host, loraRefreshInterval: 5, loraDir: 'voices' })).toEqual(['/work/voices'])
    expect(roots({ host }, { VLLM_ALLOW_RUNTIME_LORA_UPDATING: 'True' })).toEqual([])
    expect(roots({ host, allowRuntimeLora: true, loraRoot: ['/a', 'b'], loraDir: '/c' })).toEqual([
      '/a',
      '/work/b',
      '/c',
    ])
    expect(roots({ loraRoot: ['/a'] })).toEqual(['/a'])
    expect(roots({ loraDir: '/c' })).toEqual(['/c', at])
  })

  it('are off where the owner says so', () => {
    expect(roots({ allowRuntimeLora: false })).toBeNull()
    expect(roots({}, { VLLM_ALLOW_RUNTIME_LORA_UPDATING: '0' })).toBeNull()
    expect(roots({ allowRuntimeLora: false, loraRefreshInterval: 5, loraDir: '/c' })).toBeNull()
    expect(roots({ allowRuntimeLora: true }, { VLLM_ALLOW_RUNTIME_LORA_UPDATING: '0' })).toEqual([at])
  })

  it('have a flag and its opposite', async () => {
    expect((await flagsOf('--allow-runtime-lora')).allowRuntimeLora).toBe(true)
    expect((await flagsOf('--no-allow-runtime-lora')).allowRuntimeLora).toBe(false)
    expect((await flagsOf()).allowRuntimeLora).toBeUndefined()
  })
})

describe('sizes', () => {
  it.each<[string, number]>([
    ['1024', 1024],
    ['512MiB', 512 * 2 ** 20],
    ['512mib', 512 * 2 ** 20],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['2G', 2 * 2 ** 30],
    ['200MB', 200e6],
    ['7B', 7],
  ])('%s is %i bytes', (text, bytes) => {
    expect(readBytes(text)).toBe(bytes)
  })

  it.each(['', '0', '-1', '1.5.2MiB', 'MiB', '1TiB', '1e9', '9999999GiB', '0.1'])('%s is none', (text) => {
    expect(() => readBytes(text)).toThrow()
  })
})

describe('the welcome', () => {
  const welcome: Welcome = {
    version: '1.2.3',
    device: 'llvmpipe',
    isSoftware: true,
    modelName: 'tiny',
    modelRoot: './tiny',
    merged: null,
    maxModelLen: 256,
    adapters: ['pirate', 'tutor'],
    url: 'http://127.0.0.1:8000',
    hasPage: true,
    hasChat: true,
    needsKey: false,
  }

  it('says what runs and how to try it, a line for each voice', () => {
    const text = welcomeText(welcome)
    expect(text).toMatchInlineSnapshot(`
      "
      lorikeet 1.2.3 is ready
        device   llvmpipe (software: a CPU stands in for a GPU)
        model    tiny from ./tiny, context 256 tokens
        adapters pirate, tutor
        page     http://127.0.0.1:8000/
        API      http://127.0.0.1:8000/v1

      Try it:
        curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' -d '{"model":"tiny","messages":[{"role":"user","content":"Tell me about the sea."}],"max_tokens":64}'
        curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' -d '{"model":"pirate","messages":[{"role":"user","content":"Tell me about the sea."}],"max_tokens":64}'
        curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' -d '{"model":"tutor","messages":[{"role":"user","content":"Tell me about the sea."}],"max_tokens":64}'
      "
    `)
  })

  it('says what is folded into the base', () => {
    expect(welcomeText({ ...welcome, merged: 'pirate' })).toContain(
      'tiny from ./tiny with pirate merged into it, context',
    )
  })

  it('lists so many voices and no more', () => {
    const adapters = Array.from({ length: 1000 }, (_, i) => `voice-${i}`)
    const text = welcomeText({ ...welcome, adapters })
    expect(text).toContain('voice-15 and 984 more')
    expect(text.match(/curl /g)).toHaveLength(16)
  })

  it('has lines a shell takes as they are', async () => {
    const line = curlLine({ ...welcome, url: 'http://h' }, "it's")
    const printed = line.replace(/^curl /, "printf '%s\\n' ")
    const { stdout } = await promisify(execFile)('sh', ['-c', printed])
    const body = JSON.parse(stdout.trim().split('\n').at(-1)!)
    expect(body).toMatchObject({ model: "it's", messages: [{ role: 'user' }] })
  })

  it('completes where there is no chat, and never shows a key', () => {
    const line = curlLine({ ...welcome, hasChat: false, needsKey: true }, 'tiny')
    expect(line).toContain('/v1/completions')
    expect(line).toContain('"authorization: Bearer $LORIKEET_API_KEY"')
    expect(line).toContain('"prompt"')
  })
})

describe('problems', () => {
  it('are a line, without a stack', () => {
    const cannotListen = new ListenError('::1', 80, new Error('no.'))
    expect(describeProblem(cannotListen, false)).toBe('lorikeet: Cannot listen on ::1:80: no.')
    expect(describeProblem(cannotListen, true)).toMatch(/^lorikeet: Cannot listen on ::1:80: no\.\n\n.*cli\.test\.ts/s)
  })

  it('of our own making tell how to see more', () => {
    expect(describeProblem(new InvariantError('Odd'), false)).toContain('--verbose')
    expect(describeProblem(new TypeError('Odd', { cause: new Error('deep') }), true)).toContain('caused by Error: deep')
    expect(describeProblem('thrown text', false)).toBe('lorikeet: thrown text')
  })
})

describe('the log', () => {
  const now = () => new Date('2026-01-02T03:04:05.678Z')

  it('is a line an event for people', () => {
    const lines: string[] = []
    const log = createLog({ level: 'info', format: 'pretty', write: (line) => lines.push(line), now })
    log('debug', 'not this')
    log('info', 'served', { path: '/v1', ms: 5, stack: 'a\nb' })
    expect(lines).toEqual(['03:04:05.678 info  served path=/v1 ms=5\n  a\n  b'])
  })

  it('is a JSON object for machines, whatever the fields', () => {
    const lines: string[] = []
    const log = createLog({ level: 'warn', format: 'json', write: (line) => lines.push(line), now })
    log('info', 'not this')
    log('warn', 'a "quoted"\nword', { level: 'mine', path: '/' })
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { path: '/', time: '2026-01-02T03:04:05.678Z', level: 'warn', message: 'a "quoted"\nword' },
    ])
    expect(lines[0]).not.toContain('\n')
  })
})

describe('progress', () => {
  it('is one line that changes on a terminal, a line every tenth elsewhere', () => {
    const written: string[] = []
    const terminal = createProgress('loading', { isTerminal: true, write: (text) => written.push(text) })
    terminal.update(2 ** 20, 4 * 2 ** 20)
    terminal.end()
    expect(written.join('')).toMatch(/^\rloading \[########\.+\] 25 % of 4\.0 MiB\n$/)
    written.length = 0
    const file = createProgress('loading', { isTerminal: false, write: (text) => written.push(text) })
    for (let done = 0; done <= 100; done++) file.update(done * 2 ** 20, 100 * 2 ** 20)
    file.end()
    expect(written).toHaveLength(10)
    expect(written.at(-1)).toBe('loading: 100 % of 100.0 MiB\n')
  })

  it('says nothing about what takes no time', () => {
    const file = createProgress('loading', { isTerminal: false, write: (text) => expect.unreachable(text) })
    file.update(50, 100)
    file.update(100, 100)
    file.end()
  })
})
