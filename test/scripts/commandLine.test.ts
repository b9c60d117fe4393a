/** What stands in for the embedded model where a checkout has none. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { withStandIn } from '../../scripts/lib/commandLine.mjs'

const ENV = { PATH: '/bin' }

describe('the stand-in model', () => {
  it('is a model folder, and so are its adapters', () => {
    const { args, env } = withStandIn(['serve'], ENV, false)
    expect(existsSync(join(env.LORIKEET_DEFAULT_MODEL!, 'config.json'))).toBe(true)
    expect(args.slice(0, 2)).toEqual(['serve', '--lora-modules'])
    for (const module of args.slice(2)) {
      const [name, folder] = module.split('=')
      expect(folder?.endsWith(`/${name}`)).toBe(true)
      expect(existsSync(join(folder!, 'adapter_config.json'))).toBe(true)
    }
  })

  it('leaves the adapters to who asks for some, and other commands alone', () => {
    expect(withStandIn(['serve', '--lora-modules', 'a=b'], ENV, false).args).toEqual(['serve', '--lora-modules', 'a=b'])
    expect(withStandIn(['doctor'], ENV, false).args).toEqual(['doctor'])
  })

  it('is not used where the embedded model is there', () => {
    expect(withStandIn(['serve'], ENV, true)).toEqual({ args: ['serve'], env: ENV })
  })

  it.each([
    [['serve', '--model', 'x'], ENV],
    [['serve', '--model=x'], ENV],
    [['serve'], { ...ENV, LORIKEET_DEFAULT_MODEL: '/m' }],
  ])('keeps out of the way of a chosen model: %j', (args, env) => {
    expect(withStandIn(args, env, false)).toEqual({ args, env })
  })
})
