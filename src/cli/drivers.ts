/** What a Linux machine says about its graphics drivers, and where caches lie. */
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { DriverFacts } from '../bench/doctor/diagnosis.ts'
import type { CacheFacts } from '../bench/doctor/doctorReport.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Newer loaders read the first, older ones the second. */
const PINS = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES']
const CACHE_SWITCHES = ['MESA_SHADER_CACHE_DISABLE', 'MESA_GLSL_CACHE_DISABLE']

/** Null where there is nothing to look at: other systems bring their drivers themselves. */
export function driverFacts(env: Env, platform: string): DriverFacts | null {
  if (platform !== 'linux') return null
  const render = namesIn('/dev/dri').filter((name) => name.startsWith('renderD'))
  const nvidia = namesIn('/dev').filter((name) => /^nvidia\d+$/.test(name))
  const files = [...render.map((name) => `/dev/dri/${name}`), ...nvidia.map((name) => `/dev/${name}`)]
  const pin = PINS.find((name) => env[name])
  return {
    gpuFiles: files.map((path) => ({ path, isOpen: canOpen(path) })),
    // What set-up chose of itself is not the user's choice.
    pinned:
      pin === undefined || env[pin] === env.LORIKEET_CHOSEN_DRIVER
        ? null
        : { variable: pin, value: env[pin]!, exists: env[pin]!.split(':').every((path) => existsSync(path)) },
    cacheOff: CACHE_SWITCHES.find((name) => /^(1|true|yes)$/i.test(env[name] ?? '')) ?? null,
  }
}

/** Mesa's cache of compiled shaders. Drivers of other systems keep theirs where nobody may look. */
export function driverCaches(env: Env, platform: string): CacheFacts[] {
  if (platform !== 'linux') return []
  const path = env.MESA_SHADER_CACHE_DIR
    ? join(env.MESA_SHADER_CACHE_DIR, 'mesa_shader_cache')
    : join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mesa_shader_cache')
  // Mesa 24.1 began to keep them in one file of a folder of its own.
  return [path, `${path}_db`]
    .filter((each) => existsSync(each))
    .map((each) => ({ what: "the driver's shaders", path: each, bytes: bytesIn(each) }))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).reduce((sum, entry) => {
    if (!entry.isFile()) return sum
    return sum + (statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0)
  }, 0)
}
