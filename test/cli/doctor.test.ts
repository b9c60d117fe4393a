/** `lorikeet doctor` as a process: what it says of the test device and of a machine without one, and what it makes of crashes. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../src/bench/doctor/doctorReport.ts'
import { attemptOf } from '../../src/cli/doctor.ts'
import { driverCaches, driverFacts } from '../../src/cli/drivers.ts'
import { reference } from '../fixtures.ts'

/** Runs the command from the sources. */
function doctor(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; out: string; err: string }> {
  const command = ['bench/run.mjs', 'src/cli/main.ts', 'doctor', ...args]
  return new Promise((resolve) => {
    execFile(process.execPath, command, { env: { ...process.env, ...env } }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err })
    })
  })
}

describe('the command', () => {
  it('finds the test device able, and tries a model on it', async () => {
    const { code, out, err } = await doctor(['--json', '--model', reference('models/llama-tiny')])
    const report = JSON.parse(out) as DoctorReport
    expect(report.findings.filter(({ severity }) => severity === 'problem')).toEqual([])
    expect(report).toMatchObject({
      kind: 'lorikeet doctor',
      canRun: true,
      attempt: { kind: 'examined', model: { problem: null } },
    })
    expect(code).toBe(0)
    expect(err).toContain('examining: numeric self-test')
  })

  it('says without a device what to install, and that it cannot run', async () => {
    const { code, out } = await doctor([], { VK_DRIVER_FILES: '/nowhere.json', VK_ICD_FILENAMES: '/nowhere.json' })
    expect(out).toContain('PROBLEM  There is no WebGPU device.')
    expect(out).toContain('VK_DRIVER_FILES names /nowhere.json, which is not there.')
    expect(out).toContain('lorikeet cannot run here')
    expect(code).toBe(1)
  })
})

describe("a child's end", () => {
  it('is what it wrote, even if it died while it ended', () => {
    const found = { kind: 'no device', message: 'x' } as const
    expect(attemptOf(`noise\n${JSON.stringify(found)}\n`, '', null, 'SIGSEGV')).toEqual(found)
  })

  it('is a crash in the phase it named last', () => {
    const said = 'examining: opening the device\nWarning: x\nexamining: memory\nfutex facility\n'
    expect(attemptOf('', said, null, 'SIGABRT')).toEqual({
      kind: 'crashed',
      phase: 'memory',
      message: 'SIGABRT; its last words: futex facility',
    })
    expect(attemptOf('', '', 134, null)).toEqual({ kind: 'crashed', phase: null, message: 'exit code 134' })
  })
})

describe('the host', () => {
  let root = ''
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'lorikeet-doctor-'))
  })
  afterAll(() => rmSync(root, { recursive: true }))

  it('says whether a driver was chosen, and whether it is there', () => {
    const pinned = (env: Record<string, string>) => driverFacts(env, 'linux')!.pinned
    expect(pinned({})).toBeNull()
    expect(pinned({ VK_ICD_FILENAMES: '/nowhere' })).toEqual({
      variable: 'VK_ICD_FILENAMES',
      value: '/nowhere',
      exists: false,
    })
    expect(pinned({ VK_DRIVER_FILES: root })).toMatchObject({ exists: true })
    expect(pinned({ VK_DRIVER_FILES: root, LORIKEET_CHOSEN_DRIVER: root })).toBeNull()
    expect(driverFacts({ MESA_SHADER_CACHE_DISABLE: 'true' }, 'linux')!.cacheOff).toBe('MESA_SHADER_CACHE_DISABLE')
    expect(driverFacts({ MESA_SHADER_CACHE_DISABLE: '0' }, 'linux')!.cacheOff).toBeNull()
    expect(driverFacts({}, 'darwin')).toBeNull()
  })

  it('weighs the driver’s cache', () => {
    const folder = join(root, 'mesa_shader_cache')
    expect(driverCaches({ XDG_CACHE_HOME: root }, 'linux')).toEqual([])
    mkdirSync(join(folder, 'ab'), { recursive: true })
    writeFileSync(join(folder, 'ab', 'one'), new Uint8Array(100))
    writeFileSync(join(folder, 'index'), new Uint8Array(11))
    expect(driverCaches({ XDG_CACHE_HOME: root }, 'linux')).toEqual([
      { what: "the driver's shaders", path: folder, bytes: 111 },
    ])
    expect(driverCaches({ XDG_CACHE_HOME: root }, 'win32')).toEqual([])
  })
})
