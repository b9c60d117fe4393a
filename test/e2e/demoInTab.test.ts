/**
 * The built page from a static host, with the embedded model in the tab: the real engine in its worker, on whatever GPU this
 * browser has or pretends to have. The tests go on from each other, as a visit does.
 */
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessibilityFindings, openBrowser, openPage, type WatchedPage } from './support/browserPage.ts'
import { buildDemo, type StaticSite, serveFiles } from './support/demoSite.ts'
import { watchMainThread } from './support/mainThread.ts'

let demo: Awaited<ReturnType<typeof buildDemo>>
let browser: Browser
let site: StaticSite
let watched: WatchedPage

beforeAll(async () => {
  demo = await buildDemo()
  site = await serveFiles(demo.folder)
  browser = await openBrowser()
  watched = await openPage(browser)
})
afterAll(async () => {
  await browser.close()
  await site.close()
  demo.remove()
})

async function sing(page: Page, prompt: string, tokens: number): Promise<void> {
  await page.getByLabel('tokens', { exact: true }).fill(String(tokens))
  await page.locator('#prompt').fill(prompt)
  await page.locator('#prompt').press('Enter')
}

async function hasEnded(page: Page): Promise<void> {
  await page.getByText('All have ended').waitFor({ state: 'attached' })
}

/** What the strip says of each of its steps, the newest first: walked with the arrow keys, as a reader of it would. */
async function stepsInWords(page: Page): Promise<readonly string[]> {
  const strip = page.getByRole('slider', { name: 'The last steps of the engine' })
  const words: string[] = []
  await strip.focus()
  for (;;) {
    words.push((await strip.getAttribute('aria-valuetext')) ?? '')
    const at = await strip.getAttribute('aria-valuenow')
    if (at === (await strip.getAttribute('aria-valuemin'))) return words
    await page.keyboard.press('ArrowLeft')
    await expect.poll(() => strip.getAttribute('aria-valuenow'), { interval: 10 }).not.toBe(at)
  }
}

/** Brings the files of an adapter beside the page as a drop, with other words in its config. */
async function drop(page: Page, adapter: string, changes: object): Promise<void> {
  await page.evaluate(
    async ({ adapter, changes }) => {
      const folder = new URL(`models/aviary/adapters/${adapter}/`, document.baseURI)
      const config = await (await fetch(new URL('adapter_config.json', folder))).json()
      const weights = await (await fetch(new URL('adapter_model.safetensors', folder))).blob()
      const transfer = new DataTransfer()
      transfer.items.add(new File([JSON.stringify({ ...config, ...changes })], 'adapter_config.json'))
      transfer.items.add(new File([weights], 'adapter_model.safetensors'))
      window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }))
    },
    { adapter, changes },
  )
}

const VOICES = ['aviary', 'early-presidents', 'king-james', 'late-presidents', 'melville']

describe('the page from a static host', () => {
  it('opens the embedded model by itself, and shows how far it is', async () => {
    const { page } = watched
    await page.goto(site.url)
    await page.getByRole('progressbar', { name: 'Loading' }).waitFor()
    await page.getByText('in this tab').waitFor()
    expect(await page.locator('.silent h2').allTextContents()).toEqual(
      VOICES.map((name) => expect.stringContaining(name)),
    )
    expect(site.asked).toContain('models/aviary/model.safetensors')
  })

  it('has the base and four voices in one batch, and their words come side by side', async () => {
    const { page, complaints } = watched
    // Adapters and shaders come to the GPU with their first request, on a CPU not at once.
    await sing(page, 'In the beginning', 1)
    await hasEnded(page)
    await page.evaluate(() => {
      const changes: { lane: number; at: number }[] = []
      Object.assign(window, { changes })
      new MutationObserver((records) => {
        for (const { target } of records) {
          const lane = (target instanceof Element ? target : target.parentElement)?.closest('.lane')
          const words = (target instanceof Element ? target : target.parentElement)?.closest('.words')
          if (lane && words)
            changes.push({ lane: [...lane.parentElement!.children].indexOf(lane), at: performance.now() })
        }
      }).observe(document.querySelector('.lanes')!, { subtree: true, childList: true, characterData: true })
    })
    await sing(page, 'In the beginning', 24)
    await hasEnded(page)
    const words = await page.locator('.lane .words').allTextContents()
    expect(words).toHaveLength(5)
    for (const text of words) expect(text).toMatch(/^In the beginning.{20,}/s)
    expect(new Set(words).size).toBe(5)
    // Each voice began before any other had ended.
    const changes = await page.evaluate(
      () => (window as unknown as { changes: { lane: number; at: number }[] }).changes,
    )
    const times = VOICES.map((_, lane) => changes.filter((change) => change.lane === lane).map(({ at }) => at))
    const begins = times.map((each) => Math.min(...each))
    const ends = times.map((each) => Math.max(...each))
    expect(Math.max(...begins)).toBeLessThan(Math.min(...ends))
    expect(Math.min(...times.map((each) => each.length))).toBeGreaterThan(5)
    // And the engine itself says that they shared its steps.
    const steps = await stepsInWords(page)
    const shared = steps.filter((step) => VOICES.every((voice) => step.includes(`${voice} 1 decoding`)))
    expect(shared.length).toBeGreaterThan(5)
    expect(complaints).toEqual([])
  })

  it('takes a dropped adapter after a check, and refuses a broken one in words', async () => {
    const { page } = watched
    await drop(page, 'king-james', { r: 63 })
    await page.getByRole('heading', { name: 'adapter does not fit' }).waitFor()
    expect(await page.getByRole('alert').textContent()).toMatch(/\br\b.*63|63.*\br\b/)
    await page.getByRole('button', { name: 'put it away' }).click()
    await drop(page, 'king-james', { lora_alpha: 8 })
    await page.getByRole('heading', { name: 'adapter fits' }).waitFor()
    await page.getByLabel('Name').fill('half-james')
    await page.getByLabel('keep it on the GPU').check()
    await page.getByRole('button', { name: 'Add' }).click()
    await page.getByRole('button', { name: 'Unpin half-james' }).waitFor()
    expect(await page.getByRole('row', { name: /half-james/ }).textContent()).toMatch(/LoRA/)
  })

  it('loads adapters by their addresses, and eight streams hold the page up for no moment', async () => {
    const { page, complaints } = watched
    const address = page.getByLabel('or its address')
    for (const name of ['melville', 'early-presidents']) {
      await address.fill(`models/aviary/adapters/${name}/`)
      await page.getByRole('button', { name: 'Check' }).click()
      await page.getByRole('heading', { name: `${name} fits` }).waitFor()
      await page.getByLabel('Name').fill(`${name}-again`)
      await page.getByRole('button', { name: 'Add' }).click()
      await page.getByRole('row', { name: `${name}-again` }).waitFor()
    }
    await page.getByRole('link', { name: 'Chorus' }).click()
    await page.locator('.chip').nth(7).waitFor()
    const tasks = await watchMainThread(page)
    await sing(page, 'The whale', 24)
    await hasEnded(page)
    expect(await page.locator('.lane.ended').count()).toBe(8)
    const steps = await stepsInWords(page)
    expect(steps.some((step) => /: 8 rows/.test(step))).toBe(true)
    expect((await tasks.end()).filter(({ ownMs }) => ownMs > 50)).toEqual([])
    expect(complaints).toEqual([])
  })

  it('blends two voices into one that is neither', async () => {
    const { page } = watched
    await page.getByRole('button', { name: '+ blend two voices' }).click()
    for (const chip of await page.locator('.settings .chip input').all()) await chip.uncheck()
    await sing(page, 'The whale', 12)
    await hasEnded(page)
    expect(await page.locator('.lane.ended h2').textContent()).toMatch(/ × /)
    const strip = page.getByRole('slider', { name: 'The last steps of the engine' })
    await expect.poll(() => strip.getAttribute('aria-valuetext')).toMatch(/:0\.5\+/)
  })

  it('is accessible while the engine is here', async () => {
    const { page } = watched
    for (const view of ['Talk', 'Shelf', 'Chorus']) {
      await page.getByRole('link', { name: view, exact: true }).click()
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        expect(await accessibilityFindings(page), `${view}, ${colorScheme}`).toEqual([])
      }
    }
  })

  it('begins again without a network, from what this browser has kept, until that is cleared', async () => {
    const { page, origins } = watched
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true))
    await page.reload()
    await page.getByText('in this tab').waitFor()
    expect([...origins]).toEqual([new URL(site.url).origin])
    await site.close()
    await page.addInitScript(() => {
      const words = new Set<string>()
      Object.assign(window, { words })
      const note = (): void => void words.add(document.querySelector('.loading p')?.textContent ?? '')
      new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true })
    })
    await page.reload()
    await page.getByText('in this tab').waitFor()
    const loading = await page.evaluate(() => [...(window as unknown as { words: Set<string> }).words])
    expect(loading).toContain('Opening aviary, which this browser has kept')
    await sing(page, 'Call me', 8)
    await hasEnded(page)
    expect(await page.locator('.lane.ended').count()).toBe(5)
    await page.getByRole('button', { name: 'clear' }).click()
    await page.getByText('Nothing is kept in this browser.').waitFor()
  })
})
