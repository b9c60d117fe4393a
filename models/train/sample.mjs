/**
 * Samples of every voice from a running server, for evaluate.py --samples: eight streams at a time, all voices mixed.
 *
 *     npm start                                                             # in another terminal
 *     node models/train/sample.mjs > samples.json
 *     python models/train/evaluate.py --samples samples.json
 */
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8000' },
    samples: { type: 'string', default: '100' },
    tokens: { type: 'string', default: '60' },
    streams: { type: 'string', default: '8' },
  },
})
const BASE = 'aviary'
const BOS = 0

const models = (await (await fetch(`${values.url}/v1/models`)).json()).data.map(({ id }) => id)
const voices = models.filter((id) => id !== BASE)
/** Sample by sample through all voices, so that neighbours in time are different voices. */
const wanted = Array.from({ length: Number(values.samples) }, (_, seed) => voices.map((model) => ({ model, seed }))).flat()
const samples = Object.fromEntries(voices.map((voice) => [voice, []]))

/** The ids of one sample, read from its stream. */
async function sample({ model, seed }) {
  const tokens = Number(values.tokens)
  const response = await fetch(`${values.url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({
      ...{ model, prompt: [BOS], max_tokens: tokens, ignore_eos: true, stream: true, return_token_ids: true },
      // PyTorch's: temperature alone.
      ...{ seed, temperature: 0.8, top_p: 1, top_k: 0 },
    }),
  })
  if (!response.ok) throw new Error(await response.text())
  const ids = []
  for (const line of (await response.text()).split('\n')) {
    if (!line.startsWith('data: {')) continue
    ids.push(...(JSON.parse(line.slice(6)).choices[0]?.token_ids ?? []))
  }
  if (ids.length !== tokens) throw new Error(`${model} said ${ids.length} tokens, not ${tokens}`)
  samples[model].push(ids)
}

const queue = wanted.values()
const stream = async () => {
  for (const next of queue) await sample(next)
}
await Promise.all(Array.from({ length: Number(values.streams) }, stream))
console.log(JSON.stringify(samples))
