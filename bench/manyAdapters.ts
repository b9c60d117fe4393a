/**
 * A thousand adapters of ranks 8 to 64 in a directory, room for 32 of them on the GPU and for a hundred in host memory (S9 of
 * docs/performance.md): throughput of 48 clients against the same load on four adapters, misses, and what was uploaded and
 * read again. Rounds take turns. The model is the tiny one of the tests, whose steps are short, so that adapters count for
 * much; --model=models/aviary for another.
 *
 *   node bench/run.mjs bench/manyAdapters.ts [--rounds=5] [--requests=2000] [--registered=1000] [--slack=1.25] [--model=DIR]
 */
import { reference } from '../test/fixtures.ts'
import { type Case, manyAdapters, type Round } from './support/manyAdapters.ts'
import { numberOption, textOption } from './support/options.ts'
import { median, rounded } from './support/timing.ts'

const CASES: readonly Case[] = [
  { name: '4 adapters', hot: 4, share: 1 },
  { name: '32 hot', hot: 32, share: 1 },
  { name: '32 hot with four fifths', hot: 32, share: 0.8 },
  { name: '200 hot with four fifths', hot: 200, share: 0.8 },
]

/** Of each answer. */
const ANSWER_TOKENS = 32

const requests = numberOption('requests', 2000)
const registered = numberOption('registered', 1000)
const report = await manyAdapters({
  model: textOption('model') ?? reference('models/llama-tiny'),
  registered,
  room: 32,
  // The number is to bound them, not the bytes.
  slack: numberOption('slack', 1.25),
  hostRoom: Math.ceil(registered / 10),
  cases: CASES.map((each) => ({ ...each, hot: Math.min(each.hot, registered) })),
  rounds: numberOption('rounds', 5),
  requests,
  clients: 48,
  promptTokens: 16,
  answerTokens: ANSWER_TOKENS,
})

/** Of what one of them adds up to, for each of the other. */
function mean(rounds: readonly Round[], what: 'uploadMs' | 'readMs', per: 'uploads' | 'reads'): number {
  const sum = (key: keyof Round) => rounds.reduce((total, round) => total + round[key], 0)
  return sum(what) / Math.max(1, sum(per))
}

const rates = (rounds: readonly Round[]) => rounds.map(({ tokensPerSecond }) => tokensPerSecond)
const few = rates(report.rounds.get('4 adapters')!)
const { rounds: measured, ...rest } = report
console.log(
  rounded({
    ...rest,
    requests,
    ...Object.fromEntries(
      [...measured].map(([name, rounds]) => {
        const tps = rates(rounds)
        const perRequest = (of: (round: Round) => number) =>
          rounds.reduce((sum, round) => sum + of(round), 0) / (rounds.length * requests)
        return [
          `S9 ${name}`,
          {
            tokensPerSecond: { best: Math.max(...tps), median: median(tps), rounds: tps },
            cpuAgainst4: median(few.map((_, i) => measured.get('4 adapters')![i]!.cpuSeconds / rounds[i]!.cpuSeconds)),
            against4: {
              best: Math.max(...tps) / Math.max(...few),
              median: median(tps.map((each, i) => each / few[i]!)),
            },
            missesPerRequest: perRequest(({ misses }) => misses),
            uploadsPerRequest: perRequest(({ uploads }) => uploads),
            uploadedBytes: rounds.reduce((sum, { uploadedBytes }) => sum + uploadedBytes, 0) / rounds.length,
            uploadMs: mean(rounds, 'uploadMs', 'uploads'),
            readMs: mean(rounds, 'readMs', 'reads'),
            stepMs: median(rounds.map(({ seconds, steps }) => (1000 * seconds) / steps)),
            rowsPerStep: median(rounds.map(({ steps }) => (requests * ANSWER_TOKENS) / steps)),
            readsPerRequest: perRequest(({ reads }) => reads),
            readBytes: rounds.reduce((sum, { readBytes }) => sum + readBytes, 0) / rounds.length,
          },
        ]
      }),
    ),
  }),
)
