/** `lorikeet serve`: opens the model, binds the port, says how to try it, and drains when it is told to stop. */
import { fileURLToPath } from 'node:url'
import type { LoraDirectoryWish } from '../adapters.ts'
import type { LogSink } from '../api/service.ts'
import { LorikeetError } from '../errors.ts'
import { readAssets } from '../hosts/node/assets.ts'
import type { RunningServer, Serve } from '../hosts/server.ts'
import { type AdapterWish, Lorikeet } from '../lorikeet.ts'
import { VERSION } from '../version.ts'
import { wantedModel } from './embedded.ts'
import { deviceWishOf, given, sizesOf, tuningOf } from './engineFlags.ts'
import { createLog } from './log.ts'
import type { ServeFlags } from './program.ts'
import { createProgress } from './progress.ts'
import { runtimeLora } from './runtimeLora.ts'
import { TraceFile } from './traceFile.ts'
import type { AdapterPath } from './values.ts'
import { welcomeText } from './welcome.ts'

/** The process as the command sees it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Where the page's files may lie: beside the bundle, or in dist/ of a checkout. */
  readonly pageFolders: readonly URL[]
  /** Binds to a port as this host does. */
  readonly listen: Serve
  /** Where the model that comes along may lie. */
  readonly modelFolders: readonly URL[]
  /** Resolves when the process is asked to stop; again for every time it is asked. */
  onStop(listener: () => void): void
}

/** There is an interval to look at a directory again, and no directory. */
export class NoLoraDirectoryError extends LorikeetError {
  readonly code = 'no_lora_directory'
  override readonly param = '--lora-refresh-interval'

  constructor() {
    super('--lora-refresh-interval needs a folder to look at: add --lora-dir DIR, or set NIM_PEFT_SOURCE.')
  }
}

/** Resolves when the server has stopped. @throws what opening the model or the port throws. */
export async function serve(flags: ServeFlags, terminal: Terminal): Promise<void> {
  const log = createLog({
    level: flags.verbose ? 'debug' : 'info',
    format: flags.logFormat,
    write: (line) => terminal.stderr.write(`${line}\n`),
    color: terminal.stderr.isTTY && terminal.env.NO_COLOR === undefined,
  })
  const trace = flags.trace === undefined ? null : new TraceFile(flags.trace)
  try {
    await run(flags, terminal, log, trace)
  } finally {
    if (trace) await finish(trace, log)
  }
  log('info', 'stopped')
}

async function finish(trace: TraceFile, log: LogSink): Promise<void> {
  const problem = await trace.close()
  if (problem) log('warn', `the trace in ${trace.path} is incomplete: ${problem.message}`)
  else log('info', `the trace is in ${trace.path}: open it in https://ui.perfetto.dev`)
}

async function run(flags: ServeFlags, terminal: Terminal, log: LogSink, trace: TraceFile | null): Promise<void> {
  const apiKeys = flags.apiKey ?? [terminal.env.LORIKEET_API_KEY ?? ''].filter((key) => key !== '')
  const bird = await open(flags, apiKeys, terminal, log, trace)
  let server: RunningServer
  try {
    const assets = await firstAssets(terminal.pageFolders)
    server = await terminal.listen((request) => bird.fetch(request), { host: flags.host, port: flags.port, assets })
    terminal.stdout.write(await welcome(apiKeys, bird, server, assets !== null))
  } catch (error) {
    await bird.close()
    throw error
  }
  await new Promise<void>((resolve, reject) => {
    let timesAsked = 0
    terminal.onStop(() => {
      if (++timesAsked > 1) {
        server.close().catch(reject)
        return
      }
      log('info', 'stopping: requests under way may end (once more to stop at once)')
      server
        .close({ endStreams: () => bird.close() })
        .then(() => bird.close())
        .then(resolve, reject)
    })
  })
}

async function open(
  flags: ServeFlags,
  apiKeys: readonly string[],
  terminal: Terminal,
  log: LogSink,
  trace: TraceFile | null,
): Promise<Lorikeet> {
  const { model, adapters } = wantedModel(flags, terminal)
  if (flags.loraRefreshInterval !== undefined && flags.loraDir === undefined) throw new NoLoraDirectoryError()
  const changes = runtimeLora(flags, terminal.env, process.cwd())
  const progress = createProgress('loading', {
    isTerminal: terminal.stderr.isTTY && flags.logFormat === 'pretty',
    write: (text) => terminal.stderr.write(text),
  })
  try {
    const bird = await Lorikeet.open({
      model,
      adapters: adapters.map(({ path, ...adapter }) => ({ ...adapter, source: path })),
      ...(flags.loraDir === undefined
        ? {}
        : { loraDirectory: loraDirectory(flags.loraDir, flags.loraRefreshInterval) }),
      ...(flags.merge !== undefined && { merge: mergeOf(flags.merge) }),
      ...(changes && { runtimeLora: changes }),
      gpu: deviceWishOf(flags),
      servedModelNames: flags.servedModelName ?? [],
      ...given('maxHostLoras', flags.maxCpuLoras),
      ...given('loraHostMemory', flags.loraHostMemory),
      sizes: sizesOf(flags),
      tuning: tuningOf(flags),
      engine: { ...(trace && { observer: trace.observer }), ...(flags.runAhead === false && { depth: 1 }) },
      apiKeys,
      corsOrigins: flags.corsOrigin ?? [],
      strict: flags.strict ?? false,
      log,
      onProgress: ({ loadedBytes, totalBytes }) => progress.update(loadedBytes, totalBytes),
    })
    const { gpu } = bird.runtime
    if (trace && gpu.can.timestamps) gpu.profile('steps')
    return bird
  } finally {
    progress.end()
  }
}

function mergeOf(merge: string | AdapterPath): string | AdapterWish {
  if (typeof merge === 'string') return merge
  const { path, ...adapter } = merge
  return { ...adapter, source: path }
}

function loraDirectory(path: string, refreshSeconds: number | undefined): LoraDirectoryWish {
  return { path, ...(refreshSeconds === undefined ? {} : { refreshSeconds }) }
}

async function firstAssets(folders: readonly URL[]) {
  for (const folder of folders) {
    const assets = await readAssets(fileURLToPath(folder))
    if (assets !== null) return assets
  }
  return null
}

async function welcome(
  apiKeys: readonly string[],
  bird: Lorikeet,
  server: RunningServer,
  hasPage: boolean,
): Promise<string> {
  const { can, implementation } = bird.runtime.gpu
  return welcomeText({
    version: VERSION,
    device: `${can.adapter} through ${implementation}`,
    isSoftware: can.software,
    modelName: bird.modelNames[0],
    modelRoot: bird.modelRoot,
    merged: bird.runtime.merged?.name ?? null,
    maxModelLen: bird.runtime.engine.limits.maxModelLen,
    adapters: bird.adapters.list().map(({ name }) => name),
    url: server.url,
    hasPage,
    hasChat: await hasChat(bird, apiKeys),
    needsKey: apiKeys.length > 0,
  })
}

/** Whether the model can render a conversation at all. */
async function hasChat(bird: Lorikeet, apiKeys: readonly string[]): Promise<boolean> {
  const response = await bird.fetch('http://lorikeet/tokenize', {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKeys[0] ?? ''}` },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Hello' }] }),
  })
  return response.ok
}
