/**
 * Installs lavapipe (Mesa's software Vulkan driver) with apt, from the release where it is new enough, else from the
 * release's backports.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { distributionSources, parseAptSources, withSuite } from './aptSources.mjs'
import { PrivateApt } from './privateApt.mjs'
import { inProject } from './project.mjs'
import { SetupError, say, secondsSince } from './report.mjs'

const PACKAGE = 'mesa-vulkan-drivers'
/** Dawn refuses the lavapipe of Debian 12's own Mesa 22.3, and takes that of 23.2. */
const OLDEST_MESA = /** @type {const} */ ([23, 1])
/** Who may sign for `PACKAGE`, by the `Origin` of the release file. */
const ORIGINS = ['Debian', 'Ubuntu', 'Raspbian']

/** Why apt cannot be used here, or null. */
export function lavapipeObstacle() {
  const folders = (process.env.PATH ?? '').split(delimiter)
  if (!folders.some((folder) => existsSync(join(folder, 'apt-get')))) return 'there is no apt-get here'
  return process.getuid?.() === 0 ? null : 'only root can'
}

/** What a person types to have it installed. */
export function lavapipeCommand() {
  if (lavapipeObstacle() === 'there is no apt-get here') {
    return `with your package manager (the package is often called ${PACKAGE} or vulkan-swrast)`
  }
  return `as root, ${process.execPath} ${inProject('scripts/setup.mjs')} --lavapipe`
}

/** Whether a Debian version such as `25.0.7-2~bpo12+1` is one Dawn accepts. @param {string} version */
export function isNewEnough(version) {
  const [, major, minor] = /^(?:\d+:)?(\d+)\.(\d+)/.exec(version) ?? []
  const [oldestMajor, oldestMinor] = OLDEST_MESA
  return Number(major) > oldestMajor || (Number(major) === oldestMajor && Number(minor) >= oldestMinor)
}

/** The release's name, also of a derivative. @param {string} osRelease text of /etc/os-release */
export function releaseCodename(osRelease) {
  const field = (/** @type {string} */ name) => new RegExp(`^${name}="?([\\w.-]+)`, 'm').exec(osRelease)?.[1]
  return field('UBUNTU_CODENAME') ?? field('DEBIAN_CODENAME') ?? field('VERSION_CODENAME') ?? null
}

/**
 * The row to install: the release's own where it is new enough, else the backport.
 * @param {readonly { version: string, suite: string }[]} rows
 */
export function pickVersion(rows) {
  const usable = rows.filter(({ version, suite }) => isNewEnough(version) && !suite.endsWith('-proposed'))
  return usable.find(({ suite }) => !suite.endsWith('-backports')) ?? usable[0] ?? null
}

/**
 * Installs the driver and the Vulkan loader.
 * @throws {SetupError} whose message begins with `lavapipe`, when it cannot be had
 */
export async function installLavapipe() {
  const started = performance.now()
  say(`installing lavapipe (${PACKAGE}) with apt`)
  const codename = releaseCodename(readFileSync('/etc/os-release', 'utf8'))
  if (!codename) throw new SetupError('lavapipe: /etc/os-release names no release')
  const sources = distributionSources(parseAptSources(machineSources()), codename)
  if (sources.length === 0) throw new SetupError(`lavapipe: no apt source of ${codename} itself was found`)

  const apt = new PrivateApt()
  try {
    await apt.update(sources)
    let chosen = pickVersion(await apt.versions(PACKAGE))
    if (!chosen) {
      const mirrors = await apt.mirrorsSignedBy(ORIGINS)
      const own = sources.find(({ uris }) => uris.some((uri) => mirrors.has(uri.replace(/\/*$/, '/'))))
      if (!own) throw new SetupError(`lavapipe: none of the apt sources is signed by ${ORIGINS.join(' or ')}`)
      await apt.update([...sources, withSuite(own, `${codename}-backports`)])
      chosen = pickVersion(await apt.versions(PACKAGE))
    }
    if (!chosen) throw new SetupError(`lavapipe: ${codename} has no ${PACKAGE} ${OLDEST_MESA.join('.')} or newer`)
    await apt.install([PACKAGE, 'libvulkan1'], chosen.suite)
    say(`installed ${PACKAGE} ${chosen.version} from ${chosen.suite} (${secondsSince(started)})`)
  } finally {
    apt.close()
  }
}

/** @returns {{ path: string, text: string }[]} */
function machineSources() {
  const folder = '/etc/apt/sources.list.d'
  const parts = existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : []
  return ['/etc/apt/sources.list', ...parts]
    .filter((path) => /\.(list|sources)$/.test(path) && existsSync(path))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }))
}
