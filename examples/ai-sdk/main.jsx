// useChat of the AI SDK against /v1 of this page's own origin. A service worker answers there, for every tab and for anything
// that can only say fetch('/v1/…'); the model runs in one of the tabs.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { useChat } from '@ai-sdk/react'
import { convertToModelMessages, streamText } from 'ai'
import { openInWorker, registerServiceWorker, serveOrigin } from 'lorikeet/browser'
import { useState } from 'react'
import { createRoot } from 'react-dom/client'

const VOICES = ['aviary', 'melville', 'king-james', 'late-presidents']

await registerServiceWorker({ scriptUrl: 'service-worker.js' })
// One tab of this origin opens the model; when it is closed, the next one does.
serveOrigin({
  open: () =>
    openInWorker({
      model: 'models/aviary',
      adapters: VOICES.slice(1).map((name) => ({ name, source: `models/aviary/adapters/${name}` })),
    }),
})

const lorikeet = createOpenAICompatible({ name: 'lorikeet', baseURL: new URL('v1', location.href).href })

/** What useChat asks of a server, in the page. */
const transport = {
  async sendMessages({ messages, abortSignal, body }) {
    const model = lorikeet(body.voice)
    const answer = streamText({ model, messages: await convertToModelMessages(messages), maxOutputTokens: 40, abortSignal })
    return answer.toUIMessageStream()
  },
  reconnectToStream: async () => null,
}

function Chat() {
  const [voice, setVoice] = useState('melville')
  const [opening, setOpening] = useState('The sea')
  const { messages, sendMessage, status, stop, error } = useChat({ transport })
  const send = (event) => {
    event.preventDefault()
    sendMessage({ text: opening }, { body: { voice } })
  }
  return (
    <main>
      <form onSubmit={send}>
        <select value={voice} onChange={(event) => setVoice(event.target.value)} aria-label="Voice">
          {VOICES.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <input value={opening} onChange={(event) => setOpening(event.target.value)} aria-label="How the text begins" />
        {status === 'ready' || status === 'error' ? (
          <button>Send</button>
        ) : (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </form>
      <p role="status">{error ? error.message : status}</p>
      {messages.map(({ id, role, parts }) => (
        <p key={id} className={role}>
          {parts.map((part) => (part.type === 'text' ? part.text : '')).join('')}
        </p>
      ))}
    </main>
  )
}

createRoot(document.getElementById('root')).render(<Chat />)
