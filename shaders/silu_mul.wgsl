// silu_mul: act[row, i] = silu(gate + gate bias) * (up + up bias), silu(g) = g / (1 + exp(-g))
// Work.   One invocation computes four elements of one row: x along the row, y over the rows.
// Data.   gate_up [rows, 2 * inter]: a row's gates, then its ups; bias [2 * inter] likewise; act [rows, inter], as
//         activations are stored.
// Limits. inter is a multiple of 4.
// Twin.   src/model/kernels/siluMul.ts; checked against test/support/reference/siluMul.ts.
//#include "activations"

const HAS_BIAS = false;

struct Params {
  inter4: u32, // inter / 4
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> act: array<Activation4>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  let row = id.y;
  let inter4 = params.inter4;
  if (i >= inter4) { return; }
  var gate = gate_up[row * 2u * inter4 + i];
  var up = gate_up[(row * 2u + 1u) * inter4 + i];
  if (HAS_BIAS) {
    gate += bias[i];
    up += bias[inter4 + i];
  }
  // The bound keeps exp() finite; beyond it silu is zero to the last bit that matters.
  act[row * inter4 + i] = to_activation(gate / (1.0 + exp(min(-gate, vec4<f32>(88.0)))) * up);
}
