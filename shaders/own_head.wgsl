// own_head: y[row, token of o] = sum over k of x[row, k] * W[adapter of row][o, k], for the rows o an adapter brings
// Work.   One team owns R own rows of the output layer, for one tile of logits rows (of one adapter), N at a time. Its
//         lanes stride over k together, four elements at a time. x of the grid covers the most own rows that an adapter of
//         the step brings, y the tiles. Dispatched after the base's matmul, whose logits it replaces.
// Data.   x [logits rows, in] as activations are stored; W in slab in its own width with the list of its tokens, see lora_table; y [logits rows,
//         vocab] f32.
// Sums.   Each lane adds its terms in order of k with fma, then the team adds its lanes: as matmul does.
// Limits. in is a multiple of 4; R * N and R are powers of two.
// Twin.   src/model/kernels/ownHead.ts; checked by test/model/kernels/ownRows.test.ts.
//#include "step"
//#include "team"
//#include "lora_table"
//#include "lora_slab"
//#include "activations"

const R = 4u; // own rows of a team
const N = 4u; // logits rows at a time

struct Params {
  in4: u32, // in / 4
  vocab: u32,
  layer: u32,
  num_layers: u32,
  group: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> x: array<Activation4>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

/// Sums of [rows, R]: `rows` (a literal, at most N) logits rows from `row`, R own rows from `first`.
fn walk(rows: u32, team: Team, own: LoraRows, first: u32, row: u32, row_last: u32,
        sums: ptr<function, array<f32, TEAM_SUMS>>) {
  let pairs = slab_pairs(own.dtype);
  var w_at: array<u32, R>;
  for (var r = 0u; r < R; r++) { w_at[r] = own.matrix / 2u + min(first + r, own.count - 1u) * params.in4 * pairs; }
  var x_at: array<u32, N>;
  for (var n = 0u; n < rows; n++) { x_at[n] = min(row + n, row_last) * params.in4; }
  for (var i = 0u; i < rows * R; i++) { (*sums)[i] = 0.0; }
  for (var k = team_lane(team); k < params.in4; k += team_lanes(team)) {
    var xs: array<vec4<f32>, N>;
    for (var n = 0u; n < rows; n++) { xs[n] = from_activation(x[x_at[n] + k]); }
    for (var r = 0u; r < R; r++) {
      let ws = slab4(own.dtype, w_at[r] + k * pairs);
      for (var n = 0u; n < rows; n++) {
        let i = n * R + r;
        (*sums)[i] = fma(ws.w, xs[n].w, fma(ws.z, xs[n].z, fma(ws.y, xs[n].y, fma(ws.x, xs[n].x, (*sums)[i]))));
      }
    }
  }
  team_sums(team, sums, rows * R);
}

/// The token of an own row.
fn token_of(own: LoraRows, at: u32) -> u32 {
  if (own.tokens == 0u) { return at; }
  let word = own.tokens + at;
  return slab[word / 2u][word % 2u];
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let tile = tile_at(STEP_HEAD_TILES, group.y);
  let own = lora_rows(lora_entry(tile.slot, params.layer, params.num_layers, params.group));
  let first = team_index(team, group.x) * R;
  if (first >= own.count) { return; }
  let row_end = tile.row_start + tile.row_count;

  var sums: array<f32, TEAM_SUMS>; // [rows, R]
  for (var row = tile.row_start; row < row_end; row += N) {
    let rows = min(N, row_end - row);
    if (rows == 1u) {
      walk(1u, team, own, first, row, row, &sums);
    } else {
      walk(N, team, own, first, row, row_end - 1u, &sums);
    }
    for (var j = 0u; j * team_lanes(team) < rows * R; j++) {
      let i = j * team_lanes(team) + team_lane(team);
      if (i < rows * R && first + i % R < own.count) {
        y[(row + i / R) * params.vocab + token_of(own, first + i % R)] = sums[j];
      }
    }
  }
}
