import { describe, expect, it } from 'vitest'
import type { Capabilities } from '../../src/gpu/capabilities.ts'
import { preamble, specialise } from '../../src/gpu/specialise.ts'

const can = (wish: Partial<Capabilities>) => ({ f16: false, subgroups: false, ...wish }) as Capabilities
const none = can({})

const source = `// demo
//#include "team"
const ROWS = 4u;
const SCALE: f32 = 1.0;
const ADD = false;
alias Value = f32;
fn rows() -> u32 { return ROWS; }`

describe('specialise', () => {
  it('replaces constants and aliases by name and keeps suffixes', () => {
    const text = specialise(
      'demo',
      source,
      { constants: { ROWS: 8, SCALE: 0.5, ADD: true }, aliases: { Value: 'f16' }, includes: { team: 'fn lanes() {}' } },
      none,
    )
    expect(text).toMatchInlineSnapshot(`
      "// demo
      fn lanes() {}
      const ROWS = 8u;
      const SCALE: f32 = 0.5;
      const ADD = true;
      alias Value = f16;
      fn rows() -> u32 { return ROWS; }"
    `)
  })

  it('includes a text once however often it is named, also through another include', () => {
    const text = specialise(
      'demo',
      '//#include "a"\n//#include "b"\n',
      { includes: { a: '//#include "b"', b: 'B' } },
      none,
    )
    expect(text.match(/B/g)).toHaveLength(1)
  })

  it('refuses names the shader does not have', () => {
    expect(() => specialise('demo', source, { constants: { COLS: 1 }, includes: { team: '' } }, none)).toThrow(
      'demo.wgsl has no line "const COLS = …;"',
    )
    expect(() => specialise('demo', source, {}, none)).toThrow(
      'demo.wgsl includes "team", and nothing was given for it',
    )
    expect(() => specialise('demo', '', { includes: { team: '' } }, none)).toThrow('no line //#include "team"')
    expect(() => specialise('demo', '//#include "toString"', { includes: {} }, none)).toThrow(/nothing was given/)
  })
})

describe('preamble', () => {
  it('enables what the device has, and nothing else', () => {
    expect(preamble(none)).toBe('')
    expect(preamble(can({ f16: true, subgroups: true }))).toMatchInlineSnapshot(`
      "enable f16;
      enable subgroups;
      diagnostic(off, subgroup_uniformity);
      "
    `)
  })
})
