/** The software Vulkan drivers a Linux machine already has, and the traces of a GPU that no driver serves. */
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** Browsers bring a SwiftShader of their own, outside the Vulkan loader's folders. */
const BROWSER_FOLDERS = [
  '/usr/lib/chromium',
  '/usr/lib/chromium-browser',
  '/usr/lib64/chromium',
  '/usr/lib64/chromium-browser',
  '/opt/chromium.org/chromium',
  '/opt/google/chrome',
  '/opt/microsoft/msedge',
]
const SWIFTSHADER_MANIFEST = 'vk_swiftshader_icd.json'

/** @param {string} folder */
function list(folder) {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

/** Where the Vulkan loader looks for driver manifests. @param {NodeJS.ProcessEnv} [env] */
export function manifestFolders(env = process.env) {
  const home = env.HOME ?? homedir()
  const roots = [
    env.XDG_CONFIG_HOME ?? join(home, '.config'),
    ...(env.XDG_CONFIG_DIRS ?? '/etc/xdg').split(':'),
    '/etc',
    env.XDG_DATA_HOME ?? join(home, '.local/share'),
    ...(env.XDG_DATA_DIRS ?? '/usr/local/share:/usr/share').split(':'),
  ]
  return roots.flatMap((root) => (root ? [join(root, 'vulkan/icd.d')] : []))
}

/** Manifests of software drivers, the faster kind first. @param {readonly string[]} [folders] */
export function softwareManifests(folders = manifestFolders()) {
  const inLoaderFolders = folders.flatMap((folder) => list(folder).map((file) => join(folder, file)))
  const lavapipe = inLoaderFolders.filter((path) => /\/lvp_icd[^/]*\.json$/.test(path))
  const swiftShader = inLoaderFolders.filter((path) => path.endsWith(`/${SWIFTSHADER_MANIFEST}`))
  const inBrowsers = BROWSER_FOLDERS.map((folder) => join(folder, SWIFTSHADER_MANIFEST)).filter((path) =>
    existsSync(path),
  )
  return [...lavapipe, ...swiftShader, ...inBrowsers]
}

/**
 * The environments that make the Vulkan loader use one driver and nothing else. The second one also takes the loader
 * that lies beside the driver, for machines that have none.
 * @param {string} manifest
 * @returns {Record<string, string>[]}
 */
export function driverEnvironments(manifest) {
  // Two names for the same thing: loaders before 1.3.207 know only the second.
  const only = { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest }
  const folder = dirname(manifest)
  if (!existsSync(join(folder, 'libvulkan.so.1'))) return [only]
  return [only, { ...only, LD_LIBRARY_PATH: [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':') }]
}

/** Device files of GPUs that can compute; empty where there is no GPU, or none was handed to this container. */
export function gpuDeviceFiles() {
  const render = list('/dev/dri').filter((file) => file.startsWith('renderD'))
  const nvidia = list('/dev').filter((file) => /^nvidia\d+$/.test(file))
  return [...render.map((file) => `/dev/dri/${file}`), ...nvidia.map((file) => `/dev/${file}`)]
}

/** @param {string} path */
export function canOpen(path) {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Every fact that can change which driver is best, cheap to read again at every start. */
export function driverFacts() {
  const manifests = [...manifestFolders(), ...BROWSER_FOLDERS].flatMap((folder) =>
    list(folder).flatMap((file) => {
      if (!file.endsWith('.json')) return []
      const path = join(folder, file)
      return `${path} ${statSync(path, { throwIfNoEntry: false })?.mtimeMs}`
    }),
  )
  return { manifests, gpus: gpuDeviceFiles().map((path) => `${path} ${canOpen(path)}`) }
}
