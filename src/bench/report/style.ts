/** Colours and the look of plots, light and dark, for a page and for a file of its own. */
import { NUM_COLORS } from './svg.ts'

/** Each colour has at least 4.5 to 1 against the ground: text may be written with it, or with the ground upon it. */
export const PALETTE = `
:root { --ground: #fff; --ink: #1c2024; --soft: #596270; --line: #e1e5ea; --panel: #f6f8fa; --warn: #fff4d6;
  --c0: #2563eb; --c1: #b45309; --c2: #047857; --c3: #c02626; --c4: #7c3aed; --c5: #0e7490; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181c; --ink: #e6e9ec; --soft: #9aa4ae; --line: #2b3239; --panel: #1b2026; --warn: #3a2f10;
    --c0: #6aa3ff; --c1: #f5b041; --c2: #3fd1a0; --c3: #ff7b72; --c4: #b79bff; --c5: #39c5e0; }
}`

export const PLOT_STYLE: string = `
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
svg text.title { font-size: 12px; }
svg text.value { fill: var(--ink); stroke: var(--ground); stroke-width: 3px; paint-order: stroke; }
svg text.inside { fill: var(--ground); stroke-width: 3px; paint-order: stroke; font-weight: 600; }
svg path { fill: none; stroke-width: 2; }
svg .grid, svg .axis { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); }
svg .mark { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 3; }
${Array.from(
  { length: NUM_COLORS },
  (_, i) =>
    `svg .c${i} path { stroke: var(--c${i}); } svg .c${i} circle, svg .c${i} rect, svg .c${i} .shape { fill: var(--c${i}); stroke: none; } svg .c${i} text.inside { stroke: var(--c${i}); }`,
).join('\n')}
svg g .range { stroke-width: 1.5; opacity: 0.45; }
svg g .edge { stroke: var(--ground); stroke-width: 4; }
svg g .target { stroke: var(--ink); }
svg g circle.dot { fill: var(--ground); stroke: var(--ink); stroke-width: 1; }`
