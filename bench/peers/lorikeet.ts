/**
 * lorikeet as a rig of bench/peers.ts: requests to the engine, as the HTTP layer makes them. Prompts it has seen come out of
 * its prefix cache. Argument: the model's folder.
 */
import { SyntheticAdapters } from '../../src/bench/synthetic.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import { openGpu } from '../../src/gpu/open.node.ts'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { VERSION } from '../../src/version.ts'
import { Clock, type DecodeTask, type PrefillTask, serveTasks, type Timing } from './rig.ts'

const MIB = 2 ** 20
const RANK = 16
const MAX_STREAMS = 8
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

const gpu = await openGpu()
const runtime = await Runtime.open(gpu, directoryFolder(process.argv[2]!), {
  sizes: { maxModelLen: 1024, maxNumSeqs: MAX_STREAMS, kvCacheMemory: 256 * MIB, loraMemory: 128 * MIB },
})
const synthetic = new SyntheticAdapters(runtime.spec)
for (let i = 0; i < MAX_STREAMS; i++) {
  const name = `adapter-${i}`
  runtime.adapters.add(name, 'made up', synthetic.make(name, RANK), { store: synthetic.store(name, RANK) })
  const lease = runtime.adapters.lease(name)!
  await lease.ready
  lease.release()
}

async function* tokensOf(prompt: readonly number[], maxTokens: number, adapter: string | null): AsyncGenerator<number> {
  const generation = runtime.engine.generate({
    id: 'bench',
    prompt,
    adapter: adapter === null ? null : runtime.adapters.lease(adapter)!,
    sampling: GREEDY,
    maxTokens,
    minTokens: 0,
    stopIds: [],
    topLogprobs: null,
    promptLogprobs: null,
    signal: null,
  })
  for await (const event of generation) if (event.type === 'token') yield event.token
}

async function decode({ prompts, output, adapters }: DecodeTask): Promise<Timing> {
  let clock: Clock | null = null
  let started = 0
  let timed = 0
  const answers = await Promise.all(
    prompts.map(async (prompt, i) => {
      const answer: number[] = []
      for await (const token of tokensOf(prompt, output, adapters ? `adapter-${i}` : null)) {
        if (clock !== null) timed++
        if (answer.length === 0 && ++started === prompts.length) clock = new Clock()
        answer.push(token)
      }
      return answer
    }),
  )
  return clock!.stop(timed, answers[0]!)
}

async function prefill({ prompt }: PrefillTask): Promise<Timing> {
  const clock = new Clock()
  const answer: number[] = []
  for await (const token of tokensOf(prompt, 1, null)) answer.push(token)
  return clock.stop(prompt.length, answer)
}

await serveTasks(
  {
    runtime: `lorikeet ${VERSION}`,
    weights: 'f16',
    device: gpu.can.adapter,
    can: ['decode', 'prefill', 'adapters'],
    rowsPerStep: runtime.sizes.maxRows,
    kvCache: runtime.sizes.kvCacheDtype,
  },
  (task) => (task.kind === 'decode' ? decode(task) : prefill(task)),
)
await runtime.close()
gpu.close()
