/**
 * Tests. Project `node`: every file, in a process of its own, on the device that set-up chose. Project `chromium`: the files
 * that need a GPU and no Node, again, in a browser. What takes long, and devices with less, is for `npm run test:full`.
 */
import { playwright } from '@vitest/browser-playwright'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { browserHost } from './build/browserHost.ts'
import { wgslText } from './build/wgslText.ts'
import { CHROMIUM_ARGS, findChromium } from './scripts/lib/chromium.mjs'
import { deviceEnvironment, rememberedDevice } from './scripts/lib/setup.mjs'
import type { LesserDevice } from './test/support/lesserDevice.ts'

const realModel = process.env.LORIKEET_REAL_MODEL
const full = process.env.LORIKEET_TEST_FULL === '1'
// So that a bare `npx vitest` gets the same device as `npm test`.
const device = rememberedDevice()
const chromium = findChromium()

/** Files that run in a browser too. */
const IN_BROWSERS = [
  'test/gpu/*.test.ts',
  'test/model/kernels/*.test.ts',
  'test/model/{deferredKernels,loraPlan,penalties,sampler}.test.ts',
  'test/engine/{equality,faults,gpuRunner,mixedBatch,sampling}.test.ts',
  'test/goldens/*.test.ts',
  'test/lora/pool.test.ts',
]

const DEFAULT_LIMITS: LesserDevice = { wish: { defaultLimits: true } }

function inNode(name: string, include: string[], lesser: LesserDevice = {}): TestProjectInlineConfiguration {
  return {
    plugins: [wgslText()],
    test: {
      name,
      include,
      exclude: realModel ? [] : ['**/*.real.test.ts', ...(full ? [] : ['**/*.full.test.ts'])],
      env: device ? deviceEnvironment(device) : {},
      provide: { device: lesser },
      // dawn.node holds a device per process, and a driver that crashes must take no other file's tests with it. A
      // software device uses every core by itself, so more processes than two only make each other wait.
      pool: 'forks',
      maxWorkers: 2,
      ...LIMITS,
    },
  }
}

function inChromium(name: string, include: string[], lesser: LesserDevice = {}): TestProjectInlineConfiguration {
  return {
    plugins: [wgslText(), browserHost()],
    test: {
      name,
      include,
      provide: { device: lesser },
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: { executablePath: chromium!, args: CHROMIUM_ARGS } }),
        instances: [{ browser: 'chromium' }],
      },
      fileParallelism: false,
      // After Node's: two software devices at once only make each other wait.
      sequence: { groupOrder: 1 },
      ...LIMITS,
    },
  }
}

/** These only end what hangs: a software device on a busy machine takes minutes for what a GPU does at once. */
const LIMITS = { testTimeout: 600_000, hookTimeout: 600_000 }

export default defineConfig({
  test: {
    projects: realModel
      ? [inNode('real model', ['test/realModel/**/*.real.test.ts'])]
      : [
          inNode('node', ['test/**/*.test.ts']),
          ...(chromium ? [inChromium('chromium', IN_BROWSERS)] : []),
          ...(chromium && full ? [inChromium('chromium with default limits', IN_BROWSERS, DEFAULT_LIMITS)] : []),
        ],
  },
})
