/** When packages are installed again, and that the lock file serves every machine. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { installReason } from '../../scripts/lib/dependencies.mjs'

const WANTED = {
  packages: {
    '': {},
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/a-linux': { version: '1.0.0', optional: true, os: ['linux'] },
    'node_modules/a-darwin': { version: '1.0.0', optional: true, os: ['darwin'] },
  },
}
const { a, linux } = {
  a: { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } },
  linux: { 'node_modules/a-linux': { version: '1.0.0', integrity: 'sha512-l', os: ['linux'] } },
}
const reason = (packages: object, isThere = (_path: string): boolean => true) =>
  installReason(WANTED, { packages: packages as never }, isThere, 'linux')

describe('packages', () => {
  it('that match the lock file are left alone', () => {
    expect(reason({ ...a, ...linux })).toBeNull()
  })

  it.each([
    ['there are none', null, 'node_modules is missing'],
    ['one is missing', linux, 'node_modules/a is missing'],
    [
      'one has another version',
      { ...linux, 'node_modules/a': { version: '0.9.0' } },
      'node_modules/a is 0.9.0, not 1.0.0',
    ],
    [
      'one has another content',
      { ...linux, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-b' } },
      'node_modules/a is not the 1.0.0 that is locked',
    ],
    [
      'they were installed on another system',
      { ...a, 'node_modules/a-darwin': { version: '1.0.0', os: ['darwin'] } },
      'node_modules/a-darwin is for another operating system',
    ],
  ])('are installed when %s', (_case, packages, why) => {
    expect(packages ? reason(packages) : installReason(WANTED, null, () => true)).toBe(why)
  })

  it('are installed when a folder was deleted', () => {
    expect(reason({ ...a, ...linux }, (path) => path !== 'node_modules/a')).toBe('node_modules/a is missing')
  })
})

describe('package-lock.json', () => {
  const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')
  const { packages } = JSON.parse(text) as {
    packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }>
  }

  it('names no registry', () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([])
    expect(text).not.toMatch(/https?:\/\/registry\./)
  })

  // A registry that lacks a platform's binary makes npm leave it out, and then `npm ci` fails everywhere.
  it('holds the binaries of every platform', () => {
    const wanted = Object.values(packages).flatMap(({ optionalDependencies }) =>
      Object.keys(optionalDependencies ?? {}),
    )
    expect(wanted.length).toBeGreaterThan(0)
    expect(wanted.filter((name) => !packages[`node_modules/${name}`])).toEqual([])
  })
})
