/** Where the answers about other runtimes stand in the report of bench/peers.ts: S4, S5 and S6. */
import { at, type Json, numberAt } from './json.ts'
import type { Found, Read } from './readers.ts'

export interface PeerTask {
  readonly key: string
  readonly name: string
  readonly label: string
  /** What is asked for, in times the best of the others. */
  readonly times: number | null
}

const MIXED = 'S5 decode, 8 streams, 8 adapters'

export const PEER_TASKS: readonly PeerTask[] = [
  { key: 'S4 decode, 1 stream', name: 'decoding, 1 stream', label: 'S4: decode\n1 stream', times: 2.5 },
  { key: 'S5 decode, 4 streams', name: 'decoding, 4 streams', label: 'decode\n4 streams', times: null },
  { key: 'S5 decode, 8 streams, no', name: 'decoding, 8 streams', label: 'decode\n8 streams', times: null },
  { key: MIXED, name: 'decoding, 8 streams of 8 adapters', label: 'S5: decode\n8 adapters', times: 3 },
  { key: 'S6 prefill of 64', name: 'a prompt of 64', label: 'prompt\nof 64', times: null },
  { key: 'S6 prefill of 512', name: 'a prompt of 512', label: 'S6: prompt\nof 512', times: 1.3 },
]

/** Names of the runtimes, lorikeet first, without those that compute on the CPU by themselves. */
export function onDevice(report: Json): readonly string[] {
  const names = Object.keys((at(report, 'runtimes') ?? {}) as Json).filter((name) => !/\bCPU\b/.test(name))
  return [...names.filter((name) => name === 'lorikeet'), ...names.filter((name) => name !== 'lorikeet')]
}

/**
 * The best figure of the others on the same device for a task. For adapters that is their best batch of any kind, without
 * adapters too: what is asked for is held against that.
 */
export function bestBatch(report: Json, key: string, figure: string): number | null {
  const keys = key === MIXED ? PEER_TASKS.filter((task) => task.key.startsWith('S5')).map((task) => task.key) : [key]
  const others = onDevice(report).filter((name) => name !== 'lorikeet')
  const figures = keys.flatMap((each) => others.flatMap((name) => numberAt(report, each, name, figure) ?? []))
  return figures.length > 0 ? Math.max(...figures) : null
}

export function overPeers(key: string): Read {
  return (report): Found => {
    const ratio = (figure: string): number | null => {
      const [ours, theirs] = [numberAt(report, key, 'lorikeet', figure), bestBatch(report, key, figure)]
      return ours === null || theirs === null ? null : ours / theirs
    }
    return {
      best: ratio('tokensPerSecondBest'),
      median: ratio('tokensPerSecondMedian'),
      cpu: ratio('tokensPerCpuSecond'),
    }
  }
}
