// attention_state: what attention and attention_merge must do alike, to the bit.
const HEAD4 = 16u; // head_dim / 4
const SHARE = 3u; // query heads that share a key/value head

// Below every score, and far from overflow: WGSL may assume that infinities do not occur.
const LOWEST = -1.0e30;

/// The largest score so far, and the sum of exp(score - most).
struct State { most: f32, total: f32 }

/// exp() with exactly 1 at 0, so that merging into nothing changes no bit.
fn exp_exact0(x: f32) -> f32 { return select(exp(x), 1.0, x == 0.0); }

/// Takes `part` into `state`; returns what to multiply the old and the new sums of values by.
fn merge(state: ptr<function, State>, part: State) -> vec2<f32> {
  let most = max((*state).most, part.most);
  let factors = vec2<f32>(exp_exact0((*state).most - most), exp_exact0(part.most - most));
  *state = State(most, fma((*state).total, factors.x, part.total * factors.y));
  return factors;
}
fn merge_sum(factors: vec2<f32>, sum: vec4<f32>, part: vec4<f32>) -> vec4<f32> {
  return fma(sum, vec4<f32>(factors.x), part * factors.y);
}

/// First position that a row at `position` sees; window 0 is all.
fn window_begin(position: u32, window: u32) -> u32 {
  return select(position + 1u - min(position + 1u, window), 0u, window == 0u);
}

/// Where the partial of (row, split, head) begins: its State, then HEAD4 sums.
fn partial_at(row: u32, splits: u32, split: u32, heads: u32, head: u32) -> u32 {
  return ((row * splits + split) * heads + head) * (HEAD4 + 1u);
}
