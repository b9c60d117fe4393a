/** Options of a bench: `--rounds=5`, or `--rounds 5`. */

export function numberOption(name: string, fallback: number): number {
  const text = textOption(name)
  return text === null ? fallback : Number(text)
}

export function textOption(name: string): string | null {
  const at = process.argv.findIndex((each) => each === `--${name}` || each.startsWith(`--${name}=`))
  if (at < 0) return null
  return process.argv[at]!.includes('=') ? process.argv[at]!.slice(name.length + 3) : (process.argv[at + 1] ?? null)
}
