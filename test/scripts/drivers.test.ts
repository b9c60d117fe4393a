/** Finding software drivers where the Vulkan loader finds them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { driverEnvironments, manifestFolders, softwareManifests } from '../../scripts/lib/drivers.mjs'

describe('drivers', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'lorikeet-drivers-'))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  function put(path: string): string {
    const at = join(root, path)
    mkdirSync(dirname(at), { recursive: true })
    writeFileSync(at, '{}')
    return at
  }

  it('are looked for in the folders of the XDG rules', () => {
    expect(manifestFolders({ HOME: '/h' })).toEqual([
      '/h/.config/vulkan/icd.d',
      '/etc/xdg/vulkan/icd.d',
      '/etc/vulkan/icd.d',
      '/h/.local/share/vulkan/icd.d',
      '/usr/local/share/vulkan/icd.d',
      '/usr/share/vulkan/icd.d',
    ])
    expect(manifestFolders({ HOME: '/h', XDG_DATA_DIRS: '/a:/b', XDG_CONFIG_HOME: '/c' })).toEqual([
      '/c/vulkan/icd.d',
      '/etc/xdg/vulkan/icd.d',
      '/etc/vulkan/icd.d',
      '/h/.local/share/vulkan/icd.d',
      '/a/vulkan/icd.d',
      '/b/vulkan/icd.d',
    ])
  })

  it('of software come lavapipe first, whatever folder it is in; those of GPUs are not among them', () => {
    const swift = put('one/vk_swiftshader_icd.json')
    put('one/radeon_icd.json')
    put('two/readme.txt')
    const lavapipe = put('two/lvp_icd.x86_64.json')
    const found = softwareManifests([join(root, 'one'), join(root, 'gone'), join(root, 'two')])
    expect(found.slice(0, 2)).toEqual([lavapipe, swift])
    expect(found.some((path) => path.includes('radeon'))).toBe(false)
  })

  it('are named to both kinds of loader, and bring their own loader for machines without one', () => {
    const manifest = put('lvp_icd.json')
    const only = { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest }
    expect(driverEnvironments(manifest)).toEqual([only])
    put('libvulkan.so.1')
    expect(driverEnvironments(manifest)).toEqual([
      only,
      { ...only, LD_LIBRARY_PATH: [root, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':') },
    ])
  })
})
