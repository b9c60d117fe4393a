/**
 * Shaders are valid stand-alone `.wgsl` files. Before compilation their text is specialised: `const NAME = …;` and
 * `alias NAME = …;` lines are replaced by name, `//#include "name"` lines by another file's text, and a preamble that
 * fits the device is put in front. (`override` cannot size function-local arrays nor choose types, so constants are
 * text. Dawn requires `enable subgroups;`, naga rejects it as a parse error: so the preamble is generated.)
 */
import type { Capabilities } from './capabilities.ts'
import { ShaderError } from './errors.ts'
import type { Specialisation } from './kernel.ts'

const INCLUDE_LINE = /^\/\/#include "([\w/]+)"[ \t]*$/gm

/** The `enable` and `diagnostic` lines a device needs for the features it has. */
export function preamble(can: Capabilities): string {
  const lines: string[] = []
  if (can.f16) lines.push('enable f16;')
  if (can.subgroups) {
    lines.push('enable subgroups;')
    // Teams leave together, but by values the analysis cannot prove subgroup-uniform (their index, a loaded count).
    lines.push('diagnostic(off, subgroup_uniformity);')
  }
  return lines.length ? `${lines.join('\n')}\n` : ''
}

/**
 * The text to compile.
 * @throws ShaderError when a constant, alias or include is named that the source does not have, or an include is missing.
 */
export function specialise(name: string, source: string, wanted: Specialisation, can: Capabilities): string {
  const used = new Set<string>()
  let text = expandIncludes(name, source, wanted.includes ?? {}, used, 0)
  for (const include of Object.keys(wanted.includes ?? {})) {
    if (!used.has(include)) throw new ShaderError(`${name}.wgsl has no line //#include "${include}"`)
  }
  for (const [constant, value] of Object.entries(wanted.constants ?? {})) {
    text = replaceOne(name, text, 'const', constant, typeof value === 'number' ? String(value) : `${value}`)
  }
  for (const [alias, type] of Object.entries(wanted.aliases ?? {})) text = replaceOne(name, text, 'alias', alias, type)
  return preamble(can) + text
}

function expandIncludes(
  name: string,
  source: string,
  includes: Readonly<Record<string, string>>,
  used: Set<string>,
  depth: number,
): string {
  if (depth > 4) throw new ShaderError(`${name}.wgsl includes itself`)
  return source.replace(INCLUDE_LINE, (_line, include: string) => {
    const text = Object.hasOwn(includes, include) ? includes[include] : undefined
    if (text === undefined) throw new ShaderError(`${name}.wgsl includes "${include}", and nothing was given for it`)
    if (used.has(include)) return ''
    used.add(include)
    return expandIncludes(name, text, includes, used, depth + 1)
  })
}

/** Keeps a `u` or `f` suffix and a declared type of the line it replaces. */
function replaceOne(name: string, text: string, keyword: 'const' | 'alias', symbol: string, value: string): string {
  const line = new RegExp(`^(${keyword} ${symbol}(?:\\s*:\\s*[\\w<>]+)?\\s*=\\s*)([^;]*?)(;)`, 'm')
  const match = line.exec(text)
  if (!match) throw new ShaderError(`${name}.wgsl has no line "${keyword} ${symbol} = …;"`)
  const suffix =
    keyword === 'const' && /^\d+$/.test(value) && /^-?[\d.]+[uf]$/.test(match[2]!) ? match[2]!.slice(-1) : ''
  return text.slice(0, match.index) + match[1] + value + suffix + match[3] + text.slice(match.index + match[0].length)
}
