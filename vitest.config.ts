/** Tests: every file in a process of its own, on the device that set-up chose. */
import { defineConfig } from 'vitest/config'
import { wgslText } from './build/wgslText.ts'
import { deviceEnvironment, rememberedDevice } from './scripts/lib/setup.mjs'

const realModel = process.env.LORIKEET_REAL_MODEL
const full = process.env.LORIKEET_TEST_FULL === '1'
// So that a bare `npx vitest` gets the same device as `npm test`.
const device = rememberedDevice()

export default defineConfig({
  plugins: [wgslText()],
  test: {
    include: realModel ? ['test/realModel/**/*.real.test.ts'] : ['test/**/*.test.ts'],
    exclude: realModel ? [] : ['**/*.real.test.ts', ...(full ? [] : ['**/*.full.test.ts'])],
    env: device ? deviceEnvironment(device) : {},
    // dawn.node holds a device per process, and a driver that crashes must take no other file's tests with it. A
    // software device uses every core by itself, so more processes than two only make each other wait.
    pool: 'forks',
    maxWorkers: 2,
    // These only end what hangs: a software device on a busy machine takes minutes for what a GPU does at once.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
})
