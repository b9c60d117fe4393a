/** Python's round(): to the nearest, and from the exact middle to the even neighbour. */

/** `digits` decimals; negative ones round to tens, hundreds. */
export function roundHalfEven(value: number, digits: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 1e21) return value
  if (digits < 0) {
    const unit = 10 ** -digits
    return Number.isFinite(unit) ? roundHalfEven(value / unit, 0) * unit + 0 : 0
  }
  if (digits > 22) return value
  // toFixed rounds the exact binary value, but from the middle away from zero; a double's digits fit in 100.
  const exact = Math.abs(value).toFixed(100)
  const cut = exact.length - 100 + digits
  const up = Number(Math.abs(value).toFixed(digits))
  const middle = /^50*$/.test(exact.slice(cut))
  const evenBefore = '02468'.includes(exact.slice(0, cut).replace('.', '').at(-1)!)
  const magnitude = middle && evenBefore ? Number(exact.slice(0, cut)) : up
  return value < 0 ? -magnitude : magnitude
}
