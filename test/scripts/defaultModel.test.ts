/** What is served when no model is named. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { defaultModel, withDefaultModel } from '../../scripts/lib/defaultModel.mjs'

const ENV = { PATH: '/bin' }
const model = () => ({ folder: '/m', adapters: { a: '/m/a', b: '/m/b' }, isStandIn: false })

describe('defaultModel', () => {
  it('is a model folder with adapters', () => {
    const { folder, adapters } = defaultModel()
    expect(existsSync(join(folder, 'config.json'))).toBe(true)
    expect(Object.keys(adapters).length).toBeGreaterThan(1)
    for (const path of Object.values(adapters)) expect(existsSync(join(path, 'adapter_config.json'))).toBe(true)
  })
})

describe('withDefaultModel', () => {
  it('adds the model and its adapters', () => {
    expect(withDefaultModel(['serve', '--port', '9000'], ENV, model)).toEqual({
      args: ['serve', '--port', '9000', '--lora-modules', 'a=/m/a', 'b=/m/b'],
      env: { PATH: '/bin', LORIKEET_DEFAULT_MODEL: '/m' },
    })
  })

  it('says of a stand-in that it is one', () => {
    const { env } = withDefaultModel(['serve'], ENV, () => ({ ...model(), isStandIn: true }))
    expect(env.LORIKEET_STAND_IN).toBe('1')
  })

  it('leaves the adapters to who asks for some, and other commands alone', () => {
    expect(withDefaultModel(['serve', '--lora-modules', 'a=b'], ENV, model).args).toEqual([
      'serve',
      '--lora-modules',
      'a=b',
    ])
    expect(withDefaultModel(['doctor'], ENV, model).args).toEqual(['doctor'])
    expect(withDefaultModel(['serve'], ENV, () => ({ folder: '/m', adapters: {}, isStandIn: false })).args).toEqual([
      'serve',
    ])
  })

  it.each([
    [['serve', '--model', 'x'], ENV],
    [['serve', '--model=x'], ENV],
    [['serve'], { ...ENV, LORIKEET_DEFAULT_MODEL: '/other' }],
  ])('keeps out of the way of a chosen model: %j', (args, env) => {
    expect(withDefaultModel(args, env, model)).toEqual({ args, env })
  })
})
