/** What `lorikeet serve` says once it is ready: what runs where, and lines that can be pasted to try it. */

export interface Welcome {
  readonly version: string
  /** The driver's own words. */
  readonly device: string
  readonly isSoftware: boolean
  readonly modelName: string
  readonly modelRoot: string
  /** The adapter that is folded into it. */
  readonly merged: string | null
  readonly maxModelLen: number
  readonly adapters: readonly string[]
  readonly url: string
  /** The page is there. */
  readonly hasPage: boolean
  /** The model has a chat template. */
  readonly hasChat: boolean
  readonly needsKey: boolean
}

export function welcomeText(w: Welcome): string {
  const merged = w.merged === null ? '' : ` with ${w.merged} merged into it`
  const lines: [string, string][] = [
    ['device', w.isSoftware ? `${w.device} (software: a CPU stands in for a GPU)` : w.device],
    ['model', `${w.modelName} from ${w.modelRoot}${merged}, context ${w.maxModelLen} tokens`],
    ['adapters', adapterList(w.adapters)],
    ...(w.hasPage ? [['page', `${w.url}/`] satisfies [string, string]] : []),
    ['API', `${w.url}/v1`],
  ]
  const table = lines.map(([key, value]) => `  ${key.padEnd(9)}${value}`)
  const tries = [w.modelName, ...w.adapters].slice(0, MOST_LINES).map((model) => `  ${curlLine(w, model)}`)
  return ['', `lorikeet ${w.version} is ready`, ...table, '', 'Try it:', ...tries, ''].join('\n')
}

/** More voices than this are too many to list; `/v1/models` has them all. */
const MOST_LINES = 16

function adapterList(names: readonly string[]): string {
  if (names.length === 0) return 'none (--lora-modules name=path, or --lora-dir)'
  const more = names.length - MOST_LINES
  return names.slice(0, MOST_LINES).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** Quoted for any POSIX shell. The key itself is never printed. */
export function curlLine(w: Pick<Welcome, 'url' | 'hasChat' | 'needsKey'>, model: string): string {
  const body = w.hasChat
    ? { model, messages: [{ role: 'user', content: 'Tell me about the sea.' }], max_tokens: 64 }
    : { model, prompt: 'In the beginning', max_tokens: 64 }
  const parts = [
    `curl ${w.url}/v1/${w.hasChat ? 'chat/completions' : 'completions'}`,
    `-H 'content-type: application/json'`,
    ...(w.needsKey ? [`-H "authorization: Bearer $LORIKEET_API_KEY"`] : []),
    `-d '${JSON.stringify(body).replaceAll("'", `'\\''`)}'`,
  ]
  return parts.join(' ')
}
