// lora_shrink: down[split, row, c] = sum over k of the split's slice of x[row, k] * A[adapter of row][c, k]
// Work.   One team owns R columns of one tile (rows of one adapter) and one slice of k. Its lanes stride over the slice
//         together, four elements at a time. Tiles of several rows go N rows at a time, so that an A row read once
//         serves N of them. x of the grid covers the columns of the largest rank, y the tiles, z the slices.
// Data.   x [rows, in] as activations are stored; A in slab, see lora_table; down [splits, row_capacity, columns] f32. Rows of the base are in
//         no tile: nothing is done for them.
// Sums.   Each lane adds its terms in order of k with fma, then the team adds its lanes: the same order for every tile,
//         and for every rank beside it. lora_expand adds the slices, in order.
// Limits. in is a multiple of 4; R * N and R are powers of two.
// Twin.   src/model/kernels/loraShrink.ts; checked against test/support/reference/lora.ts. Completed by lora_expand.
//#include "step"
//#include "team"
//#include "lora_table"
//#include "lora_slab"
//#include "activations"

const R = 8u; // columns of a team
const N = 4u; // rows at a time

struct Params {
  in4: u32, // in / 4
  slice4: u32, // of k / 4, in a slice
  layer: u32,
  num_layers: u32,
  group: u32,
  columns: u32, // width of down
  row_capacity: u32, // rows of a slice of down
  tiles: u32, // see tile_at
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> x: array<Activation4>;
@group(0) @binding(5) var<storage, read_write> down: array<f32>;

/// Sums of this lane, [rows, R]: `rows` (at most N) rows from `row`, R columns from `column`. dtype and rows are literals.
fn walk(dtype: u32, rows: u32, team: Team, slice: vec2<u32>, a: LoraGroup, column: u32, row: u32, row_last: u32,
        sums: ptr<function, array<f32, TEAM_SUMS>>) {
  let pairs = slab_pairs(dtype);
  var a_at: array<u32, R>;
  for (var r = 0u; r < R; r++) { a_at[r] = a.a / 2u + min(column + r, a.rank_sum - 1u) * params.in4 * pairs; }
  var x_at: array<u32, N>;
  for (var n = 0u; n < rows; n++) { x_at[n] = min(row + n, row_last) * params.in4; }
  for (var i = 0u; i < rows * R; i++) { (*sums)[i] = 0.0; }
  for (var k = slice.x + team_lane(team); k < slice.y; k += team_lanes(team)) {
    var xs: array<vec4<f32>, N>;
    for (var n = 0u; n < rows; n++) { xs[n] = from_activation(x[x_at[n] + k]); }
    for (var r = 0u; r < R; r++) {
      let ws = slab4(dtype, a_at[r] + k * pairs);
      for (var n = 0u; n < rows; n++) {
        let i = n * R + r;
        (*sums)[i] = fma(ws.w, xs[n].w, fma(ws.z, xs[n].z, fma(ws.y, xs[n].y, fma(ws.x, xs[n].x, (*sums)[i]))));
      }
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let tile = tile_at(params.tiles, group.y);
  let a = lora_group(lora_entry(tile.slot, params.layer, params.num_layers, params.group));
  let column = team_index(team, group.x) * R;
  if (column >= a.rank_sum) { return; }
  let slice = vec2<u32>(group.z * params.slice4, min((group.z + 1u) * params.slice4, params.in4));
  let row_end = tile.row_start + tile.row_count;

  var sums: array<f32, TEAM_SUMS>; // [rows, R]
  for (var row = tile.row_start; row < row_end; row += N) {
    let rows = min(N, row_end - row);
    if (rows == 1u) {
      if (HAS_F16 && a.dtype == F16) { walk(F16, 1u, team, slice, a, column, row, row, &sums); }
      if (HAS_BF16 && a.dtype == BF16) { walk(BF16, 1u, team, slice, a, column, row, row, &sums); }
      if (HAS_F32 && a.dtype == F32) { walk(F32, 1u, team, slice, a, column, row, row, &sums); }
      team_sums(team, &sums, R);
    } else {
      if (HAS_F16 && a.dtype == F16) { walk(F16, N, team, slice, a, column, row, row_end - 1u, &sums); }
      if (HAS_BF16 && a.dtype == BF16) { walk(BF16, N, team, slice, a, column, row, row_end - 1u, &sums); }
      if (HAS_F32 && a.dtype == F32) { walk(F32, N, team, slice, a, column, row, row_end - 1u, &sums); }
      team_sums(team, &sums, N * R);
    }
    for (var j = 0u; j * team_lanes(team) < N * R; j++) {
      let i = j * team_lanes(team) + team_lane(team);
      if (i < rows * R && column + i % R < a.rank_sum) {
        down[(group.z * params.row_capacity + row + i / R) * params.columns + column + i % R] = sums[j];
      }
    }
  }
}
