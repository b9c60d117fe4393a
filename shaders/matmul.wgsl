// matmul: y[row, out_start + o] = sum over k of x[row, k] * w[o, k]
// Work.   One team owns R outputs of N rows. Its lanes stride over k together, four at a time, and keep R * N sums in
//         registers: each weight is read once for N rows, each activation once for R outputs. The teams of a workgroup lie
//         beside each other, ROW_TEAMS over rows and the others over outputs: they read the same at nearly the same time, so that
//         the cache of a core gives to all of them what one has read. x of the grid covers the rows, y the outputs:
//         workgroups that run one after another, or at once, read the same weights.
// Data.   x [rows, in] as activations are stored; w [out, in] in its own width (one shard of a matrix); y [rows, out_stride] f32. Edges are
//         clamped, not branched on: superfluous outputs and rows are computed again and not written.
// Sums.   Each lane adds its terms in order of k with fma, then the team adds its lanes. An output is summed in the same
//         order for every R and N, so all row regimes agree to the bit.
// Limits. in is a multiple of 4; R * N is a power of two. Bias and residual are added by the kernels that follow, because LoRA comes between.
// Twin.   src/model/kernels/matmul.ts; checked against test/support/reference/matmul.ts.
//#include "step"
//#include "team"
//#include "weights"
//#include "activations"

const R = 4u; // outputs of a team
const N = 1u; // rows of a team
const ROW_TEAMS = 1u; // teams beside each other over rows

struct Params {
  in4: u32, // in / 4
  out: u32, // outputs of this shard
  out_start: u32, // where they begin in y
  out_stride: u32, // width of y
  rows_word: u32, // word of the step's header that counts the rows
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> w: array<Packed4>;
@group(0) @binding(3) var<storage, read> x: array<Activation4>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let place = team_place(team);
  let out_first = (group.y * (team_places(team) / ROW_TEAMS) + place / ROW_TEAMS) * R;
  let row_first = (group.x * ROW_TEAMS + place % ROW_TEAMS) * N;
  let rows = step_words[params.rows_word];
  if (team_beyond(out_first, params.out) || team_beyond(row_first, rows)) { return; }
  let in4 = params.in4;

  var w_at: array<u32, R>;
  for (var r = 0u; r < R; r++) { w_at[r] = min(out_first + r, params.out - 1u) * in4; }
  var x_at: array<u32, N>;
  for (var n = 0u; n < N; n++) { x_at[n] = min(row_first + n, rows - 1u) * in4; }

  var sums: array<f32, TEAM_SUMS>; // [R, N]
  for (var k = team_lane(team); k < in4; k += team_lanes(team)) {
    var xs: array<vec4<f32>, N>;
    for (var n = 0u; n < N; n++) { xs[n] = from_activation(x[x_at[n] + k]); }
    for (var r = 0u; r < R; r++) {
      let ws = weights4(w[w_at[r] + k]);
      for (var n = 0u; n < N; n++) {
        let i = r * N + n;
        sums[i] = fma(ws.w, xs[n].w, fma(ws.z, xs[n].z, fma(ws.y, xs[n].y, fma(ws.x, xs[n].x, sums[i]))));
      }
    }
  }
  team_sums(team, &sums, R * N);

  for (var j = 0u; j * team_lanes(team) < R * N; j++) {
    let i = j * team_lanes(team) + team_lane(team);
    let o = out_first + i / N;
    let row = row_first + i % N;
    if (i < R * N && o < params.out && row < rows) {
      y[row * params.out_stride + params.out_start + o] = sums[j];
    }
  }
}
