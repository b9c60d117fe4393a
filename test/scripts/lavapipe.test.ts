/** Which Mesa is installed, out of what apt offers. */
import { describe, expect, it } from 'vitest'
import { isNewEnough, pickVersion, releaseCodename } from '../../scripts/lib/lavapipe.mjs'
import { parseMadison } from '../../scripts/lib/privateApt.mjs'

const rows = (...lines: string[]) =>
  parseMadison(lines.map((line) => ` mesa-vulkan-drivers | ${line} amd64 Packages`).join('\n'))

describe('a Mesa version', () => {
  it.each([
    ['22.3.6-1+deb12u2', false],
    ['23.0.4-0ubuntu1', false],
    ['23.1.0-1', true],
    ['23.2.1-1ubuntu3.1~22.04.3', true],
    ['25.0.7-2~bpo12+1', true],
    ['1:25.0.7-2', true],
    ['9.0.2', false],
    ['nonsense', false],
  ])('%s is new enough: %s', (version, expected) => {
    expect(isNewEnough(version)).toBe(expected)
  })
})

describe('the version to install', () => {
  it('is the backport where the release is too old', () => {
    const offered = rows(
      '25.0.7-2~bpo12+1 | http://mirror.example/debian bookworm-backports/main',
      '22.3.6-1+deb12u2 | http://mirror.example/debian bookworm/main',
    )
    expect(pickVersion(offered)).toEqual({ version: '25.0.7-2~bpo12+1', suite: 'bookworm-backports' })
  })

  it("is the release's own where that is new enough, and never a proposed one", () => {
    const offered = rows(
      '26.1.0-1 | http://mirror.example/ubuntu noble-proposed/main',
      '26.0.0-1 | http://mirror.example/ubuntu noble-backports/main',
      '25.0.7-0ubuntu0.24.04.2 | http://mirror.example/ubuntu noble-updates/main',
      '24.0.5-1ubuntu1 | http://mirror.example/ubuntu noble/main',
    )
    expect(pickVersion(offered)).toEqual({ version: '25.0.7-0ubuntu0.24.04.2', suite: 'noble-updates' })
  })

  it('is none where all are too old', () => {
    expect(pickVersion(rows('20.3.5-1 | http://mirror.example/debian bullseye/main'))).toBeNull()
    expect(parseMadison('')).toEqual([])
  })
})

describe('the release', () => {
  it.each([
    ['VERSION_CODENAME=bookworm\nID=debian', 'bookworm'],
    ['VERSION_CODENAME="noble"\nUBUNTU_CODENAME=noble', 'noble'],
    ['VERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble', 'noble'],
    ['ID=alpine', null],
  ])('is read from os-release: %j', (text, codename) => {
    expect(releaseCodename(text)).toBe(codename)
  })
})
