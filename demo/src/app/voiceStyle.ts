/** A voice's colour as custom properties: the style sheet makes fills, inks and washes of them for both themes. */
import type { CSSProperties } from 'preact'
import type { Plume } from './palette.ts'

export function voiceStyle({ lightness, chroma, hue }: Plume): CSSProperties {
  return { '--l': lightness, '--c': chroma, '--h': hue } as CSSProperties
}
