/** Every candidate of every choice gives the CPU's numbers and the same bits as the others of its choice. */

import { describe, expect } from 'vitest'
import { sourceOf } from '../../../src/gpu/kernel.ts'
import { defaultTuning } from '../../../src/model/kernels/tuning.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import type { Problem } from '../../../src/model/tuner/problems.ts'
import { DeviceTrials, WrongKernelError } from '../../../src/model/tuner/trials.ts'
import { type Tunable, tunablesOf } from '../../../src/model/tuner/tunable.ts'
import { it } from '../../support/gpu.ts'

/** Three query heads of 20 share a key/value head; nothing is a multiple of much. */
const SPEC = {
  hiddenSize: 180,
  intermediateSize: 212,
  numHeads: 9,
  numKvHeads: 3,
  headDim: 20,
  vocabSize: 2011,
} as ModelSpec

describe('candidates', () => {
  it.for(['F32', 'F16'] as const)('are right, and of one numeric profile: activations %s', async (dtype, { bench }) => {
    const tunables = tunablesOf(bench.gpu.can, SPEC, 'F16', dtype)
    expect(tunables.map(({ name }) => name)).toEqual([
      'matmul, 1 row',
      'matmul, 8 rows',
      'attention, runs',
      'attention, singles',
      'long contexts, 1 row',
      'shrink',
      'expand',
      'norm',
      'sampler',
      'matmul, 4 rows',
      'matmul, 2 rows',
      'long contexts, up to 4 rows',
      'long contexts, up to 16 rows',
      'long contexts, more rows',
    ])
    const trials = new DeviceTrials(bench.gpu)
    const usual = defaultTuning(bench.gpu.can)
    for (const tunable of tunables) {
      const { candidates } = tunable
      expect(new Set(candidates.map(({ label }) => label)).size).toBe(candidates.length)
      expect(candidates.map(({ label }) => label)).toContain(tunable.chosen(usual))
      for (const candidate of candidates) {
        expect(tunable.chosen(candidate.within(usual))).toBe(candidate.label)
        const trial = await trials.prepare(tunable, candidate)
        expect(await trial.time()).toBeGreaterThan(0)
        trial.close()
      }
    }
  })

  it('are found out when one of them is wrong, or sums in another order', async ({ bench }) => {
    const shrink = tunablesOf(bench.gpu.can, SPEC, 'F16').find(({ name }) => name === 'shrink')!
    const [four, sixteen] = [4, 16].map((columns) =>
      shrink.candidates.find(({ label }) => label === `${columns} columns`),
    )
    /** Changes the kernel of 16 columns. */
    const changed = (of: 'check' | 'load', from: string, to: string): Tunable => ({
      ...shrink,
      [of]: async (): Promise<Problem> => {
        const problem = await shrink[of]()
        return {
          ...problem,
          dispatches(tuning) {
            const all = problem.dispatches(tuning)
            if (tuning.shrink.columns !== 16) return all
            return all.map(({ choice: { definition, specialisation }, ...rest }) => {
              const source = async (): Promise<string> => {
                const text = await sourceOf(definition)
                expect(text).toContain(from)
                return text.replaceAll(from, to)
              }
              return { ...rest, choice: { definition: { ...definition, source }, specialisation } }
            })
          },
        }
      },
    })
    const attempt = async (tunable: Tunable) => {
      const trials = new DeviceTrials(bench.gpu)
      ;(await trials.prepare(tunable, four!)).close()
      return trials.prepare(tunable, sixteen!)
    }
    await expect(attempt(changed('check', 'fma(ws.w, xs[n].w', 'fma(ws.w, xs[n].z'))).rejects.toThrow(WrongKernelError)
    const reordered = changed('load', 'fma(ws.w, xs[n].w, fma(ws.z, xs[n].z,', 'fma(ws.z, xs[n].z, fma(ws.w, xs[n].w,')
    await expect(attempt(reordered)).rejects.toThrow(/other bits than the candidates before it/)
    expect(bench.gpu.ledger.count).toBe(0)
  })

  it('are none where each would take a software device a minute to compile', ({ bench }) => {
    expect(tunablesOf({ ...bench.gpu.can, software: true, subgroups: false }, SPEC, 'F16')).toEqual([])
  })

  it('of a GPU take more sums, and several teams in a workgroup, and are as right', async ({ bench }) => {
    const of = (software: boolean) => tunablesOf({ ...bench.gpu.can, software }, SPEC, 'F16')
    const labels = (software: boolean) =>
      of(software)
        .find(({ name }) => name === 'matmul, 8 rows')!
        .candidates.map(({ label }) => label)
    expect(labels(false)).toContain('8 rows x 8 outputs')
    expect(labels(true)).not.toContain('8 rows x 8 outputs')
    const trials = new DeviceTrials(bench.gpu)
    const tried: string[] = []
    for (const tunable of of(false)) {
      const inTeams = tunable.candidates.filter(({ label }) => label.endsWith(', 4 teams'))
      const alone = tunable.candidates.filter(({ label }) => inTeams.some((each) => `${label}, 4 teams` === each.label))
      const all = tunable.name === 'matmul, 32 or more rows' ? tunable.candidates : [...alone.slice(0, 1), ...inTeams]
      for (const candidate of all) {
        ;(await trials.prepare(tunable, candidate)).close()
        tried.push(tunable.name)
      }
    }
    expect([...new Set(tried)].toSorted()).toEqual([
      'attention, runs',
      'attention, singles',
      'expand',
      'matmul, 1 row',
      'matmul, 2 rows',
      'matmul, 32 or more rows',
      'matmul, 4 rows',
      'matmul, 8 rows',
      'shrink',
    ])
  })
})
