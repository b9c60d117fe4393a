/**
 * The built page in a browser, on a server whose engine says what the test tells it: what the page does with answers,
 * errors, keys and adapters. (The real engine is in demoInTab.test.ts.)
 */
import type { Browser } from 'playwright'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readAssets } from '../../src/hosts/node/assets.ts'
import { serve } from '../../src/hosts/node/serve.ts'
import type { RunningServer } from '../../src/hosts/server.ts'
import { type AdapterHouse, adapterHouse } from '../api/support/adapterHouse.ts'
import { accessibilityFindings, openBrowser, openPage, type WatchedPage } from './support/browserPage.ts'
import { buildDemo } from './support/demoSite.ts'

let demo: Awaited<ReturnType<typeof buildDemo>>
let browser: Browser
let house: AdapterHouse
let server: RunningServer
let watched: WatchedPage

beforeAll(async () => {
  demo = await buildDemo()
  browser = await openBrowser()
})
afterAll(async () => {
  await browser.close()
  demo.remove()
})

async function open(options: Parameters<typeof adapterHouse>[0] = {}, context = {}): Promise<void> {
  house = await adapterHouse(options)
  for (const [name, adapter] of [
    ['pirate', 'llama-tiny/r5'],
    ['tutor', 'llama-tiny/attn-r16'],
  ] as const) {
    await house.adapters.load(name, house.put(name, adapter))
  }
  server = await serve((request) => house.handler(request), { port: 0, assets: await readAssets(demo.folder) })
  watched = await openPage(browser, context)
  await watched.page.goto(server.url)
}

afterEach(async () => {
  await watched.page.context().close()
  await server.close({ graceMs: 0 })
  await house.close()
})

describe('the page on a server', () => {
  it('finds the server, sings with all voices, and asks nobody else for anything', async () => {
    await open()
    const { page, complaints, origins } = watched
    await page.getByText('on this server').waitFor()
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toMatch(
      /One prompt\. Three voices\.\s+One batch\./,
    )
    house.says('Ahoy there!')
    await page.getByLabel('Ask all voices').fill('Hello')
    await page.keyboard.press('Enter')
    await page.getByText('All have ended').waitFor({ state: 'attached' })
    const lanes = page.locator('.lane')
    expect(await lanes.count()).toBe(3)
    for (const words of await page.locator('.lane .words').allTextContents()) expect(words).toBe('Ahoy there!')
    expect(house.engine.generations.map(({ request }) => request.adapter?.name ?? null)).toEqual([
      null,
      'pirate',
      'tutor',
    ])
    expect(complaints).toEqual([])
    expect([...origins]).toEqual([new URL(server.url).origin])
  })

  it('stops all voices with Escape, and frees what they held', async () => {
    await open()
    const { page } = watched
    house.engine.script = () => ({ tokens: Array<number>(500).fill(50) })
    house.engine.gate = () => new Promise((resolve) => setTimeout(resolve, 20))
    await page.getByLabel('Ask all voices').fill('Hello')
    await page.getByRole('button', { name: 'Sing' }).click()
    await page.locator('.lane.speaking').nth(2).waitFor()
    await page.keyboard.press('Escape')
    await page.getByText('All have ended').waitFor({ state: 'attached' })
    expect(await page.locator('.lane .figures').allTextContents()).toEqual(
      Array(3).fill(expect.stringContaining('stopped')),
    )
    while (house.engine.running.length > 0) await new Promise((resolve) => setImmediate(resolve))
  })

  it('shows the server’s own words for what goes wrong with one voice', async () => {
    await open()
    house.engine.script = ({ adapter }) => ({
      tokens: [50, 51],
      ...(adapter && { failAt: { index: 1, error: new Error('broken') } }),
    })
    await watched.page.getByLabel('Ask all voices').fill('Hello')
    await watched.page.keyboard.press('Enter')
    await watched.page.locator('.lane.failed').nth(1).waitFor()
    expect(await watched.page.locator('.lane.ended').count()).toBe(1)
    expect(await watched.page.getByRole('alert').first().textContent()).toMatch(/\w+ \w+/)
  })

  it('talks in several turns with Markdown that can do no harm, edits and answers again', async () => {
    await open()
    const { page, complaints, origins } = watched
    await page.getByRole('link', { name: 'Talk' }).click()
    house.says(
      '# Big\n\n**Bold** <img src="http://b.test/x" onerror="document.title=1"> [go](javascript:alert(1)) [ok](https://a.test/)',
    )
    const said = page.getByLabel('Your message')
    await said.fill('First')
    await said.press('Enter')
    await page.getByRole('button', { name: 'again as pirate' }).waitFor()
    const answer = page.locator('.markdown').first()
    expect(await answer.locator('strong').textContent()).toBe('Bold')
    expect(await answer.locator('h3').textContent()).toBe('Big')
    expect(await answer.locator('img, script, h1').count()).toBe(0)
    expect(await answer.locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))).toEqual([
      null,
      'https://a.test/',
    ])
    expect(await page.title()).toContain('lorikeet')
    house.says('Second answer. ![y](http://b.test/y)')
    await page.getByRole('radio', { name: 'tutor' }).check()
    await said.fill('Second')
    await said.press('Enter')
    await page.getByText('Second answer.').waitFor()
    expect(house.engine.lastRequest.adapter?.name).toBe('tutor')
    expect(await page.locator('.markdown img').count()).toBe(0)
    house.says('Other answer.')
    await page.getByRole('button', { name: 'edit' }).first().click()
    await page.getByLabel('Your words').fill('Anew')
    await page.getByRole('button', { name: 'Say it so' }).click()
    await page.getByText('Other answer.').waitFor()
    expect(await page.locator('.exchange').count()).toBe(1)
    expect(house.tokenizer.decode(house.engine.lastRequest.prompt)).not.toContain('First')
    expect(complaints).toEqual([])
    expect([...origins]).toEqual([new URL(server.url).origin])
  })

  it('checks an adapter by its path, adds it, pins and unloads it, and refuses a broken one in words', async () => {
    await open()
    const { page } = watched
    await page.getByRole('link', { name: 'Shelf' }).click()
    const path = page.getByLabel('A folder on the server’s disk')
    await path.fill(house.put('nan', 'refused/nan'))
    await page.getByRole('button', { name: 'Check' }).click()
    await page.getByRole('heading', { name: 'nan does not fit' }).waitFor()
    expect(await page.getByRole('alert').textContent()).toMatch(/NaN/)
    await path.fill(house.put('cook', 'llama-tiny/dora-r8'))
    await page.getByRole('button', { name: 'Check' }).click()
    await page.getByRole('heading', { name: 'cook fits' }).waitFor()
    expect(await page.locator('.candidate').textContent()).toContain('DoRA of rank 8')
    await page.getByRole('button', { name: 'Add' }).click()
    const row = page.getByRole('row', { name: /cook/ })
    await row.waitFor()
    expect(await row.textContent()).toMatch(/DoRA/)
    await page.getByRole('button', { name: 'Pin cook' }).click()
    await page.getByRole('button', { name: 'Unpin cook' }).waitFor()
    expect(house.registry.find('cook')?.pinned).toBe(true)
    await page.getByRole('button', { name: 'Unload cook' }).click()
    await row.waitFor({ state: 'detached' })
    expect(house.registry.find('cook')).toBeNull()
  })

  it('says that a server takes no files of this machine', async () => {
    await open()
    const { page } = watched
    await page.getByText('on this server').waitFor()
    await page.evaluate(() => {
      const transfer = new DataTransfer()
      transfer.items.add(new File(['{}'], 'adapter_config.json'))
      window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }))
    })
    expect(await page.getByRole('alert').textContent()).toContain('its own disk')
  })

  it('asks for the key, and says when it is the wrong one', async () => {
    await open({ apiKeys: ['right'] })
    const { page } = watched
    const key = page.getByLabel('API key')
    await key.fill('wrong')
    await key.press('Enter')
    await page.getByText('The server does not take this key.').waitFor()
    await key.fill('right')
    await page.getByRole('button', { name: 'Use this key' }).click()
    await page.getByText('on this server').waitFor()
    expect(await page.locator('.silent').count()).toBe(3)
  })

  it('copies the code for what is on screen', async () => {
    await open({}, { permissions: ['clipboard-read', 'clipboard-write'] })
    const { page } = watched
    await page.getByText('on this server').waitFor()
    await page.getByText('This chorus as code').click()
    await page.getByRole('radio', { name: 'openai, to a server' }).check()
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByText('Copied').waitFor()
    const copied = await page.evaluate(() => navigator.clipboard.readText())
    expect(copied).toContain(`baseURL: '${server.url}/v1'`)
    expect(copied).toContain("['org/tiny', 'pirate', 'tutor']")
  })

  it('is accessible in light and dark, in every view, and fits a phone', async () => {
    await open()
    const { page } = watched
    house.says('Ahoy!')
    await page.getByLabel('Ask all voices').fill('Hello')
    await page.keyboard.press('Enter')
    await page.getByText('All have ended').waitFor({ state: 'attached' })
    await page.getByText('This chorus as code').click()
    await page.getByRole('link', { name: 'Talk' }).click()
    await page.getByLabel('Your message').fill('Hello')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'again as pirate' }).waitFor()
    for (const view of ['Chorus', 'Talk', 'Shelf']) {
      await page.getByRole('link', { name: view, exact: true }).click()
      if (view === 'Shelf') {
        await page.getByLabel('A folder on the server’s disk').fill(house.put('nan', 'refused/nan'))
        await page.getByRole('button', { name: 'Check' }).click()
        await page.getByRole('heading', { name: 'nan does not fit' }).waitFor()
      }
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        expect(await accessibilityFindings(page), `${view}, ${colorScheme}`).toEqual([])
      }
      await page.setViewportSize({ width: 360, height: 740 })
      const width = await page.evaluate(() => document.documentElement.scrollWidth)
      expect(width, `${view} on a phone`).toBe(360)
      await page.setViewportSize({ width: 1280, height: 900 })
    }
  })
})
