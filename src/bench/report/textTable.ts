/** Tables for terminals. */

/** Columns as wide as their longest cell; the first ones to the left, numbers to the right. */
export function textTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  { numLeft = 1 }: { readonly numLeft?: number } = {},
): string {
  const all = [headers, ...rows]
  const widths = headers.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column < numLeft ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  return [line(headers), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
