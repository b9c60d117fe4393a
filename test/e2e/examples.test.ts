/** The examples that are pages, opened as their reader would, on the package as it is built. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROOT } from '../architecture/projectFiles.ts'
import { openBrowser, openPage } from './support/browserPage.ts'
import { type StaticSite, serveFiles } from './support/demoSite.ts'

const example = (path: string) => join(ROOT, 'examples', path)
/** Letters; or the model said nothing. */
const WORDS = /[a-z]{2,}.*[a-z]{2,}/s

describe('examples', () => {
  let browser: Browser
  const closers: (() => unknown)[] = []

  beforeAll(async () => {
    const { buildWhenStale } = await import(join(ROOT, 'scripts/lib/build.mjs'))
    await buildWhenStale()
    browser = await openBrowser()
  })
  afterAll(async () => {
    await browser.close()
    for (const close of closers) await close()
  })

  async function site(folder: string): Promise<StaticSite> {
    const served = await serveFiles(folder, '/')
    closers.push(() => served.close())
    return served
  }

  /** Built as it says, and served. */
  async function built(name: string): Promise<StaticSite> {
    const outDir = mkdtempSync(join(tmpdir(), 'lorikeet-example-'))
    closers.push(() => rmSync(outDir, { recursive: true }))
    await build({
      root: example(name),
      configFile: join(example(name), 'vite.config.ts'),
      logLevel: 'silent',
      build: { outDir, emptyOutDir: true },
    })
    return await site(outDir)
  }

  async function open(url: string): Promise<{ page: Page; complaints: string[] }> {
    const opened = await openPage(browser)
    closers.unshift(() => opened.page.context().close())
    await opened.page.goto(url)
    return opened
  }

  it('page: three voices go on with what was typed', async () => {
    const { page, complaints } = await open(`${(await site(ROOT)).url}examples/page/index.html`)
    await page.getByRole('button').and(page.locator(':enabled')).click()
    await page.getByRole('status').filter({ hasText: 'Done.' }).waitFor()
    const said = await page.locator('output').allTextContents()
    expect(said).toHaveLength(3)
    expect(new Set(said).size).toBe(3)
    for (const text of said) expect(text.length).toBeGreaterThan('The people of this land'.length)
    expect(complaints).toEqual([])
  })

  it('openai: the client streams out of the worker', async () => {
    const { page, complaints } = await open(`${(await built('openai')).url}index.html`)
    await page
      .getByRole('status')
      .filter({ hasText: /in \d+ tokens/ })
      .waitFor()
    expect(await page.locator('pre').textContent()).toMatch(WORDS)
    expect(complaints).toEqual([])
  })

  it('ai-sdk: useChat asks the service worker', async () => {
    const { page, complaints } = await open(`${(await built('ai-sdk')).url}index.html`)
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('p.assistant').filter({ hasText: WORDS }).waitFor()
    await page.getByRole('status').filter({ hasText: 'ready' }).waitFor()
    expect(complaints).toEqual([])
  })
})
