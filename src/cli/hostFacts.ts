/** The machine and the runtime this process is on, as reports state them. */
import { createRequire } from 'node:module'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import type { Facts } from '../bench/load/loadReport.ts'
import { VERSION } from '../version.ts'

export function hostFacts(): Facts {
  const all = cpus()
  const { deno } = process.versions as { deno?: string }
  return {
    lorikeet: VERSION,
    runtime: deno === undefined ? `Node ${process.versions.node}` : `Deno ${deno}`,
    'webgpu package': webgpuVersion(),
    system: `${platform()} ${release()} ${arch()}`,
    processor: `${all.length} x ${all[0]?.model.trim() || 'unknown'}`,
    'memory GiB': Math.round(totalmem() / 2 ** 30),
  }
}

/** Null where it is not installed, as in Deno with its own WebGPU. */
function webgpuVersion(): string | null {
  try {
    return (createRequire(import.meta.url)('webgpu/package.json') as { version: string }).version
  } catch {
    return null
  }
}
