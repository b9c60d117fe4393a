/** A whole server, as a client meets it: over a port of Node, and in the process of a page. Deno's turn is deno.test.ts. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import { reference } from '../fixtures.ts'
import { openGpu } from '../support/host.ts'
import { behindPort, inProcess } from './door.ts'
import { openModel, SCENARIOS, type Served } from './scenarios.ts'

const isPage = 'document' in globalThis

describe(`a server ${isPage ? 'in a page' : 'on a port of Node'}`, () => {
  let served: Served
  beforeAll(async () => {
    const model = await openModel(reference, await openGpu())
    const door = isPage
      ? inProcess(model.bird)
      : await behindPort((await import('../../src/hosts/node/serve.ts')).serve, model.bird)
    served = { ...model, ...door }
  })
  afterAll(() => served?.close())

  for (const { name, run } of SCENARIOS) it(name, () => run(served))
})
