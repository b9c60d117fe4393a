// add_norm: residual[row] += delta[row] + bias; normed[row] = gain * residual[row] / sqrt(mean(residual[row]^2) + eps)
// Work.   One team owns one row; its lanes stride over it, four elements at a time, once to add and square and once to
//         scale. A lane has LOADS of its vectors on their way before it uses the first: a row alone on a device is
//         nothing but waiting for memory. Beyond the end of the row it loads the last vector and drops it.
// Data.   residual, delta, normed [rows, hidden], normed as activations are stored; gain, bias [hidden]. With GATHER the output rows are the logits rows:
//         row i is the norm of the residual row that the step's i-th logits row names, and residual is only read. The
//         included gain decides whether adapters are asked for a gain of their own.
// Sums.   f32 with fma in each lane, in the same order for every LOADS, then over the team. The addition rounds as residual + (delta + bias).
// Limits. hidden is a multiple of 4.
// Twin.   src/model/kernels/addNorm.ts; checked against test/support/reference/addNorm.ts.
//#include "step"
//#include "team"
//#include "gain"
//#include "activations"

const ADD = true; // add delta and write residual
const HAS_BIAS = false; // the projection that made delta has a bias
const GATHER = false; // norm the logits rows only
const LOADS = 1u;

struct Params {
  hidden4: u32, // hidden / 4
  eps: f32,
  slot_words: u32, // see gain_own
  gain_word: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> delta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> normed: array<Activation4>;

/// The base's gain, or where `own` is not 0 that of the row's adapter.
fn gain4(own: u32, i: u32) -> vec4<f32> {
  if (own != 0u) { return own_gain4(own, i); }
  return gain[i];
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let out_row = team_index(team, group.x);
  let rows = select(num_rows(), num_logits(), GATHER);
  if (team_beyond(out_row, rows)) { return; }
  var row = out_row;
  if (GATHER) { row = logits_row(out_row); }
  let start = row * params.hidden4;

  var squares = vec4<f32>();
  for (var first = team_lane(team); first < params.hidden4; first += LOADS * team_lanes(team)) {
    var xs = array<vec4<f32>, LOADS>();
    for (var j = 0u; j < LOADS; j++) {
      let i = min(first + j * team_lanes(team), params.hidden4 - 1u);
      xs[j] = residual[start + i];
      if (ADD) {
        var d = delta[start + i];
        if (HAS_BIAS) { d += bias[i]; }
        xs[j] += d;
      }
    }
    for (var j = 0u; j < LOADS; j++) {
      let i = first + j * team_lanes(team);
      if (i >= params.hidden4) { break; }
      if (ADD) { residual[start + i] = xs[j]; }
      squares = fma(xs[j], xs[j], squares);
    }
  }
  let sum = team_sum(team, (squares.x + squares.y) + (squares.z + squares.w));
  let scale = inverseSqrt(sum / f32(params.hidden4 * 4u) + params.eps);

  let out = out_row * params.hidden4;
  let own = own_gain(row, params.slot_words, params.gain_word);
  for (var first = team_lane(team); first < params.hidden4; first += LOADS * team_lanes(team)) {
    var xs = array<vec4<f32>, LOADS>();
    for (var j = 0u; j < LOADS; j++) {
      let i = min(first + j * team_lanes(team), params.hidden4 - 1u);
      xs[j] = gain4(own, i) * (residual[start + i] * scale);
    }
    for (var j = 0u; j < LOADS; j++) {
      let i = first + j * team_lanes(team);
      if (i < params.hidden4) { normed[out + i] = to_activation(xs[j]); }
    }
  }
}
