/** Set-up as one call: packages, then a device. Quick when both are in place. */
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installDependencies } from './dependencies.mjs'
import { chooseDevice, deviceLine } from './device.mjs'
import { canOpen, driverEnvironments, driverFacts, gpuDeviceFiles, softwareManifests } from './drivers.mjs'
import { installLavapipe, lavapipeCommand, lavapipeObstacle } from './lavapipe.mjs'
import { withLock } from './lock.mjs'
import { probe } from './probe.mjs'
import { inProject, MEMORY, NODE_MODULES } from './project.mjs'
import { say } from './report.mjs'
import { fetchSwiftShader } from './swiftshader.mjs'

/** @typedef {import('./device.mjs').Device} Device */

const DEVICE_FILE = join(MEMORY, 'device.json')
/** Raised when the way a device is chosen changes. */
const METHOD = 1

/** The Vulkan driver the user chose; one that an outer script of ours chose does not count. */
function pinnedDriver() {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, LORIKEET_CHOSEN_DRIVER } = process.env
  const given = VK_DRIVER_FILES || VK_ICD_FILENAMES
  return given === LORIKEET_CHOSEN_DRIVER ? undefined : given
}

/** @returns {import('./device.mjs').Machine} */
function thisMachine() {
  return {
    platform: process.platform,
    driverIsPinned: pinnedDriver() !== undefined,
    probe,
    softwareEnvironments: () => softwareManifests().flatMap(driverEnvironments),
    idleGpus: () =>
      gpuDeviceFiles().map((path) => `the GPU at ${path}${canOpen(path) ? '' : ' (which this user may not open)'}`),
    lavapipeObstacle,
    installLavapipe,
    lavapipeCommand,
    fetchSwiftShader,
  }
}

/** A digest of all that a choice rests on. */
function basis() {
  const { platform, arch } = process
  const dawn = readFileSync(join(NODE_MODULES, 'webgpu', 'package.json'), 'utf8')
  const facts = [
    METHOD,
    platform,
    arch,
    dawn,
    pinnedDriver(),
    lavapipeObstacle(),
    platform === 'linux' && driverFacts(),
  ]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

/** The device chosen before, if nothing it rests on has changed. @returns {Device | null} */
export function rememberedDevice() {
  try {
    const { basis: then, device } = JSON.parse(readFileSync(DEVICE_FILE, 'utf8'))
    const manifest = device.env.VK_DRIVER_FILES
    return then === basis() && (!manifest || existsSync(manifest)) ? device : null
  } catch {
    return null
  }
}

/** @param {{ again?: boolean }} options */
async function findDevice({ again = false }) {
  const known = again ? null : rememberedDevice()
  if (known) return known
  const device = await chooseDevice(thisMachine())
  mkdirSync(MEMORY, { recursive: true })
  writeFileSync(DEVICE_FILE, `${JSON.stringify({ basis: basis(), device }, null, 2)}\n`)
  return device
}

/**
 * What a process needs in its environment to get this device.
 * @param {Device} device
 * @returns {Record<string, string>}
 */
export function deviceEnvironment({ env }) {
  if (process.platform !== 'linux') return env
  const chosen = env.VK_DRIVER_FILES ? { LORIKEET_CHOSEN_DRIVER: env.VK_DRIVER_FILES } : {}
  return { ...env, ...chosen, XDG_RUNTIME_DIR: runtimeFolder() }
}

/** Vulkan drivers want a private folder that can be written to; services and containers have none. */
function runtimeFolder() {
  const given = process.env.XDG_RUNTIME_DIR
  try {
    if (given && statSync(given).isDirectory()) {
      accessSync(given, constants.W_OK)
      return given
    }
  } catch {
    // not there, or not ours: the folder below does as well
  }
  const own = join(tmpdir(), `lorikeet-runtime-${process.getuid?.()}`)
  mkdirSync(own, { recursive: true, mode: 0o700 })
  return own
}

/**
 * Makes the checkout ready, and says which device it runs on.
 * @param {{ again?: boolean }} [options] `again`: choose the device anew
 * @returns {Promise<NodeJS.ProcessEnv>} the environment to run lorikeet in
 */
export async function setUp(options = {}) {
  const device = await withLock(inProject('.cache'), async () => {
    await installDependencies()
    return findDevice(options)
  })
  say(deviceLine(device))
  for (const line of device.advice) say(`note: ${line}`)
  return { ...process.env, ...deviceEnvironment(device) }
}
