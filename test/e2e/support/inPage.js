/** Runs in the page under test: the built library, and what the tests do with it again and again. */
import * as library from '/lib/page.js'

window.library = library
window.events = []

/** Opens llama-tiny with two adapters. */
window.open = async (options = {}) => {
  window.bird = await library.openInWorker({
    model: '/models/llama-tiny',
    adapters: ['r5', 'attn-r16'].map((name) => ({ name, source: `/adapters/llama-tiny/${name}` })),
    sizes: { maxModelLen: 128, maxNumSeqs: 4, maxNumBatchedTokens: 32, loraMemory: 4 << 20 },
    ...options,
  })
  return window.bird
}

/** Through the model of this page, or where there is none by plain fetch, which is the service worker's. */
function ask(model, fields, init) {
  const body = { model, prompt: 'a small bird', temperature: 0, ignore_eos: true, ...fields }
  const headers = { 'content-type': 'application/json' }
  const send = window.bird?.fetch ?? window.fetch.bind(window)
  return send(`${location.origin}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(body), ...init })
}

window.complete = async (model, maxTokens = 24) => {
  const response = await ask(model, { max_tokens: maxTokens })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${response.status} ${answer.error.message}`)
  return answer.choices[0].text
}

window.stream = async function* (model, maxTokens, init) {
  const response = await ask(model, { max_tokens: maxTokens, stream: true }, init)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (let rest = ''; ; ) {
      const { done, value } = await reader.read()
      if (done) return
      const events = (rest + value).split('\n\n')
      rest = events.pop()
      for (const event of events) {
        const data = event.slice('data: '.length)
        if (data === '[DONE]') return
        yield JSON.parse(data)
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

window.isReady = true
