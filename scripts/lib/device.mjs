/**
 * Which WebGPU device this checkout runs on. The order: the machine's own GPU, a software Vulkan driver it has, one
 * that can be installed, one out of an npm package. The choice is never silent: it is told in a line, with the faster
 * device the machine could have. It is remembered with the facts it was made from, and made anew when those change.
 */
import { SetupError } from './report.mjs'

/**
 * @typedef {import('./probe.mjs').Adapter} Adapter
 * @typedef {import('./probe.mjs').Probed} Probed
 * @typedef {'gpu' | 'lavapipe' | 'swiftshader' | 'software'} Kind
 * @typedef {{ kind: Kind, name: string, f16: boolean, env: Record<string, string>, advice: string[] }} Device
 *   `env`: what a process needs on top of its environment to get this device; `advice`: how to get a faster one.
 *
 * @typedef {object} Machine what the choice asks of the machine it runs on; tests script it
 * @property {NodeJS.Platform} platform
 * @property {boolean} driverIsPinned the user chose the Vulkan driver with VK_DRIVER_FILES or VK_ICD_FILENAMES
 * @property {(env: Record<string, string>) => Promise<Probed>} probe
 * @property {() => Record<string, string>[]} softwareEnvironments one per installed software driver, faster kinds first
 * @property {() => string[]} idleGpus device files of GPUs, in words, that no driver answered for
 * @property {() => string | null} lavapipeObstacle why lavapipe cannot be installed from here, or null
 * @property {() => Promise<void>} installLavapipe throws SetupError
 * @property {() => string} lavapipeCommand what a person types to have it installed
 * @property {() => Promise<Record<string, string>[]>} fetchSwiftShader its environments; throws SetupError
 */

/** Best first. Measured on one machine: lavapipe is 4 to 5 times faster than SwiftShader, and has f16. */
const KINDS = /** @type {const} */ (['gpu', 'lavapipe', 'software', 'swiftshader'])

/** @param {Adapter} adapter @returns {Kind} */
function kindOf({ software, name }) {
  if (!software) return 'gpu'
  if (/llvmpipe|lavapipe/i.test(name)) return 'lavapipe'
  return /swiftshader/i.test(name) ? 'swiftshader' : 'software'
}

/** @param {Machine} machine @param {Record<string, string>} env @returns {Promise<Device | string>} or why not */
async function tryEnvironment(machine, env) {
  const found = await machine.probe(env)
  if (found.status === 'unloadable') {
    throw new SetupError(
      `The npm package "webgpu" has no build that runs on this machine (${found.detail}). ` +
        'It needs Linux with glibc, macOS or Windows, on x64 or arm64.',
    )
  }
  if (found.status === 'adapter') {
    const { name, f16 } = found.adapter
    return { kind: kindOf(found.adapter), name, f16, env, advice: [] }
  }
  const driver = env.VK_DRIVER_FILES ?? 'the default driver'
  return `${driver}: ${found.status === 'none' ? 'Dawn accepts no device of it' : found.detail}`
}

/**
 * The best device the machine has now.
 * @param {Machine} machine
 * @param {Record<string, string>[]} environments
 * @param {string[]} problems gets a line for each driver that does not work
 */
async function bestOf(machine, environments, problems) {
  /** @type {Device | null} */
  let best = null
  for (const env of environments) {
    const device = await tryEnvironment(machine, env)
    if (typeof device === 'string') {
      problems.push(device)
      continue
    }
    if (!best || isBetter(device, best)) best = device
    if (best.kind === 'gpu' || (best.kind === 'lavapipe' && isNamed(best))) break
  }
  return best
}

/** @param {Device} device */
function isNamed({ env }) {
  return 'VK_DRIVER_FILES' in env
}

/** @param {Device} one @param {Device} other */
function isBetter(one, other) {
  const lead = KINDS.indexOf(other.kind) - KINDS.indexOf(one.kind)
  return lead > 0 || (lead === 0 && isNamed(one) && !isNamed(other))
}

/**
 * Walks the order above, installing what is needed.
 * @param {Machine} machine
 * @returns {Promise<Device>}
 * @throws {SetupError} when there is no device and none can be had; says what to install
 */
export async function chooseDevice(machine) {
  /** @type {string[]} */
  const problems = []
  const linux = machine.platform === 'linux'
  // The empty environment comes first: it finds GPUs. A software device found there is used only where no manifest
  // names it, since with several drivers in the default folders the next process might get another one.
  const installed = () => [{}, ...(linux && !machine.driverIsPinned ? machine.softwareEnvironments() : [])]
  let device = await bestOf(machine, installed(), problems)
  if (!device && machine.driverIsPinned) {
    throw new SetupError(
      `No WebGPU device: VK_DRIVER_FILES or VK_ICD_FILENAMES is set, and ${problems[0]}. Unset it to have one found.`,
    )
  }

  const obstacle = linux ? machine.lavapipeObstacle() : 'it is for Linux'
  if (!device && !obstacle) {
    await machine.installLavapipe().catch(noteFailure(problems))
    device = await bestOf(machine, installed(), problems)
  }
  if (!device && linux) {
    const fetched = await machine.fetchSwiftShader().catch(noteFailure(problems))
    device = await bestOf(machine, fetched ?? [], problems)
  }
  if (!device) throw noDevice(machine, obstacle, problems)
  return { ...device, advice: adviceFor(device, machine, problems) }
}

/** @param {string[]} problems */
function noteFailure(problems) {
  /** @param {unknown} error */
  return (error) => {
    if (!(error instanceof SetupError)) throw error
    problems.push(error.message)
    return null
  }
}

/** @param {Device} device @param {Machine} machine @param {string[]} problems */
function adviceFor(device, machine, problems) {
  if (device.kind === 'gpu' || machine.driverIsPinned) return []
  const advice = machine.idleGpus().map((gpu) => `${gpu} is not used: no working Vulkan driver for it was found`)
  if (device.kind === 'lavapipe' || machine.platform !== 'linux') return advice
  const failed = problems.find((line) => line.startsWith('lavapipe'))
  const how = failed ? `but could not be installed (${failed})` : `install it: ${machine.lavapipeCommand()}`
  return [...advice, `lavapipe is 4 to 5 times faster than this device and has f16; ${how}`]
}

/** @param {Machine} machine @param {string | null} obstacle @param {string[]} problems */
function noDevice(machine, obstacle, problems) {
  const tried = [...new Set(problems)].map((line) => `\n  - ${line}`).join('')
  if (machine.platform !== 'linux') {
    return new SetupError(`No WebGPU device: install the graphics driver of this machine's GPU.${tried}`)
  }
  const why = obstacle ? ` (not done here: ${obstacle})` : ''
  return new SetupError(
    `No WebGPU device. Install Mesa's software Vulkan driver, version 23.1 or newer${why}: ${machine.lavapipeCommand()}${tried}`,
  )
}

/** The line that says what was taken. @param {Device} device */
export function deviceLine({ kind, name, f16 }) {
  const words = {
    gpu: "this machine's GPU",
    lavapipe: 'software Vulkan (lavapipe)',
    swiftshader: 'software Vulkan (SwiftShader)',
    software: 'a software device',
  }
  return `device: ${name.trim()}, ${words[kind]}${f16 ? '' : ', without f16'}`
}
