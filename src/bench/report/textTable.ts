/** Tables for terminals. */

/**
 * Columns as wide as their longest cell; the first ones to the left, numbers to the right.
 *
 * @param options `align` has a letter for each column, l or r, and goes before `numLeft`
 */
export function textTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  { numLeft = 1, align }: { readonly numLeft?: number; readonly align?: string } = {},
): string {
  const all = [headers, ...rows]
  const widths = headers.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const isLeft = (column: number): boolean => (align ? align[column] === 'l' : column < numLeft)
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (isLeft(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  return [line(headers), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
