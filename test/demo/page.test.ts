/** Small parts of the page that need no document: frames, text that grows, numbers, views, the files beside it. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { modelFiles } from '../../demo/build/models.ts'
import { bytesText, counted, durationText, numberWord } from '../../demo/src/app/format.ts'
import { Frames } from '../../demo/src/app/frames.ts'
import { viewOf } from '../../demo/src/app/route.ts'
import { StatsFeed } from '../../demo/src/app/statsFeed.ts'
import { TextTap } from '../../demo/src/app/textTap.ts'
import type { Stats } from '../../demo/src/engine/types.ts'
import { reference } from '../fixtures.ts'

describe('frames', () => {
  it('run each task once a frame, and those asked for inside in the next', () => {
    const requested: (() => void)[] = []
    const frames = new Frames((callback) => requested.push(callback))
    const ran: string[] = []
    const again = (): void => {
      ran.push('again')
      if (ran.length < 4) frames.ask(again)
    }
    const once = (): void => void ran.push('once')
    for (let i = 0; i < 5; i++) frames.ask(once)
    frames.ask(again)
    expect(requested).toHaveLength(1)
    requested.shift()!()
    expect(ran).toEqual(['once', 'again'])
    expect(requested).toHaveLength(1)
    requested.shift()!()
    expect(ran).toEqual(['once', 'again', 'again'])
  })
})

describe('text that grows', () => {
  it('tells those who listen, as long as they do', () => {
    const tap = new TextTap('a')
    let count = 0
    const end = tap.onChange(() => count++)
    tap.append('b')
    tap.append('')
    end()
    tap.append('c')
    expect([tap.text, count]).toEqual(['abc', 1])
  })
})

describe('numbers', () => {
  it('have three digits and a unit', () => {
    expect([0, 999, 1000, 9_999_999, 454_665_536].map(bytesText)).toEqual([
      '0 B',
      '999 B',
      '1.00 KB',
      '10.0 MB',
      '455 MB',
    ])
    expect([0.31, 9.96, 420, 999.6, 61_000].map(durationText)).toEqual([
      '0.3 ms',
      '10 ms',
      '420 ms',
      '1.00 s',
      '61.0 s',
    ])
    expect([counted(1, 'row'), counted(0, 'row')]).toEqual(['1 row', '0 rows'])
    expect([numberWord(5), numberWord(99)]).toEqual(['Five', '99'])
  })
})

describe('views', () => {
  it('are in the address, and an unknown one is the first', () => {
    expect(['', '#/talk', '#shelf', '#/nowhere'].map(viewOf)).toEqual(['chorus', 'talk', 'shelf', 'chorus'])
  })
})

describe('the feed of stats', () => {
  const stats = (total: number, steps: readonly number[]): Stats => ({
    version: '0',
    device: { name: 'fake', isSoftware: false },
    steps: { total, recent: steps.map((step) => ({ step, at_ms: step, ms: 1, rows: [] })) },
    memory: { weights: 5, total: 5 },
  })

  it('takes what is new, and begins anew with an engine that does', () => {
    const feed = new StatsFeed()
    feed.take(stats(3, [0, 1, 2]))
    feed.take(stats(4, [2, 3]))
    expect(feed.log.all.map(({ step }) => step)).toEqual([0, 1, 2, 3])
    const news = feed.news.value
    feed.take(stats(4, []))
    expect(feed.news.value).toBe(news)
    feed.take(stats(1, [0]))
    expect(feed.log.all.map(({ step }) => step)).toEqual([0])
    expect(feed.memory.value).toEqual({ weights: 5, total: 5 })
  })
})

describe('the model beside the page', () => {
  it('is listed with its adapters and all their bytes', () => {
    const root = mkdtempSync(join(tmpdir(), 'lorikeet-demo-'))
    const folder = join(root, 'tiny')
    cpSync(reference('models/llama-tiny'), folder, { recursive: true })
    for (const name of ['r5', 'r1']) {
      cpSync(reference(`adapters/llama-tiny/${name}`), join(folder, 'adapters', name), { recursive: true })
    }
    const { list, files } = modelFiles(folder)
    rmSync(root, { recursive: true })
    expect(list.models).toMatchObject([
      {
        name: 'tiny',
        path: 'models/tiny/',
        adapters: [
          { name: 'r1', path: 'models/tiny/adapters/r1/' },
          { name: 'r5', path: 'models/tiny/adapters/r5/' },
        ],
      },
    ])
    expect(list.models[0]!.bytes).toBeGreaterThan(800_000)
    const paths = files.map(({ path }) => path)
    for (const path of ['config.json', 'model.safetensors', 'tokenizer.json', 'adapters/r1/adapter_config.json']) {
      expect(paths).toContain(`models/tiny/${path}`)
    }
  })

  it('may be missing', () => {
    expect(modelFiles('/nowhere')).toEqual({ list: { models: [] }, files: [] })
  })
})
