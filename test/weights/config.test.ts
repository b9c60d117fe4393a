import { describe, expect, it } from 'vitest'
import {
  ConfigError,
  ConfigFields,
  parseJsonObject,
  readJson,
  readJsonIfPresent,
  shortly,
} from '../../src/weights/config.ts'
import { memoryFolder } from '../../src/weights/folder.ts'

const folder = memoryFolder('m', {
  'good.json': '{"a":1}',
  'bom.json': '\ufeff{"a":1}',
  'list.json': '[1]',
  'cut.json': '{"a":',
  'latin1.json': new Uint8Array([0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d]),
})

describe('readJson', () => {
  it('reads an object, with a byte order mark or without', async () => {
    expect(await readJson(folder, 'good.json')).toEqual({ a: 1 })
    expect(await readJson(folder, 'bom.json')).toEqual({ a: 1 })
    expect(await readJsonIfPresent(folder, 'good.json')).toEqual({ a: 1 })
  })

  it.each([
    ['list.json', 'list.json must be a JSON object.'],
    ['cut.json', 'cut.json is not valid JSON: Unexpected end at line 1, column 6.'],
    ['latin1.json', 'latin1.json is not UTF-8 text.'],
  ])('refuses %s', async (path, message) => {
    await expect(readJson(folder, path)).rejects.toThrow(
      new ConfigError(path, null, message.slice(path.length + 1, -1)),
    )
    await expect(readJson(folder, path)).rejects.toMatchObject({ message, code: 'config_invalid', param: path })
  })

  it('refuses a file that is too large before it reads it', async () => {
    await expect(readJson(folder, 'good.json', { maxBytes: 6 })).rejects.toMatchObject({ code: 'file_too_large' })
  })

  it('tells a missing file from a broken one', async () => {
    await expect(readJson(folder, 'none.json')).rejects.toMatchObject({
      code: 'file_not_found',
      message: 'There is no none.json in m.',
    })
    expect(await readJsonIfPresent(folder, 'none.json')).toBeNull()
    await expect(readJsonIfPresent(folder, 'cut.json')).rejects.toBeInstanceOf(ConfigError)
  })

  it('closes the file whatever happens', async () => {
    let open = 0
    const watched = {
      ...folder,
      async open(path: string) {
        const source = await folder.open(path)
        open++
        return {
          ...source,
          name: source.name,
          size: source.size,
          read: source.read.bind(source),
          readInto: source.readInto.bind(source),
          close: async () => void open--,
        }
      },
    }
    await readJson(watched, 'good.json')
    await readJson(watched, 'cut.json').catch(() => null)
    await readJson(watched, 'good.json', { maxBytes: 1 }).catch(() => null)
    expect(open).toBe(0)
  })
})

describe('ConfigFields', () => {
  const fields = new ConfigFields(
    parseJsonObject(
      'c.json',
      new TextEncoder().encode(
        '{"number":0.5,"int":3,"zero":0,"minus":-1,"huge":4294967296,"yes":true,"text":"x","list":["a","b"],"mixed":["a",1],"object":{"inner":"7"},"nothing":null,"over":1e999}',
      ),
    ),
    'c.json',
  )

  it('answers values of the type asked for', () => {
    expect(fields.number('number')).toBe(0.5)
    expect(fields.positiveNumber('number')).toBe(0.5)
    expect(fields.positiveInteger('int')).toBe(3)
    expect(fields.count('zero')).toBe(0)
    expect(fields.boolean('yes')).toBe(true)
    expect(fields.string('text')).toBe('x')
    expect(fields.stringList('list')).toEqual(['a', 'b'])
    expect(fields.object('object').raw('inner')).toBe('7')
  })

  it('answers the fallback for what is missing or null, and only then', () => {
    expect(fields.number('none', null)).toBeNull()
    expect(fields.positiveInteger('nothing', 5)).toBe(5)
    expect(fields.boolean('nothing', false)).toBe(false)
    expect(fields.object('nothing', null)).toBeNull()
    expect(fields.has('nothing')).toBe(false)
    expect(fields.has('zero')).toBe(true)
    expect(fields.count('zero', 9)).toBe(0)
    expect(() => fields.boolean('zero', true)).toThrow('c.json: zero must be true or false, not 0.')
  })

  it.each([
    ['a missing field', () => fields.number('none'), 'c.json: none is missing: it must be a number.'],
    ['null', () => fields.string('nothing'), 'c.json: nothing is missing: it must be a string.'],
    ['zero', () => fields.positiveInteger('zero'), 'c.json: zero must be a whole number above 0, not 0.'],
    ['a negative count', () => fields.count('minus'), 'c.json: minus must be a whole number, 0 or more, not -1.'],
    ['a fraction', () => fields.count('number'), 'c.json: number must be a whole number, 0 or more, not 0.5.'],
    [
      'more than 31 bits',
      () => fields.positiveInteger('huge'),
      'c.json: huge must be a whole number above 0, not 4294967296.',
    ],
    ['infinity', () => fields.number('over'), 'c.json: over must be a number, not null.'],
    ['a number for a string', () => fields.string('int'), 'c.json: int must be a string, not 3.'],
    ['a list with a number', () => fields.stringList('mixed'), 'c.json: mixed must be a list of strings, not ["a",1].'],
    ['a list for an object', () => fields.object('list'), 'c.json: list must be an object, not ["a","b"].'],
    [
      'a field inside',
      () => fields.object('object').number('inner'),
      'c.json: object.inner must be a number, not "7".',
    ],
    [
      'a name that objects inherit',
      () => fields.string('toString'),
      'c.json: toString is missing: it must be a string.',
    ],
  ])('refuses %s', (_, take, message) => {
    expect(take).toThrow(expect.objectContaining({ message }))
    expect(take).toThrow(ConfigError)
  })

  it('keeps long values out of messages', () => {
    expect(shortly('x'.repeat(100))).toBe(`"${'x'.repeat(56)}…`)
    expect(shortly(undefined)).toBe('nothing')
  })
})
