/** A machine's apt sources in all the ways people write them. The addresses are examples; nothing is fetched. */
import { describe, expect, it } from 'vitest'
import { distributionSources, formatSources, parseAptSources, withSuite } from '../../scripts/lib/aptSources.mjs'

const DEBIAN_SOURCES = `
Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`

/** The release's own sources of a machine with these files; `main` of `bookworm`. */
function ownSources(files: Record<string, string>, codename = 'bookworm') {
  return distributionSources(
    parseAptSources(Object.entries(files).map(([name, text]) => ({ path: `/etc/apt/${name}`, text }))),
    codename,
  )
}

describe('apt sources', () => {
  it('are read from stanzas', () => {
    expect(parseAptSources([{ path: '/etc/apt/sources.list.d/debian.sources', text: DEBIAN_SOURCES }])).toEqual([
      {
        types: ['deb'],
        uris: ['http://mirror.example/debian'],
        suites: ['bookworm', 'bookworm-updates'],
        components: ['main'],
        signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
        file: '/etc/apt/sources.list.d/debian.sources',
      },
      {
        types: ['deb', 'deb-src'],
        uris: ['http://mirror.example/debian-security'],
        suites: ['bookworm-security'],
        components: ['main'],
        signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
        file: '/etc/apt/sources.list.d/debian.sources',
      },
    ])
  })

  it('are read from lines', () => {
    const text = `
# deb http://off.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://mirror.example/debian/ bookworm main contrib # why
deb-src http://mirror.example/debian bookworm main`
    expect(parseAptSources([{ path: '/etc/apt/sources.list', text }])).toEqual([
      {
        types: ['deb'],
        uris: ['http://mirror.example/debian/'],
        suites: ['bookworm'],
        components: ['main', 'contrib'],
        signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
        file: '/etc/apt/sources.list',
      },
      {
        types: ['deb-src'],
        uris: ['http://mirror.example/debian'],
        suites: ['bookworm'],
        components: ['main'],
        signedBy: null,
        file: '/etc/apt/sources.list',
      },
    ])
  })

  it('that are switched off do not count', () => {
    expect(
      ownSources({
        'sources.list.d/debian.sources': DEBIAN_SOURCES.replace('Types: deb\n', 'Enabled: no\nTypes: deb\n'),
      }),
    ).toHaveLength(1)
  })

  it('of the distribution are told from those of others', () => {
    const own = ownSources({
      'sources.list.d/debian.sources': DEBIAN_SOURCES,
      'sources.list.d/docker.list':
        'deb [signed-by=/etc/apt/keyrings/docker.asc] https://docker.example/linux/debian bookworm stable',
      'sources.list.d/nodesource.sources':
        'Types: deb\nURIs: https://node.example/node_20.x\nSuites: nodistro\nComponents: main\nSigned-By: /usr/share/keyrings/nodesource.gpg',
      'sources.list.d/tools.list': 'deb [signed-by=/usr/share/keyrings/tools.gpg] https://tools.example bookworm main',
      'sources.list.d/pg.list': 'deb https://pg.example/pub/repos/apt bookworm-pgdg main',
      'sources.list.d/mine.list':
        'deb [signed-by=/usr/share/keyrings/mine.gpg] https://mine.example/debian bookworm main',
    })
    expect(own.flatMap(({ uris }) => uris)).toEqual([
      'http://mirror.example/debian',
      'http://mirror.example/debian-security',
    ])
    expect(own.every(({ types }) => types.join() === 'deb')).toBe(true)
  })

  it('begin with the release itself, wherever it stands', () => {
    const own = ownSources({
      'sources.list':
        'deb http://mirror.example/debian-security bookworm-security main\ndeb http://mirror.example/debian bookworm main',
    })
    expect(own[0]?.suites).toEqual(['bookworm'])
  })

  it('may be a list of mirrors, a company mirror in the main file, or Ubuntu', () => {
    const cloud = 'Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n'
    expect(ownSources({ 'sources.list.d/debian.sources': cloud })).toHaveLength(1)
    expect(ownSources({ 'sources.list': 'deb https://artifacts.example/debian-remote bookworm main' })).toHaveLength(1)
    const ubuntu =
      'Types: deb\nURIs: http://mirror.example/ubuntu/\nSuites: noble noble-updates noble-backports\nComponents: main universe\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n'
    expect(ownSources({ 'sources.list.d/ubuntu.sources': ubuntu }, 'noble')).toHaveLength(1)
    expect(ownSources({ 'sources.list.d/ubuntu.sources': ubuntu }, 'jammy')).toEqual([])
  })

  it('give a backports source with their own mirror and key', () => {
    const [release] = ownSources({ 'sources.list.d/debian.sources': DEBIAN_SOURCES })
    expect(formatSources([withSuite(release!, 'bookworm-backports')])).toBe(
      'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n',
    )
  })

  it('keep a key that stands in the source, through writing and reading', () => {
    const key = 'Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEabc=\n -----END PGP PUBLIC KEY BLOCK-----'
    const text = `Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n${key}\n`
    const own = ownSources({ 'sources.list.d/debian.sources': text })
    expect(formatSources(own)).toBe(text)
  })
})
