/** Probing runs in a process of its own: a working driver, none at all, and one that takes its process down. */
import { describe, expect, it } from 'vitest'
import { probe } from '../../scripts/lib/probe.mjs'

describe('probe', () => {
  it('finds the device the tests run on, and makes it compute', async () => {
    const found = await probe({})
    expect(found).toMatchObject({ status: 'adapter', adapter: { name: expect.stringMatching(/\w/) } })
  })

  it('outlives a driver that crashes', async () => {
    const crash = `data:text/javascript,process.kill(process.pid,'SIGSEGV')`
    expect(await probe({ NODE_OPTIONS: `--import ${crash}` })).toEqual({
      status: 'broken',
      detail: 'the process ended with SIGSEGV',
    })
  })
})
