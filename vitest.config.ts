import { defineConfig } from 'vitest/config'
import { wgslText } from './build/wgslText.ts'

export default defineConfig({
  plugins: [wgslText()],
  test: {
    include: ['test/**/*.test.ts'],
    // One process per test file: dawn.node holds a device per process and must be able to die alone.
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
