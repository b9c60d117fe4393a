import { afterEach, describe, expect, it, vi } from 'vitest'
import { tuningCache } from '../../../src/hosts/browser/tuningCache.ts'

/** As much of Cache Storage as this asks for: caches by name, responses by address. */
function fakeCaches() {
  const all = new Map<string, Map<string, Response>>()
  return {
    async open(name: string) {
      const cache = all.get(name) ?? new Map<string, Response>()
      all.set(name, cache)
      return {
        match: async (url: string) => cache.get(new URL(url).href)?.clone(),
        put: async (url: string, response: Response) => void cache.set(new URL(url).href, response),
      }
    },
  }
}

describe('tuningCache', () => {
  afterEach(() => vi.unstubAllGlobals())

  it('keeps a text for each key, whatever stands in it', async () => {
    vi.stubGlobal('caches', fakeCaches())
    const key = 'lorikeet 1 | some gpu (driver/5 #2?) | Dawn'
    expect(await tuningCache.read(key)).toBeNull()
    await tuningCache.write(key, '{"a": 1}')
    await tuningCache.write(`${key} `, '{"a": 2}')
    expect(await tuningCache.read(key)).toBe('{"a": 1}')
    expect(await tuningCache.read(`${key} `)).toBe('{"a": 2}')
  })

  it('rejects where there is no Cache Storage, as what uses it expects', async () => {
    vi.stubGlobal('caches', undefined)
    await expect(tuningCache.read('x')).rejects.toThrow()
    await expect(tuningCache.write('x', '{}')).rejects.toThrow()
  })
})
