/** The engine's own way into a tab. What it brings into the page is small: the engine is the worker's. */
import { openInWorker } from '../../../src/hosts/browser/index.ts'
import type { OpenTab } from './tab.ts'

export const openTab: OpenTab = (options) => openInWorker(options)
