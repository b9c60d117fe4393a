/** The gated activation in f64. */

/** @param gateUp [rows, 2 * inter] @param bias [2 * inter] @returns [rows, inter] */
export function siluMulReference(
  gateUp: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  inter: number,
): Float64Array {
  const act = new Float64Array(gateUp.length / 2)
  for (let at = 0; at < act.length; at++) {
    const i = at % inter
    const start = ((at - i) / inter) * 2 * inter
    const gate = gateUp[start + i]! + (bias?.[i] ?? 0)
    const up = gateUp[start + inter + i]! + (bias?.[inter + i] ?? 0)
    act[at] = (gate / (1 + Math.exp(-gate))) * up
  }
  return act
}
