/** Where a program's adapters come from, and which of them can be had again when they have left host memory. */
import { openAsBlob, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AdapterHouse, adapterHouse } from './api/support/adapterHouse.ts'
import { reference } from './fixtures.ts'

let house: AdapterHouse

beforeEach(async () => {
  house = await adapterHouse({ limits: { maxAdapters: 1 } })
})
afterEach(() => house.close())

const FOLDER = 'adapters/llama-tiny/r1'
const CONFIG = 'adapter_config.json'
const WEIGHTS = 'adapter_model.safetensors'
const fileOf = async (name: string) => new File([await openAsBlob(reference(`${FOLDER}/${name}`))], name)

/** Loads another one, which takes the only place in host memory if it can. */
async function pushOut(): Promise<void> {
  await house.adapters.load('other', house.put('other', 'llama-tiny/r5'))
}

describe('an adapter', () => {
  it('of a path is read again from there', async () => {
    await house.adapters.load('voice', house.put('voice', 'llama-tiny/r1'))
    await pushOut()
    expect(house.adapters.status().map(({ tier }) => tier)).toEqual(['store', 'host'])
    const lease = house.registry.lease('voice')!
    await lease.ready
    expect(house.adapters.status()[0]).toMatchObject({ tier: 'gpu', usage: { reads: 1 } })
  })

  it('of picked files, or of a Blob, is read again from them', async () => {
    await house.adapters.load('picked', [await fileOf(CONFIG), await fileOf(WEIGHTS)])
    const config = JSON.parse(readFileSync(reference(`${FOLDER}/${CONFIG}`), 'utf8'))
    const weights = await openAsBlob(reference('adapters/llama-tiny/qv-r8/adapter_model.safetensors'))
    const { r, lora_alpha, target_modules } = JSON.parse(
      readFileSync(reference('adapters/llama-tiny/qv-r8/adapter_config.json'), 'utf8'),
    )
    await house.adapters.load('blob', { config: { ...config, r, lora_alpha, target_modules }, weights })
    await pushOut()
    expect(house.adapters.status().map(({ tier }) => tier)).toEqual(['store', 'store', 'host'])
    for (const name of ['picked', 'blob']) {
      const lease = house.registry.lease(name)!
      await lease.ready
      lease.release()
    }
    expect(house.adapters.status().map(({ usage }) => usage.reads)).toEqual([1, 1, 0])
  })

  it('of bytes in memory stays there, and the rest makes place', async () => {
    const bytes = new Uint8Array(readFileSync(reference(`${FOLDER}/${WEIGHTS}`)))
    await house.adapters.load('voice', {
      config: readFileSync(reference(`${FOLDER}/${CONFIG}`), 'utf8'),
      weights: bytes,
    })
    // There is one place, and it is taken for good.
    await expect(pushOut()).rejects.toMatchObject({ code: 'adapter_memory_full', status: 409 })
    expect(house.adapters.status()).toMatchObject([{ name: 'voice', tier: 'host' }])
    await house.adapters.unload('voice')
    await house.adapters.load('other', house.folder('other'))
    expect(house.adapters.status()).toMatchObject([{ name: 'other', tier: 'host' }])
  })
})
