/** Options of a bench: `--rounds=5`. */

export function numberOption(name: string, fallback: number): number {
  const text = process.argv.find((each) => each.startsWith(`--${name}=`))
  return text === undefined ? fallback : Number(text.slice(name.length + 3))
}

export function textOption(name: string): string | null {
  return process.argv.find((each) => each.startsWith(`--${name}=`))?.slice(name.length + 3) ?? null
}
