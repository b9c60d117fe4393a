/**
 * apt with sources, lists and downloads in a scratch folder of its own: it installs packages on the machine and leaves
 * nothing else behind, not even when it is killed.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatSources } from './aptSources.mjs'
import { capture, failureLine } from './child.mjs'
import { SetupError } from './report.mjs'

const QUERY_LIMIT_MS = 60_000
const UPDATE_LIMIT_MS = 3 * 60_000
const DOWNLOAD_LIMIT_MS = 10 * 60_000
const INSTALL_LIMIT_MS = 10 * 60_000

/** Nothing may ask: neither debconf, nor needrestart, nor dpkg about a changed configuration file. */
const QUIET = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1', LC_ALL: 'C' }
const UNATTENDED = ['-o', 'Dpkg::Options::=--force-confdef', '-o', 'Dpkg::Options::=--force-confold']

/**
 * The rows of `apt-cache madison`: the versions there are, newest first, each with its suite.
 * @param {string} text
 */
export function parseMadison(text) {
  return text.split('\n').flatMap((line) => {
    const [, version = '', origin = ''] = line.split('|').map((cell) => cell.trim())
    const suite = /\s([^\s/]+)\/\S+\s+\S+\s+Packages$/.exec(origin)?.[1]
    return suite ? { version, suite } : []
  })
}

export class PrivateApt {
  #folder = mkdtempSync(join(tmpdir(), 'lorikeet-apt-'))

  constructor() {
    // apt downloads as the user _apt, who must be able to get in.
    chmodSync(this.#folder, 0o755)
    for (const part of ['sources.d', 'lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(this.#folder, part), { recursive: true })
    }
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Reads the package lists of these sources, and of no others. @param {readonly import('./aptSources.mjs').AptSource[]} sources */
  async update(sources) {
    writeFileSync(join(this.#folder, 'sources.d/lorikeet.sources'), formatSources(sources))
    await this.#run('apt-get', ['update', '-qq', '--error-on=any'], UPDATE_LIMIT_MS)
  }

  /** @param {string} name of a package */
  async versions(name) {
    return parseMadison(await this.#run('apt-cache', ['madison', name], QUERY_LIMIT_MS))
  }

  /** The mirrors whose release files name one of these as their origin, each ending in a slash. @param {readonly string[]} origins */
  async mirrorsSignedBy(origins) {
    const text = await this.#run(
      'apt-get',
      ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages'],
      QUERY_LIMIT_MS,
    )
    return new Set(
      text.split('\n').flatMap((line) => {
        const [origin = '', uri = ''] = line.split(' ')
        return origins.includes(origin) ? uri.replace(/\/*$/, '/') : []
      }),
    )
  }

  /** Downloads, then installs: only the first may be cut short. @param {readonly string[]} names @param {string} suite */
  async install(names, suite) {
    const target = suite.endsWith('-backports') ? ['-t', suite] : []
    // --no-remove: a machine loses no package over this.
    const install = [
      'install',
      '-qq',
      '-y',
      '--no-install-recommends',
      '--no-remove',
      ...UNATTENDED,
      ...target,
      ...names,
    ]
    await this.#run('apt-get', [...install, '--download-only'], DOWNLOAD_LIMIT_MS)
    await this.#run('apt-get', [...install, '--no-download'], INSTALL_LIMIT_MS)
  }

  /** @param {'apt-get' | 'apt-cache'} command @param {readonly string[]} args @param {number} timeoutMs */
  async #run(command, args, timeoutMs) {
    const options = {
      'Dir::Etc::SourceList': '/dev/null',
      'Dir::Etc::SourceParts': join(this.#folder, 'sources.d'),
      'Dir::State::Lists': join(this.#folder, 'lists'),
      'Dir::Cache': join(this.#folder, 'cache'),
      'DPkg::Lock::Timeout': '120',
      'Acquire::Retries': '2',
      'Acquire::http::Timeout': '20',
      'Acquire::https::Timeout': '20',
    }
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
    const result = await capture(command, [...flags, ...args], { env: { ...process.env, ...QUIET }, timeoutMs })
    if (result.code === 0) return result.stdout
    throw new SetupError(`lavapipe: ${command} ${args[0]} failed: ${failureLine(result)}`)
  }
}
