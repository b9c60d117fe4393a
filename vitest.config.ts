/**
 * Tests. Project `node`: every file, in a process of its own, on the device that set-up chose. Project `chromium`: the files
 * that need a GPU and no Node, again, in a browser. What takes long, and devices with less, is for `npm run test:full`.
 */
import { playwright } from '@vitest/browser-playwright'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { browserHost } from './build/browserHost.ts'
import { wgslText } from './build/wgslText.ts'
import { CHROMIUM_ARGS, CHROMIUM_VARIABLE, chromiumEnvironment, findChromium } from './scripts/lib/chromium.mjs'
import { deviceEnvironment, rememberedDevice } from './scripts/lib/setup.mjs'
import type { BrowserLaunch } from './test/e2e/support/launch.ts'
import type { LesserDevice } from './test/support/lesserDevice.ts'

const realModel = process.env.LORIKEET_REAL_MODEL
const full = process.env.LORIKEET_TEST_FULL === '1'
// So that a bare `npx vitest` gets the same device as `npm test`.
const device = rememberedDevice()
// `npm test` finds one, or gets one; a bare `npx vitest` leaves browsers out.
const chromium = process.env[CHROMIUM_VARIABLE] ? findChromium() : null

/** Files that run in a browser too: what computes on a GPU. The last two take minutes on SwiftShader. */
const IN_BROWSERS = [
  'test/gpu/*.test.ts',
  'test/model/kernels/*.test.ts',
  'test/model/{deferredKernels,loraPlan,penalties,sampler}.test.ts',
  'test/engine/{faults,gpuRunner,mixedBatch,sampling}.test.ts',
  'test/goldens/{compositions,halfActivations,halfCache,otherModels}.test.ts',
  'test/lora/pool.test.ts',
  'test/endToEnd/endToEnd.test.ts',
  ...(full ? ['test/goldens/*.test.ts', 'test/engine/equality.test.ts'] : []),
]
/** Files that drive a browser from Node: the built demo page as its readers see it. */
const PAGES = 'test/e2e/*.test.ts'
/** Files that show the maths end to end: what a device with less must compute alike. */
const MATHS = ['test/engine/mixedBatch.test.ts', 'test/goldens/*.test.ts']

/** What every WebGPU has to offer; some phones, and Firefox, have no more (docs/platforms.md). */
const DEFAULT_LIMITS: LesserDevice = { wish: { defaultLimits: true } }
const LEAST: LesserDevice = { wish: { defaultLimits: true, subgroups: false, f16: false }, readbackDelayMs: 100 }

function inNode(name: string, include: string[], lesser: LesserDevice = {}): TestProjectInlineConfiguration {
  return {
    plugins: [wgslText()],
    test: {
      name,
      include,
      exclude: realModel ? [] : [PAGES, '**/*.real.test.ts', ...(full ? [] : ['**/*.full.test.ts'])],
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

/** How tests start a browser. */
const LAUNCH: BrowserLaunch | null = chromium
  ? { executablePath: chromium, args: CHROMIUM_ARGS, env: chromiumEnvironment(chromium) }
  : null

function drivingChromium(name: string, include: string[]): TestProjectInlineConfiguration {
  return {
    plugins: [wgslText()],
    test: {
      name,
      include,
      provide: { launch: LAUNCH! },
      pool: 'forks',
      fileParallelism: false,
      sequence: { groupOrder: 2 },
      ...LIMITS,
    },
  }
}

function inChromium(name: string, include: string[], lesser: LesserDevice = {}): TestProjectInlineConfiguration {
  return {
    plugins: [wgslText(), browserHost()],
    // All packages are ES modules already. To find one on the way and bundle it would reload the page under a test.
    optimizeDeps: { noDiscovery: true },
    test: {
      name,
      include,
      provide: { device: lesser },
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: LAUNCH! }),
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
          ...(full ? [inNode('node on the least device', MATHS, LEAST)] : []),
          ...(chromium ? [inChromium('chromium', IN_BROWSERS), drivingChromium('pages', [PAGES])] : []),
          ...(chromium && full ? [inChromium('chromium with default limits', IN_BROWSERS, DEFAULT_LIMITS)] : []),
        ],
  },
})
