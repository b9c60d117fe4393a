/** Starts the page. */
import { render } from 'preact'
import { App } from './App.tsx'
import { Client } from './client.ts'
import { Conversation } from './conversation.ts'

const conversation = new Conversation(new Client(document.baseURI))
render(<App conversation={conversation} />, document.getElementById('app')!)
void conversation.connect('')
