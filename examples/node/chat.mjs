// The openai client in the same process as the model: no port, no server.
import { Lorikeet } from 'lorikeet'
import OpenAI from 'openai'

const aviary = new URL('../../models/aviary', import.meta.url).pathname
const voices = ['melville', 'king-james', 'early-presidents', 'late-presidents']

const bird = await Lorikeet.open({
  model: aviary,
  adapters: voices.map((name) => ({ name, source: `${aviary}/adapters/${name}` })),
})
const openai = new OpenAI({ fetch: bird.fetch, baseURL: 'http://lorikeet/v1', apiKey: 'none' })

// All of them at once: their tokens are computed in the same steps of the same batch.
const answers = await Promise.all(
  ['aviary', ...voices].map(async (model) => {
    const completion = await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'The people of this land' }],
      max_tokens: 40,
      temperature: 0.8,
      seed: 1,
    })
    return `${model}: ${completion.choices[0].message.content}`
  }),
)
console.log(answers.join('\n\n'))
await bird.close()
