/** What `lorikeet serve` says once it is ready: what runs where, and lines that can be pasted to try it. */

export interface Welcome {
  readonly version: string
  /** The driver's own words. */
  readonly device: string
  readonly isSoftware: boolean
  readonly modelName: string
  readonly modelRoot: string
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
  const lines: [string, string][] = [
    ['device', w.isSoftware ? `${w.device} (software: a CPU stands in for a GPU)` : w.device],
    ['model', `${w.modelName} from ${w.modelRoot}, context ${w.maxModelLen} tokens`],
    ['adapters', w.adapters.length === 0 ? 'none (--lora-modules name=path)' : w.adapters.join(', ')],
    ...(w.hasPage ? [['page', `${w.url}/`] satisfies [string, string]] : []),
    ['API', `${w.url}/v1`],
  ]
  const table = lines.map(([key, value]) => `  ${key.padEnd(9)}${value}`)
  const tries = [w.modelName, ...w.adapters].map((model) => `  ${curlLine(w, model)}`)
  return ['', `lorikeet ${w.version} is ready`, ...table, '', 'Try it:', ...tries, ''].join('\n')
}

/** Quoted for any POSIX shell. The key itself is never printed. */
export function curlLine(w: Pick<Welcome, 'url' | 'hasChat' | 'needsKey'>, model: string): string {
  const prompt = 'Hello! Who are you?'
  const body = w.hasChat
    ? { model, messages: [{ role: 'user', content: prompt }], max_tokens: 64 }
    : { model, prompt, max_tokens: 64 }
  const parts = [
    `curl ${w.url}/v1/${w.hasChat ? 'chat/completions' : 'completions'}`,
    `-H 'content-type: application/json'`,
    ...(w.needsKey ? [`-H "authorization: Bearer $LORIKEET_API_KEY"`] : []),
    `-d '${JSON.stringify(body).replaceAll("'", `'\\''`)}'`,
  ]
  return parts.join(' ')
}
