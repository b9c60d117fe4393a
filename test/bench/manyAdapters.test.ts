/** The load of S9 with small numbers: far more adapters than fit, everybody answered, no budget exceeded, nothing left. */
import { expect, it } from 'vitest'
import { manyAdapters, RANKS } from '../../bench/support/manyAdapters.ts'
import { reference } from '../fixtures.ts'

it('thirty adapters, four on the GPU and ten in host memory', async () => {
  const report = await manyAdapters({
    model: reference('models/llama-tiny'),
    registered: 30,
    room: 4,
    slack: 1,
    hostRoom: 10,
    cases: [
      { name: 'few', hot: 3, share: 1 },
      { name: 'many', hot: 10, share: 0.5 },
    ],
    rounds: 2,
    requests: 60,
    // Leases alone fill less than half of host memory, whatever their ranks.
    clients: 3,
    promptTokens: 5,
    answerTokens: 4,
  })
  expect(report).toMatchObject({ registered: 30, failed: 0, ledgerAfterClose: 0 })
  const { overtaken, most, gpuBytes, hostBytes } = report
  expect(overtaken.most).toBeLessThanOrEqual(overtaken.bound)
  expect(most.resident).toBeLessThanOrEqual(4)
  expect(most.gpuBytes).toBeLessThanOrEqual(gpuBytes)
  expect(most.hostBytes).toBeLessThanOrEqual(hostBytes)
  expect(most.hostBytes).toBeGreaterThan(hostBytes / 2)
  // What the warming up has not met yet.
  for (const { uploads } of report.rounds.get('few')!) expect(uploads).toBeLessThan(3)
  for (const { misses, uploads, uploadedBytes, reads, readBytes } of report.rounds.get('many')!) {
    expect(misses).toBeGreaterThan(20)
    expect(uploads).toBeGreaterThan(20)
    expect(reads).toBeGreaterThan(5)
    expect(reads).toBeLessThan(uploads)
    expect(uploadedBytes / uploads).toBeGreaterThan(report.adapterBytes.mean / RANKS.length)
    expect(readBytes / reads).toBeGreaterThan(report.adapterBytes.mean / RANKS.length)
  }
})
