/** Firefox by proxy: a device that tells of finished work only when something is submitted. */
import { describe, expect, it } from 'vitest'
import { Gpu } from '../../src/gpu/gpu.ts'
import type { GpuHost } from '../../src/gpu/host.ts'
import { Nudger } from '../../src/gpu/nudge.ts'
import { openGpu } from '../support/host.ts'

/** Lets messages and timers go round. */
const turn = () => new Promise((resolve) => setTimeout(resolve))

/** A promise that others settle. */
function pending() {
  let resolve = (_value: string): void => {}
  let reject = (_error: Error): void => {}
  const promise = new Promise<string>((one, other) => {
    resolve = one
    reject = other
  })
  return { promise, resolve, reject }
}

describe('Nudger', () => {
  it('submits until the last wait is over, also when one fails, and again for the next', async () => {
    let numSubmits = 0
    const waits = [pending(), pending()]
    const nudger = new Nudger(() => {
      numSubmits++
    })
    const [one, other] = waits.map(({ promise }) => nudger.during(promise))
    const more = async (): Promise<void> => {
      const before = numSubmits
      while (numSubmits === before) await turn()
    }
    await more()
    waits[0]!.resolve('one')
    expect(await one).toBe('one')
    await more()
    waits[1]!.reject(new Error('lost'))
    await expect(other).rejects.toThrow('lost')
    await turn()
    const atRest = numSubmits
    for (let i = 0; i < 20; i++) await turn()
    expect(numSubmits).toBe(atRest)
    const again = pending()
    const third = nudger.during(again.promise)
    await more()
    again.resolve('again')
    expect(await third).toBe('again')
  })
})

describe('a device that must be asked', () => {
  /** What it has finished and not told. */
  const untold: (() => void)[] = []
  const late = async <Result>(done: Promise<Result>): Promise<Result> => {
    const result = await done
    await new Promise<void>((resolve) => untold.push(resolve))
    return result
  }

  /** The device of `gpu`, telling late. */
  function lateHost(gpu: Gpu, needsNudges: boolean): GpuHost {
    const { device } = gpu
    const submit = device.queue.submit.bind(device.queue)
    const workDone = device.queue.onSubmittedWorkDone.bind(device.queue)
    const create = device.createBuffer.bind(device)
    device.queue.submit = (commands) => {
      submit(commands)
      for (const tell of untold.splice(0)) tell()
    }
    device.queue.onSubmittedWorkDone = () => late(workDone())
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor)
      const map = buffer.mapAsync.bind(buffer)
      buffer.mapAsync = (...args) => late(map(...args))
      return buffer
    }
    const adapter = { features: device.features, limits: device.limits, info: {}, requestDevice: async () => device }
    const requestAdapter = async () => adapter as unknown as GPUAdapter
    return { name: 'browser', implementation: 'late', needsNudges, requestAdapter, release: () => gpu.close() }
  }

  it('is asked wherever something waits for it', async () => {
    const gpu = await Gpu.open(lateHost(await openGpu(), true))
    const x = await gpu.allocate({ label: 'x', purpose: 'activations', byteLength: 16 })
    await gpu.upload(x, 0, Uint8Array.of(1, 2, 3, 4))
    await gpu.idle()
    expect([...(await gpu.readback(x, 0, 4))]).toEqual([1, 2, 3, 4])
    const ring = await gpu.readbackRing(1, 16, [])
    const recorder = gpu.recorder()
    const pending = ring.record(recorder, x, 4)
    recorder.submit()
    expect([...(await pending.read())]).toEqual([1, 2, 3, 4])
    gpu.close()
  })

  it('says nothing of itself: without nudges the test above would wait for ever', async () => {
    const gpu = await Gpu.open(lateHost(await openGpu(), false))
    let isIdle = false
    const idle = gpu.idle().then(() => {
      isIdle = true
    })
    while (untold.length === 0) await turn()
    for (let i = 0; i < 20; i++) await turn()
    expect(isIdle).toBe(false)
    gpu.device.queue.submit([])
    await idle
    gpu.close()
  })
})
