/**
 * Reads a machine's apt sources, in both formats, and picks the distribution's own among them. Set-up takes the
 * mirror's address from here and never names one itself.
 */

/**
 * @typedef {object} AptSource
 * @property {string[]} types `deb`, `deb-src`
 * @property {string[]} uris
 * @property {string[]} suites
 * @property {string[]} components
 * @property {string | null} signedBy a keyring's path, or a whole key block with its line breaks
 * @property {string} file where it stands
 */

/**
 * All sources that are switched on.
 * @param {Iterable<{ path: string, text: string }>} files `*.list` and `*.sources`
 * @returns {AptSource[]}
 */
export function parseAptSources(files) {
  return [...files].flatMap(({ path, text }) =>
    path.endsWith('.sources') ? parseStanzas(text, path) : parseLines(text, path),
  )
}

/** One-line format: `deb [signed-by=… arch=…] uri suite component…`. @param {string} text @param {string} file */
function parseLines(text, file) {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?([^\s#]+)\s+([^\s#]+)\s*([^#]*)/.exec(line)
    if (!match) return []
    const [, type = '', options = '', uri = '', suite = '', components = ''] = match
    if (uri.startsWith('cdrom:')) return []
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1] ?? null
    return { types: [type], uris: [uri], suites: [suite], components: words(components), signedBy, file }
  })
}

/** deb822 format: stanzas of fields, comments anywhere. @param {string} text @param {string} file */
function parseStanzas(text, file) {
  const withoutComments = text.replace(/^#.*\n?/gm, '')
  return withoutComments.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map(
      [...stanza.matchAll(/^([\w-]+):(.*(?:\n[ \t].*)*)/gm)].map(([, name = '', value = '']) => [
        name.toLowerCase(),
        value,
      ]),
    )
    const enabled = !/^\s*(no|false|without|off|disable)\s*$/i.test(fields.get('enabled') ?? '')
    if (!enabled || !fields.has('uris')) return []
    return {
      types: words(fields.get('types') ?? ''),
      uris: words(fields.get('uris') ?? ''),
      suites: words(fields.get('suites') ?? ''),
      components: words(fields.get('components') ?? ''),
      signedBy: fields.get('signed-by')?.trim() || null,
      file,
    }
  })
}

/** @param {string} text */
function words(text) {
  return text.split(/\s+/).filter(Boolean)
}

/**
 * The distribution's own binary sources, those of the release itself first. Others may use the same suite and
 * component names (they do), so a source must also carry a mark of the distribution: its keyring, its file name, or
 * its directory in the address. What apt then reads from the server is checked once more, by its `Origin`.
 * @param {readonly AptSource[]} sources
 * @param {string} codename of the release, such as `bookworm`
 * @returns {AptSource[]}
 */
export function distributionSources(sources, codename) {
  const ofRelease = sources.flatMap((source) => {
    const suites = source.suites.filter((suite) => suite === codename || suite.startsWith(`${codename}-`))
    const isBinary = source.types.includes('deb') && source.components.includes('main')
    return isBinary && suites.length > 0 && hasDistributionMark(source) ? { ...source, types: ['deb'], suites } : []
  })
  const isRelease = (/** @type {AptSource} */ source) => source.suites.includes(codename)
  return [...ofRelease.filter(isRelease), ...ofRelease.filter((source) => !isRelease(source))]
}

/** @param {AptSource} source */
function hasDistributionMark({ signedBy, file, uris }) {
  if (signedBy?.startsWith('/')) return /\/(debian|ubuntu|raspbian)-archive-[\w.-]+$/.test(signedBy)
  if (/\/(sources\.list|(debian|ubuntu)\.sources)$/.test(file)) return true
  return uris.some((uri) => /\/(debian|ubuntu|ubuntu-ports|raspbian)(-security)?\/?$/.test(uri))
}

/**
 * The same mirror and key, another suite.
 * @param {AptSource} source
 * @param {string} suite
 * @returns {AptSource}
 */
export function withSuite(source, suite) {
  return { ...source, suites: [suite] }
}

/** deb822 text of sources. @param {readonly AptSource[]} sources */
export function formatSources(sources) {
  return sources
    .map(({ types, uris, suites, components, signedBy }) => {
      const fields = [
        ['Types', types],
        ['URIs', uris],
        ['Suites', suites],
        ['Components', components],
      ]
      const lines = fields.map(([name, values]) => `${name}: ${/** @type {string[]} */ (values).join(' ')}`)
      if (signedBy) lines.push(`Signed-By:${signedBy.startsWith('/') ? '' : '\n'} ${signedBy}`)
      return `${lines.join('\n')}\n`
    })
    .join('\n')
}
