/** A page in a real browser, with what it complains about and whom it asks written down. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright'
import { inject } from 'vitest'
import './launch.ts'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export async function openBrowser(): Promise<Browser> {
  return await chromium.launch(inject('launch'))
}

export interface WatchedPage {
  readonly page: Page
  /** Uncaught errors, and errors on the console that are not answers of a server. */
  readonly complaints: string[]
  /** Origins that were asked for anything. */
  readonly origins: Set<string>
}

/** This only ends what hangs, as the limits in vitest.config.ts do. */
const LIMIT_MS = 300_000

export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US', ...options })
  context.setDefaultTimeout(LIMIT_MS)
  const page = await context.newPage()
  const complaints: string[] = []
  const origins = new Set<string>()
  page.on('pageerror', (error) => complaints.push(String(error.stack ?? error)))
  page.on('console', (message) => {
    const isAnswer = /^Failed to load resource/.test(message.text())
    if (message.type() === 'error' && !isAnswer) complaints.push(message.text())
  })
  context.on('request', (request) => {
    const { protocol, origin } = new URL(request.url())
    if (protocol.startsWith('http')) origins.add(origin)
  })
  return { page, complaints, origins }
}

export interface Finding {
  readonly id: string
  readonly impact: string | null
  readonly help: string
  readonly where: readonly string[]
}

/** What axe finds wrong with the page as it is. */
export async function accessibilityFindings(page: Page): Promise<readonly Finding[]> {
  // Not a script tag: the page's own policy forbids inline ones.
  await page.evaluate(`if (!window.axe) { ${axeSource} }`)
  return await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run(): Promise<{
          violations: {
            id: string
            impact: string | null
            help: string
            nodes: { html: string; failureSummary: string }[]
          }[]
        }>
      }
    }
    const { violations } = await axe.run()
    return violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      where: nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`),
    }))
  })
}
