/** Accidents on a real device: everybody hears of them once, in one kind of error, and nothing stays on the GPU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EngineUnavailableError } from '../../src/engine/errors.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import { GpuLostError, GpuOutOfMemoryError, GpuReadbackError } from '../../src/gpu/errors.ts'
import { Faults } from '../../src/gpu/faults.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { read, request, tokensOf } from '../support/requests.ts'

const SIZES = {
  maxNumBatchedTokens: 24,
  maxNumSeqs: 4,
  maxModelLen: 64,
  kvCacheMemory: 2 ** 21,
  loraMemory: 2 ** 21,
}

describe('faults on llama-tiny', () => {
  let faults: Faults
  let gpu: Gpu
  beforeEach(async () => {
    faults = new Faults()
    gpu = await openGpu({ faults })
  })
  afterEach(() => {
    gpu.close()
    expect(gpu.ledger.bytes).toBe(0)
  })

  const open = (depth?: number) =>
    Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      sizes: SIZES,
      engine: { checkIntegrity: true, ...(depth ? { depth } : {}) },
    })

  /** Base and adapter, running and waiting: more than run at once. */
  async function generateAll(runtime: Runtime, maxTokens: number) {
    const folder = referenceFolder('adapters/llama-tiny/all-linear-r8')
    runtime.adapters.add('voice', folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
    return Array.from({ length: 7 }, (_, i) => {
      const adapter = i % 2 ? runtime.adapters.lease('voice') : null
      return read(runtime.engine.generate(request({ prompt: [i, 40, 7], adapter, maxTokens })))
    })
  }

  for (const depth of [1, 8]) {
    it(`a lost device ends every request, with ${depth} steps in flight`, async () => {
      const runtime = await open(depth)
      const readings = await generateAll(runtime, 50)
      while (runtime.engine.stats().generatedTokens < 20) await new Promise((resolve) => setTimeout(resolve))
      faults.loseDevice()
      await Promise.all(readings.map(({ done }) => done))
      for (const { error, events } of readings) {
        expect(error).toBeInstanceOf(GpuLostError)
        expect(events.filter(({ type }) => type === 'finish')).toEqual([])
      }
      expect(runtime.engine.stats()).toMatchObject({ state: 'failed', running: 0, waiting: 0, kvCacheUsage: 0 })
      expect(runtime.adapters.status()[0]).toMatchObject({ leases: 0 })
      expect(() => runtime.engine.generate(request())).toThrow(EngineUnavailableError)
      await runtime.close()
      expect(gpu.ledger.describe()).toBe('')
    })

    it(`a readback that fails ends every request, with ${depth} steps in flight`, async () => {
      const runtime = await open(depth)
      faults.failReadback(12)
      const readings = await generateAll(runtime, 50)
      await Promise.all(readings.map(({ done }) => done))
      for (const { error } of readings) expect(error).toBeInstanceOf(GpuReadbackError)
      expect(new Set(readings.map(({ error }) => error)).size).toBe(1)
      expect(runtime.engine.stats()).toMatchObject({ state: 'failed', running: 0, waiting: 0, kvCacheUsage: 0 })
      await runtime.close()
      expect(gpu.ledger.describe()).toBe('')
    })
  }

  it('a lost device while nothing runs is met by the next request', async () => {
    const runtime = await open()
    await read(runtime.engine.generate(request())).done
    faults.loseDevice()
    await gpu.device.lost
    const reading = read(runtime.engine.generate(request()))
    await reading.done
    expect(reading.error).toBeInstanceOf(GpuLostError)
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
  })

  it('a readback that comes late changes no token, and is found out', async () => {
    const runtime = await open()
    const prompt = [3, 1, 4]
    const inTime = read(runtime.engine.generate(request({ prompt, maxTokens: 40 })))
    await inTime.done
    faults.readbackDelayMs = 30
    await read(runtime.engine.generate(request({ prompt: [9], maxTokens: 1 }))).done
    // Timers fire up to a millisecond early by performance.now(), so 30 may never be reached.
    await expect.poll(() => runtime.engine.stats().readbackMs, { timeout: 60_000 }).toBeGreaterThan(28)
    const late = read(runtime.engine.generate(request({ prompt, maxTokens: 40 })))
    await late.done
    expect(tokensOf(late.events)).toEqual(tokensOf(inTime.events))
    expect(runtime.engine.stats().depth).toBeGreaterThan(2)
    await runtime.close()
  })

  it('an allocation that fails while a model is opened leaves nothing behind, whichever it is', async () => {
    let numFailed = 0
    for (let n = 1; ; n += 5) {
      faults.failAllocation(n)
      const opened = await open().catch((error) => error)
      if (opened instanceof Runtime) {
        await opened.close()
        break
      }
      numFailed++
      expect(opened).toBeInstanceOf(GpuOutOfMemoryError)
      expect(gpu.ledger.describe()).toBe('')
    }
    expect(gpu.ledger.describe()).toBe('')
    expect(numFailed).toBeGreaterThan(5)
  })
})
