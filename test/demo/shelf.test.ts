/** The shelf: what is brought is checked before it is loaded, and refusals are shown in the engine's own words. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Session } from '../../demo/src/app/session.ts'
import { StatsFeed } from '../../demo/src/app/statsFeed.ts'
import type { CheckReport } from '../../demo/src/engine/types.ts'
import { filesOfDrop, filesOfInput } from '../../demo/src/shelf/dropped.ts'
import { nameFor, Shelf } from '../../demo/src/shelf/shelf.ts'
import { hasSum, kindOf, kindWords, reportLines } from '../../demo/src/shelf/words.ts'
import { type AdapterHouse, adapterHouse } from '../api/support/adapterHouse.ts'

let house: AdapterHouse
let session: Session
let shelf: Shelf
const feed = new StatsFeed()

beforeEach(async () => {
  house = await adapterHouse()
  session = new Session(
    {
      server: {
        base: 'http://page/',
        protocol: 'h2',
        fetch: (input, init) => house.handler(new Request(input, init)),
      },
      openTab: () => Promise.reject(new Error('no tab here')),
      advice: async () => null,
    },
    feed,
  )
  await session.start()
  shelf = new Shelf(session)
})
afterEach(async () => {
  feed.follow(null)
  await house.close()
})

describe('the shelf', () => {
  it('checks, adds, pins and unloads an adapter, and says so', async () => {
    const path = house.put('five', 'llama-tiny/r5')
    await shelf.consider({ type: 'path', path })
    expect(shelf.candidate.value).toMatchObject({ name: 'five', state: { type: 'fits', report: { rank: 5 } } })
    expect(shelf.adapters.value).toEqual([])
    shelf.rename('fifth')
    await shelf.add(false)
    expect(shelf.candidate.value).toBeNull()
    expect(shelf.notice.value).toEqual({ text: 'fifth is on the shelf.', isProblem: false })
    expect(shelf.adapters.value).toMatchObject([{ id: 'fifth', rank: 5, pinned: false }])
    expect(session.voices.value.map(({ id }) => id)).toEqual(['org/tiny', 'fifth'])
    await shelf.pin('fifth', path, true)
    expect(shelf.adapters.value).toMatchObject([{ pinned: true }])
    await shelf.unload('fifth')
    expect(shelf.adapters.value).toEqual([])
    expect(session.voices.value.map(({ id }) => id)).toEqual(['org/tiny'])
    expect(shelf.busy.value.size).toBe(0)
  })

  it('shows a refusal in words, and what is at fault', async () => {
    await shelf.consider({ type: 'path', path: house.put('nan', 'refused/nan') })
    const { state } = shelf.candidate.value!
    expect(state.type).toBe('refused')
    expect(state.type === 'refused' && state.message).toMatch(/NaN/)
    await shelf.add(false)
    expect(shelf.adapters.value).toEqual([])
    shelf.dismiss()
    expect(shelf.candidate.value).toBeNull()
  })

  it('refuses what this engine cannot read, with the way that it can', async () => {
    await shelf.consider({ type: 'files', name: 'pirate', files: [new File([], 'adapter_config.json')] })
    expect(shelf.candidate.value).toMatchObject({ state: { type: 'refused', message: /its own disk/ } })
  })

  it('shows what goes wrong with an adapter that has gone', async () => {
    await shelf.unload('nobody')
    expect(shelf.notice.value).toEqual({ text: "The lora adapter 'nobody' cannot be found.", isProblem: true })
  })

  it('refuses a taken name when it adds, not in silence', async () => {
    const path = house.put('five', 'llama-tiny/r5')
    await shelf.consider({ type: 'path', path })
    await shelf.add(false)
    await shelf.consider({ type: 'path', path }, 'other')
    shelf.rename('five')
    await shelf.add(false)
    expect(shelf.candidate.value).toMatchObject({ state: { type: 'refused', message: /already been loaded/ } })
  })
})

describe('a name', () => {
  it.each([
    [{ type: 'url', url: 'https://a.test/adapters/my%20pirate/?key=1' }, 'my-20pirate'],
    [{ type: 'path', path: '/srv/adapters/tutor/' }, 'tutor'],
    [{ type: 'path', path: 'C:\\loras\\cook' }, 'cook'],
    [{ type: 'files', name: 'nemo-voice.nemo', files: [] }, 'nemo-voice'],
    [{ type: 'files', name: 'adapter_model', files: [] }, 'adapter'],
    [{ type: 'files', name: 'adapter_config', files: [] }, 'adapter'],
    [{ type: 'path', path: '...' }, 'adapter'],
  ] as const)('is the last part of where it comes from: %o', (source, name) => {
    expect(nameFor(source)).toBe(name)
  })
})

describe('a report', () => {
  const report: CheckReport = {
    format: 'peft',
    digest: 'd',
    rank: 8,
    modules: [
      { path: 'model.layers.0.self_attn.q_proj', rank: 8, scale: 2, dtype: 'F32', with: ['dora'] },
      { path: 'model.layers.1.self_attn.q_proj', rank: 4, scale: 2, dtype: 'F32', with: ['dora', 'bias'] },
    ],
    notes: ['A field is ignored.'],
    bytes: { host: 1000, gpu: 2_500_000 },
    loadedAs: ['twin'],
    wouldEvict: ['old'],
    wouldWait: true,
  }

  it('is told in sentences', () => {
    expect(reportLines(report)).toEqual([
      'DoRA with biases of ranks 4 to 8 on 2 modules: q_proj.',
      '1.00 KB in memory, 2.50 MB on the GPU.',
      'The same bytes are on the shelf as twin: they are stored once.',
      'It would take the place of old on the GPU, and wait for room.',
      'A field is ignored.',
    ])
  })

  it('knows kinds apart', () => {
    const module = (rank: number, ...parts: string[]) => ({ path: 'x', rank, scale: 1, dtype: 'F32', with: parts })
    expect(kindOf([module(8)])).toBe('LoRA')
    expect(kindOf([module(8), module(0, 'weight')])).toBe('LoRA with own rows')
    expect(kindOf([module(0, 'tokens')])).toBe('weights with own rows')
    expect(kindWords(['lora', 'dora', 'norms', 'head'])).toBe('DoRA with norms, output layer')
    expect([hasSum(['lora', 'head']), hasSum(['lora', 'dora']), hasSum(['lora', 'rows'])]).toEqual([true, false, false])
  })
})

describe('what is dropped', () => {
  const file = (name: string) => new File(['{}'], name)
  const fileEntry = (name: string) => ({
    isFile: true,
    isDirectory: false,
    name,
    file: (done: (file: File) => void) => done(file(name)),
  })

  it('is the folder with its files, in however many batches they come', async () => {
    const batches = [[fileEntry('adapter_config.json')], [fileEntry('adapter_model.safetensors')], []]
    const folder = {
      isFile: false,
      isDirectory: true,
      name: 'pirate',
      createReader: () => ({ readEntries: (done: (entries: unknown[]) => void) => done(batches.shift()!) }),
    }
    const transfer = { items: [{ webkitGetAsEntry: () => folder }], files: [] } as unknown as DataTransfer
    const dropped = await filesOfDrop(transfer)
    expect(dropped?.name).toBe('pirate')
    expect(dropped?.files.map(({ name }) => name)).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
  })

  it('is the loose files otherwise, and nothing where there are none', async () => {
    const files = [file('voice.safetensors'), file('adapter_config.json')]
    const items = files.map(({ name }) => ({ webkitGetAsEntry: () => fileEntry(name) }))
    const dropped = await filesOfDrop({ items, files } as unknown as DataTransfer)
    expect(dropped).toEqual({ name: 'voice', files })
    expect(await filesOfDrop({ items: [], files: [] } as unknown as DataTransfer)).toBeNull()
  })

  it('has its folder’s name when a directory was chosen', () => {
    const chosen = file('adapter_config.json')
    Object.defineProperty(chosen, 'webkitRelativePath', { value: 'cook/adapter_config.json' })
    expect(filesOfInput([chosen])?.name).toBe('cook')
    expect(filesOfInput([])).toBeNull()
  })
})
