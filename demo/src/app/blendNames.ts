/** A blend of adapters has no name of its own: the engine calls it `melville:0.5+king-james:0.5`. */
import type { Plume, Plumes } from './palette.ts'

/** The adapters in it; one for a plain adapter, none for the base. */
export function partsOf(name: string | null): readonly string[] {
  if (name === null) return []
  return name.split('+').map((part) => part.replace(/:-?[\d.eE+-]+$/, ''))
}

/** For people: `melville × king-james`; null for the base. */
export function blendOf(name: string | null): string | null {
  return name === null ? null : partsOf(name).join(' × ')
}

/** One colour, or one for each part. */
export function plumesOf(name: string | null, plumes: Plumes): readonly Plume[] {
  const parts = partsOf(name)
  return parts.length === 0 ? [plumes.of(null)] : parts.map((part) => plumes.of(part))
}
