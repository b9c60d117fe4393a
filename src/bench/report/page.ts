/** The page around a report: one file, light and dark, nothing from anywhere else. */
import { PALETTE, PLOT_STYLE } from './style.ts'
import { escapeXml } from './svg.ts'

export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`
}

/**
 * Rows that begin alike are a group.
 *
 * @param numLeft columns of words; the others hold numbers
 */
export function htmlTable(headers: readonly string[], rows: readonly (readonly string[])[], numLeft = 1): string {
  const cells = (tag: 'th' | 'td', row: readonly string[]): string =>
    row.map((cell, i) => `<${tag}${i < numLeft ? ' class="word"' : ''}>${escapeXml(cell)}</${tag}>`).join('')
  const body = rows
    .map((row, i) => {
      const group = i === 0 ? '' : row[0] === rows[i - 1]![0] ? ' class="again"' : ' class="new"'
      return `<tr${group}>${cells('td', row)}</tr>`
    })
    .join('\n')
  return `<div class="wide"><table><thead><tr>${cells('th', headers)}</tr></thead><tbody>\n${body}\n</tbody></table></div>`
}

/** Names and values, one below the other. */
export function htmlFacts(facts: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(facts).filter(([, value]) => value !== null)
  return `<dl>${rows.map(([name, value]) => `<dt>${escapeXml(name)}</dt><dd>${escapeXml(`${value}`)}</dd>`).join('')}</dl>`
}

const STYLE = `${PALETTE}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 36px 0 10px; }
h3 { font-size: 14px; margin: 22px 0 6px; }
figure h3 { margin-top: 0; }
p, ul { margin: 6px 0; max-width: 76ch; }
.lead { color: var(--soft); }
.warn { background: var(--warn); padding: 8px 12px; border-radius: 6px; }
code { font: 13px ui-monospace, monospace; background: var(--panel); padding: 2px 5px; border-radius: 4px; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 18px; }
figure { margin: 0; padding: 14px 14px 8px; background: var(--panel); border-radius: 8px; }
figure svg { display: block; width: 100%; height: auto; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; padding: 0; margin: 0 0 10px; color: var(--soft); font-size: 13px; }
.legend svg { width: 22px; height: 10px; margin-right: 6px; vertical-align: middle; }
${PLOT_STYLE}
@media (max-width: 560px) { figure svg text { font-size: 15px; } figure svg text.title { font-size: 13px; } figure { padding: 12px 8px 6px; } }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 4px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.word { text-align: left; }
.wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: var(--ground); }
.again td:first-child { color: var(--soft); }
.again + .new td { border-top: 2px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 6px 0; font-size: 13px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
`
