// attention_merge: out[row, head] = merged sums of the row's splits, divided by their merged total
// Work.   One invocation owns four elements of one head of one row: x covers the row, y the rows. Only for steps that
//         count several splits.
// Data.   partials as attention leaves them; out [rows, heads * head_dim], as activations are stored.
// Sums.   Splits in order, in the arithmetic of attention_state: the bits one team would have made of them.
// Twin.   src/model/kernels/attention.ts; checked with attention.
//#include "step"
//#include "attention_state"
//#include "activations"

const SPLIT = 256u;

struct Params {
  kv_heads: u32,
  window: u32,
  scale: f32,
  head4: u32,
  fold: u32,
  folds: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<Activation4>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let heads = params.kv_heads * SHARE;
  let head = id.x / HEAD4;
  let d = id.x % HEAD4;
  let row = id.y;
  if (head >= heads) { return; }
  let position = row_position(row);
  let splits = num_splits();

  var state = State(LOWEST, 0.0);
  var sum = vec4<f32>();
  for (var split = window_begin(position, params.window) / SPLIT; split <= position / SPLIT; split++) {
    let at = partial_at(row, splits, split, heads, head);
    let factors = merge(&state, State(partials[at].x, partials[at].y));
    sum = merge_sum(factors, sum, partials[at + 1u + d]);
  }
  out[(row * heads + head) * HEAD4 + d] = to_activation(sum / state.total);
}
