/** Whether a model runs on a device: opened, asked for a few tokens, its kernels and matrices timed, closed. */

import { profileOf } from '../../engine/sizes.ts'
import { tuningTable } from '../../engine/tuning.ts'
import { Lorikeet, type OpenOptions } from '../../lorikeet.ts'
import type { ModelTrial } from './diagnosis.ts'
import { PREFILL_ROWS, tryHalves } from './halfTrial.ts'

const NUM_TOKENS = 8
/** For timings of kernels, ten times what a start spends; and how long to wait for them, compiling included. */
const TUNING_BUDGET_MS = 3_000
const TUNING_MS = 60_000

/** Never throws: why it does not run is the result. */
export async function tryModel(name: string, options: OpenOptions): Promise<ModelTrial> {
  let bird: Lorikeet | null = null
  try {
    const start = performance.now()
    bird = await Lorikeet.open({ ...options, tuning: { budgetMs: TUNING_BUDGET_MS, ...options.tuning } })
    const openedAt = performance.now()
    const body = { prompt: [1, 2, 3], max_tokens: NUM_TOKENS, temperature: 0, ignore_eos: true, return_token_ids: true }
    const response = await bird.fetch('http://lorikeet/v1/completions', { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(await response.text())
    const endedAt = performance.now()
    const { spec, sizes, gpu, tuner } = bird.runtime
    const bytes = gpu.ledger.bytes
    await settled(tuner.done, TUNING_MS)
    await tuner.stop()
    const halves = await tryHalves(gpu, spec, tuner.dtypes.weights)
    const share = (ratio: number) => `${ratio.toFixed(2)} of the time`
    return {
      name,
      facts: {
        loaded: `in ${((openedAt - start) / 1000).toFixed(2)} s`,
        'first tokens': `${NUM_TOKENS} in ${((endedAt - openedAt) / 1000).toFixed(2)} s, shaders compiled on the way`,
        shape: `${spec.numLayers} layers of ${spec.hiddenSize}, vocabulary ${spec.vocabSize}`,
        context: `${sizes.maxModelLen} tokens, ${sizes.maxSpans} sequences at once`,
        'GPU memory': `${Math.round(bytes / 2 ** 20)} MiB`,
        numbers: profileOf(sizes),
        'activations in f16': `decoding would take ${share(halves.decode)}, reading ${PREFILL_ROWS} rows ${share(halves.prefill)} (matrices alone)`,
      },
      halves,
      kernels: tuningTable(tuner),
      tuning: tuner.findings,
      problem: null,
    }
  } catch (error) {
    return { name, facts: null, problem: error instanceof Error ? error.message : String(error) }
  } finally {
    await bird?.close()
  }
}

/** Resolves when `work` does, or after so many ms. */
async function settled(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, enough])
  clearTimeout(timer)
}
