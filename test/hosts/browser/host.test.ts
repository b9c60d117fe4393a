/** What a browser lacks, and what a path means there; the rest is shown in Chromium (test/endToEnd). */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openGpu } from '../../../src/gpu/open.browser.ts'
import { currentHost } from '../../../src/hosts/browser/current.ts'
import { browserHost } from '../../../src/hosts/browser/host.ts'

afterEach(() => vi.unstubAllGlobals())

describe('a path', () => {
  beforeEach(() => {
    vi.stubGlobal('document', { baseURI: 'https://site.example/app/page.html' })
  })

  it.each([
    ['models/tiny', 'https://site.example/app/models/tiny/'],
    ['/models/tiny/', 'https://site.example/models/tiny/'],
    ['https://other.example/m', 'https://other.example/m/'],
  ])('%s is an address', (path, address) => {
    expect(browserHost.folder(path).name).toBe(address)
  })

  it('counts from the script in a worker', () => {
    vi.stubGlobal('document', undefined)
    vi.stubGlobal('location', { href: 'https://site.example/app/worker.js' })
    expect(browserHost.folder('m').name).toBe('https://site.example/app/m/')
  })

  const within = (path: string) => browserHost.folderWithin(path, ['/adapters', 'https://cdn.example/voices/'])

  it.each([
    ['/adapters/pirate', 'https://site.example/adapters/pirate/'],
    ['../adapters/a/../pirate', 'https://site.example/adapters/pirate/'],
    ['https://cdn.example/voices/pirate', 'https://cdn.example/voices/pirate/'],
  ])('%s of a request is allowed below a root', async (path, address) => {
    expect((await within(path)).name).toBe(address)
  })

  it.each([
    '/adapters-of-others/pirate',
    '/adapters/../secret',
    '/adapters/%2e%2e/secret',
    '/adapters/..%2Fsecret',
    'https://cdn.example/voices/../secret',
    'https://evil.example/voices/pirate',
    'http://cdn.example/voices/pirate',
    'file:///adapters/pirate',
    'data:text/plain,x',
    'http://[',
    '',
  ])('%j of a request is refused elsewhere', async (path) => {
    await expect(within(path)).rejects.toMatchObject({ code: 'path_refused', param: 'lora_path' })
  })

  it('cannot be listed', () => {
    expect(() => browserHost.subfolders('/adapters')).toThrow('/adapters cannot be listed')
  })
})

describe('a GPU', () => {
  const withGpu = (userAgent: string, adapter: unknown) =>
    vi.stubGlobal('navigator', { userAgent, gpu: { requestAdapter: async () => adapter } })

  it('that is not there says what to do', async () => {
    vi.stubGlobal('navigator', { userAgent: '' })
    vi.stubGlobal('isSecureContext', false)
    await expect(openGpu()).rejects.toMatchObject({ code: 'no_gpu', message: expect.stringContaining('over https') })
    vi.stubGlobal('isSecureContext', true)
    await expect(openGpu()).rejects.toThrow('Chrome and Edge have it since 113')
    withGpu('', null)
    await expect(openGpu()).rejects.toThrow('hardware acceleration')
    await expect(openGpu({ webgpu: 'dawn' })).rejects.toThrow('no WebGPU but its own')
  })

  it('of Firefox is nudged, of others not', async () => {
    for (const [userAgent, numSubmits] of [
      ['Mozilla/5.0 (Windows NT 10.0; rv:153.0) Gecko/20100101 Firefox/153.0', 3],
      ['Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36', 1],
    ] as const) {
      let submits = 0
      let done = (): void => {}
      const queue = {
        submit() {
          if (++submits === 3) done()
        },
        onSubmittedWorkDone: () =>
          numSubmits === 1 ? Promise.resolve() : new Promise<void>((resolve) => (done = resolve)),
      }
      const device = { features: new Set(), limits: {}, lost: new Promise(() => {}), queue, destroy() {} }
      withGpu(userAgent, { features: new Set(), limits: {}, info: {}, requestDevice: async () => device })
      const gpu = await openGpu()
      expect(gpu.implementation).toBe("the browser's WebGPU")
      await gpu.idle()
      expect(submits).toBe(numSubmits)
      gpu.close()
    }
  })
})

it('is the host of a bundle for browsers, wherever that runs', async () => {
  expect(await currentHost()).toBe(browserHost)
})
