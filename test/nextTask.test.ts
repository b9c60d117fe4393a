import { afterEach, expect, it, vi } from 'vitest'
import { nextTask } from '../src/nextTask.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

for (const host of ['setImmediate', 'MessageChannel']) {
  it(`gives other tasks their turn, by ${host}`, async () => {
    let hadTurn = false
    setImmediate(() => {
      hadTurn = true
    })
    if (host === 'MessageChannel') vi.stubGlobal('setImmediate', undefined)
    for (let tasks = 0; tasks < 1000 && !hadTurn; tasks++) await nextTask()
    expect(hadTurn).toBe(true)
  })
}
