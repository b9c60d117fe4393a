/** Progress as the worker tells it: not more often than is of use, and nothing of what matters is lost. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { OpenProgress } from '../../../src/hosts/browser/relay/protocol.ts'
import { Files } from '../../../src/hosts/browser/worker/files.ts'

describe('progress', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('of many pieces is told now and then, the last of each phase always', async () => {
    const told: string[] = []
    const tell = ({ phase, loadedBytes, fromCache }: OpenProgress): void => {
      told.push(`${phase} ${loadedBytes}${fromCache ? ' cached' : ''}`)
    }
    const files = await Files.open(null, tell)
    vi.advanceTimersByTime(1000)
    const report = (phase: OpenProgress['phase'], loadedBytes: number): void =>
      files.report({ phase, loadedBytes, totalBytes: 9 })
    for (let bytes = 1; bytes <= 4; bytes++) report('download', bytes)
    report('weights', 1)
    expect(told).toEqual(['download 1'])
    vi.advanceTimersByTime(1000)
    expect(told).toEqual(['download 1', 'download 4', 'weights 1'])
    report('download', 5)
    report('download', 9)
    expect(told.slice(3)).toEqual(['download 5', 'download 9'])
    vi.advanceTimersByTime(1000)
    expect(told).toHaveLength(5)
  })
})
