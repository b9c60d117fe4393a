/**
 * Whether requests may change the adapters, and where from. On this machine alone they may, from the working directory;
 * for a server that others reach, its owner says so, and which folders. vLLM's variable counts as vLLM reads it.
 */
import { resolve } from 'node:path'
import type { RuntimeLora } from '../adapters.ts'
import type { ServeFlags } from './program.ts'

type Flags = Pick<ServeFlags, 'host' | 'allowRuntimeLora' | 'loraRoot' | 'loraDir' | 'loraRefreshInterval'>
type Env = Readonly<Record<string, string | undefined>>

/** Null where they may not. */
export function runtimeLora(flags: Flags, env: Env, workingDirectory: string): RuntimeLora | null {
  if (!isAllowed(flags, env)) return null
  const named = [...(flags.loraRoot ?? []), ...(flags.loraDir === undefined ? [] : [flags.loraDir])]
  const own = flags.loraRoot === undefined && isLoopback(flags.host) ? [workingDirectory] : []
  return { roots: [...named, ...own].map((root) => resolve(workingDirectory, root)) }
}

function isAllowed({ host, allowRuntimeLora, loraRefreshInterval }: Flags, env: Env): boolean {
  if (allowRuntimeLora !== undefined) return allowRuntimeLora
  const variable = env.VLLM_ALLOW_RUNTIME_LORA_UPDATING?.trim().toLowerCase()
  if (variable) return variable === '1' || variable === 'true'
  return loraRefreshInterval !== undefined || isLoopback(host)
}

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
