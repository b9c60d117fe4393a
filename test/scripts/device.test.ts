/** The order in which devices are tried, on machines that are scripted. */
import { describe, expect, it } from 'vitest'
import { chooseDevice, deviceLine } from '../../scripts/lib/device.mjs'
import { SetupError } from '../../scripts/lib/report.mjs'

type Machine = Parameters<typeof chooseDevice>[0]
type Probed = Awaited<ReturnType<Machine['probe']>>

const GPU: Probed = { status: 'adapter', adapter: { name: 'GeForce', software: false, f16: true } }
const LAVAPIPE: Probed = { status: 'adapter', adapter: { name: 'llvmpipe: Mesa 25', software: true, f16: true } }
const SWIFTSHADER: Probed = { status: 'adapter', adapter: { name: 'SwiftShader driver', software: true, f16: false } }
const NONE: Probed = { status: 'none' }

/**
 * A Linux machine. `drivers`: what each manifest gives, in the order they are found; `bare`: what a process gets
 * without choosing. Its `log` tells what was done to it.
 */
function machine(options: {
  bare?: Probed
  drivers?: Record<string, Probed>
  apt?: { gives: Record<string, Probed> } | { fails: string } | { obstacle: string }
  npm?: Probed | string
  idleGpus?: string[]
  platform?: NodeJS.Platform
  pinned?: boolean
}): { machine: Machine; log: string[] } {
  const log: string[] = []
  const drivers = { ...options.drivers }
  const apt = options.apt ?? { obstacle: 'only root can' }
  const environment = (manifest: string) => ({ VK_DRIVER_FILES: manifest })
  return {
    log,
    machine: {
      platform: options.platform ?? 'linux',
      driverIsPinned: options.pinned ?? false,
      probe: async ({ VK_DRIVER_FILES: manifest }) => {
        log.push(`probe ${manifest ?? 'bare'}`)
        return manifest === undefined ? (options.bare ?? NONE) : (drivers[manifest] ?? NONE)
      },
      softwareEnvironments: () => Object.keys(drivers).map(environment),
      idleGpus: () => options.idleGpus ?? [],
      lavapipeObstacle: () => ('obstacle' in apt ? apt.obstacle : null),
      lavapipeCommand: () => 'COMMAND',
      installLavapipe: async () => {
        log.push('apt')
        if ('fails' in apt) throw new SetupError(`lavapipe: ${apt.fails}`)
        if ('gives' in apt) Object.assign(drivers, apt.gives)
      },
      fetchSwiftShader: async () => {
        log.push('npm')
        if (typeof options.npm !== 'object') throw new SetupError(`SwiftShader: ${options.npm ?? 'offline'}`)
        drivers.fetched = options.npm
        return [environment('fetched')]
      },
    },
  }
}

describe('the device', () => {
  it('is the GPU, before every software driver', async () => {
    const { machine: m, log } = machine({ bare: GPU, drivers: { lvp: LAVAPIPE } })
    expect(await chooseDevice(m)).toEqual({ kind: 'gpu', name: 'GeForce', f16: true, env: {}, advice: [] })
    expect(log).toEqual(['probe bare'])
  })

  it('is lavapipe where it is installed, named so that no other driver comes in its place', async () => {
    const { machine: m, log } = machine({ bare: LAVAPIPE, drivers: { lvp: LAVAPIPE, swift: SWIFTSHADER } })
    expect(await chooseDevice(m)).toMatchObject({ kind: 'lavapipe', env: { VK_DRIVER_FILES: 'lvp' }, advice: [] })
    expect(log).toEqual(['probe bare', 'probe lvp'])
  })

  it('is lavapipe also where the loader finds it at a place of its own', async () => {
    const { machine: m } = machine({ bare: LAVAPIPE })
    expect(await chooseDevice(m)).toMatchObject({ kind: 'lavapipe', env: {} })
  })

  it('is the faster of two software drivers, whichever a bare process gets', async () => {
    const { machine: m } = machine({ bare: SWIFTSHADER, drivers: { swift: SWIFTSHADER, lvp: LAVAPIPE } })
    expect(await chooseDevice(m)).toMatchObject({ kind: 'lavapipe', env: { VK_DRIVER_FILES: 'lvp' } })
  })

  it('is a SwiftShader that is there, with the way to something faster', async () => {
    const { machine: m, log } = machine({
      drivers: { old: NONE, swift: SWIFTSHADER },
      apt: { gives: { lvp: LAVAPIPE } },
    })
    const device = await chooseDevice(m)
    expect(device).toMatchObject({ kind: 'swiftshader', env: { VK_DRIVER_FILES: 'swift' } })
    expect(device.advice).toEqual(['lavapipe is 4 to 5 times faster than this device and has f16; install it: COMMAND'])
    expect(log).not.toContain('apt')
  })

  it('is lavapipe from apt where there is none, or one that Dawn refuses', async () => {
    for (const drivers of [{}, { lvp: NONE }]) {
      const { machine: m, log } = machine({ drivers, apt: { gives: { lvp: LAVAPIPE } } })
      expect(await chooseDevice(m)).toMatchObject({ kind: 'lavapipe', advice: [] })
      expect(log.filter((step) => step === 'apt' || step === 'npm')).toEqual(['apt'])
    }
  })

  it('is SwiftShader from npm where apt fails, and says why', async () => {
    const { machine: m, log } = machine({ apt: { fails: 'no network' }, npm: SWIFTSHADER })
    const device = await chooseDevice(m)
    expect(device).toMatchObject({ kind: 'swiftshader', env: { VK_DRIVER_FILES: 'fetched' } })
    expect(device.advice).toEqual([
      'lavapipe is 4 to 5 times faster than this device and has f16; but could not be installed (lavapipe: no network)',
    ])
    expect(log).toEqual(['probe bare', 'apt', 'probe bare', 'npm', 'probe fetched'])
  })

  it('is SwiftShader from npm for a user who is not root, with the way to something faster', async () => {
    const { machine: m, log } = machine({ npm: SWIFTSHADER })
    expect((await chooseDevice(m)).advice).toEqual([
      'lavapipe is 4 to 5 times faster than this device and has f16; install it: COMMAND',
    ])
    expect(log).not.toContain('apt')
  })

  it('that is software, beside a GPU without a driver, says so', async () => {
    const { machine: m } = machine({ drivers: { lvp: LAVAPIPE }, idleGpus: ['the GPU at /dev/nvidia0'] })
    expect((await chooseDevice(m)).advice).toEqual([
      'the GPU at /dev/nvidia0 is not used: no working Vulkan driver for it was found',
    ])
  })

  it('is what the user pinned, without advice; a pinned driver that fails is an error', async () => {
    const works = machine({ bare: SWIFTSHADER, drivers: { lvp: LAVAPIPE }, pinned: true })
    expect(await chooseDevice(works.machine)).toMatchObject({ kind: 'swiftshader', env: {}, advice: [] })
    const fails = machine({ bare: NONE, drivers: { lvp: LAVAPIPE }, pinned: true })
    await expect(chooseDevice(fails.machine)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[SetupError: No WebGPU device: VK_DRIVER_FILES or VK_ICD_FILENAMES is set, and the default driver: Dawn accepts no device of it. Unset it to have one found.]`,
    )
    expect(fails.log).toEqual(['probe bare'])
  })

  it('missing is one error that says what to install and what was tried', async () => {
    const { machine: m } = machine({ drivers: { lvp: { status: 'broken', detail: 'the process ended with SIGSEGV' } } })
    await expect(chooseDevice(m)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [SetupError: No WebGPU device. Install Mesa's software Vulkan driver, version 23.1 or newer (not done here: only root can): COMMAND
        - the default driver: Dawn accepts no device of it
        - lvp: the process ended with SIGSEGV
        - SwiftShader: offline]
    `)
  })

  it('missing on another system installs nothing', async () => {
    const { machine: m, log } = machine({ platform: 'darwin' })
    await expect(chooseDevice(m)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [SetupError: No WebGPU device: install the graphics driver of this machine's GPU.
        - the default driver: Dawn accepts no device of it]
    `)
    expect(log).toEqual(['probe bare'])
  })

  it('is not looked for where dawn.node does not start', async () => {
    const { machine: m, log } = machine({
      bare: { status: 'unloadable', detail: 'no such file: ld-linux' },
      npm: SWIFTSHADER,
    })
    await expect(chooseDevice(m)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[SetupError: The npm package "webgpu" has no build that runs on this machine (no such file: ld-linux). It needs Linux with glibc, macOS or Windows, on x64 or arm64.]`,
    )
    expect(log).toEqual(['probe bare'])
  })

  it('is told in a line', async () => {
    const { machine: m } = machine({ npm: SWIFTSHADER })
    expect(deviceLine(await chooseDevice(m))).toBe(
      'device: SwiftShader driver, software Vulkan (SwiftShader), without f16',
    )
  })
})
