// The openai client, unmodified; what answers it is a worker of this page.
import { openInWorker } from 'lorikeet/browser'
import OpenAI from 'openai'

const status = document.querySelector('p')!
const output = document.querySelector('pre')!

const bird = await openInWorker({
  model: 'models/aviary',
  adapters: [{ name: 'melville', source: 'models/aviary/adapters/melville' }],
})
// The key is nobody's: nothing leaves the page.
const openai = new OpenAI({
  fetch: bird.fetch,
  baseURL: 'http://lorikeet/v1',
  apiKey: 'none',
  dangerouslyAllowBrowser: true,
})

status.textContent = 'The sea, as melville has it:'
const stream = await openai.chat.completions.create({
  model: 'melville',
  messages: [{ role: 'user', content: 'The sea' }],
  max_tokens: 40,
  stream: true,
  stream_options: { include_usage: true },
})
for await (const { choices, usage } of stream) {
  output.textContent += choices[0]?.delta.content ?? ''
  if (usage) status.textContent = `The sea, as melville has it, in ${usage.completion_tokens} tokens:`
}
