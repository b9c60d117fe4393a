// lora_expand: y[row, o] += scale * sum over r of down[row, column + r] * B[adapter of row][o, r]
// Work.   One invocation owns TURNS times J times four outputs of the rows of one tile (rows of one adapter). A tile of several rows
//         goes N rows at a time. x of the grid covers the outputs, each projection of the group from a workgroup of its
//         own; y covers the tiles. The lanes of a team fetch a piece of down together and show it to each other.
// Data.   down [splits, row_capacity, columns] f32 as lora_shrink leaves it; B in slab, see lora_table; y [rows, sum of
//         outs] f32, the bare projections. The adapter's own rank bounds the loop: a rank-8 row beside a rank-64 row
//         does rank-8 work. Rows of the base are in no tile and are not touched.
// Sums.   The slices of down in order, then f32 in order of r with fma: the same for every tile.
// Limits. outs are multiples of 4.
//         Row scales and biases of an adapter follow in lora_scale_bias.
// Twin.   src/model/kernels/loraExpand.ts; checked against test/support/reference/lora.ts.
//#include "step"
//#include "team"
//#include "lora_table"
//#include "lora_slab"

const J = 2u; // vectors of four outputs of an invocation, in each of TURNS turns
const TURNS = 1u;
const N = 4u; // rows at a time

const TURN4 = J * WORKGROUP; // vectors that a workgroup does in a turn

struct Params {
  outs4: vec3<u32>, // width of each projection / 4, 0 where there is none
  layer: u32,
  num_layers: u32,
  group: u32,
  columns4: u32, // width of down / 4
  row_capacity: u32, // rows of a slice of down
  splits: u32,
  tiles: u32, // see tile_at
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> down: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

/// Sums over r, [vectors, rows]: `vectors` of four outputs, WORKGROUP apart, of `rows` rows; these and dtype are literals.
fn walk(dtype: u32, vectors: u32, rows: u32, team: Team, p: LoraProjection, o4: u32, last4: u32, row: u32, row_last: u32,
        sums: ptr<function, array<vec4<f32>, N>>) {
  let pairs = slab_pairs(dtype);
  let rank4 = p.rank / 4u;
  let stride = rank4 * pairs;
  var b_at: array<u32, J>;
  for (var j = 0u; j < vectors; j++) { b_at[j] = p.b / 2u + min(o4 + j * WORKGROUP, last4) * 4u * stride; }
  for (var i = 0u; i < vectors * rows; i++) { (*sums)[i] = vec4<f32>(); }
  for (var piece = 0u; piece < rank4; piece += team_lanes(team)) {
    var mine = array<vec4<f32>, N>();
    for (var split = 0u; split < params.splits; split++) {
      let column4 = split * params.row_capacity * params.columns4 + p.column / 4u + min(piece + team_lane(team), rank4 - 1u);
      for (var n = 0u; n < rows; n++) { mine[n] += down[column4 + min(row + n, row_last) * params.columns4]; }
    }
    for (var n = 0u; n < rows; n++) {
      team_put(team, 4u * n, mine[n].x);
      team_put(team, 4u * n + 1u, mine[n].y);
      team_put(team, 4u * n + 2u, mine[n].z);
      team_put(team, 4u * n + 3u, mine[n].w);
    }
    team_sync();
    // From piece, not from 0: a loop that the compiler can count it unrolls, and compiles for seconds.
    let end = min(piece + team_lanes(team), rank4);
    for (var k = piece; k < end; k++) {
      var d: array<vec4<f32>, N>;
      for (var n = 0u; n < rows; n++) {
        d[n] = vec4<f32>(
          team_get(team, 4u * n, k - piece), team_get(team, 4u * n + 1u, k - piece),
          team_get(team, 4u * n + 2u, k - piece), team_get(team, 4u * n + 3u, k - piece),
        );
      }
      for (var j = 0u; j < vectors; j++) {
        let at = b_at[j] + k * pairs;
        let b0 = slab4(dtype, at);
        let b1 = slab4(dtype, at + stride);
        let b2 = slab4(dtype, at + 2u * stride);
        let b3 = slab4(dtype, at + 3u * stride);
        for (var n = 0u; n < rows; n++) {
          let i = j * rows + n;
          let s = (*sums)[i];
          (*sums)[i] = vec4<f32>(
            fma(b0.w, d[n].w, fma(b0.z, d[n].z, fma(b0.y, d[n].y, fma(b0.x, d[n].x, s.x)))),
            fma(b1.w, d[n].w, fma(b1.z, d[n].z, fma(b1.y, d[n].y, fma(b1.x, d[n].x, s.y)))),
            fma(b2.w, d[n].w, fma(b2.z, d[n].z, fma(b2.y, d[n].y, fma(b2.x, d[n].x, s.z)))),
            fma(b3.w, d[n].w, fma(b3.z, d[n].z, fma(b3.y, d[n].y, fma(b3.x, d[n].x, s.w)))),
          );
        }
      }
    }
    team_sync();
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let tile = tile_at(params.tiles, group.y);
  let entry = lora_entry(tile.slot, params.layer, params.num_layers, params.group);
  let g = lora_group(entry);

  // Which projection this workgroup belongs to, and where that begins in x of the grid and in y.
  let outs4 = params.outs4;
  let groups = (outs4 + TURN4 * TURNS - 1u) / (TURN4 * TURNS);
  var projection = 0u;
  var group_first = 0u;
  var start4 = 0u;
  if (group.x >= groups.x) { projection = 1u; group_first = groups.x; start4 = outs4.x; }
  if (group.x >= groups.x + groups.y) { projection = 2u; group_first = groups.x + groups.y; start4 = outs4.x + outs4.y; }
  let p = lora_projection(entry, projection);
  if (g.rank_sum == 0u || p.rank == 0u) { return; }
  let first4 = (group.x - group_first) * TURN4 * TURNS;
  let end4 = min(first4 + TURN4 * TURNS, outs4[projection]);
  let last4 = outs4[projection] - 1u;

  let stride4 = outs4.x + outs4.y + outs4.z;
  let row_end = tile.row_start + tile.row_count;
  var sums: array<vec4<f32>, N>;
  for (var row = tile.row_start; row < row_end; row += N) {
    let rows = min(N, row_end - row);
    if (rows == 1u) {
      for (var some4 = first4; some4 < end4; some4 += TURN4) {
        let mine = some4 + team_invocation(team);
        if (HAS_F16 && g.dtype == F16) { walk(F16, J, 1u, team, p, mine, last4, row, row, &sums); }
        if (HAS_BF16 && g.dtype == BF16) { walk(BF16, J, 1u, team, p, mine, last4, row, row, &sums); }
        if (HAS_F32 && g.dtype == F32) { walk(F32, J, 1u, team, p, mine, last4, row, row, &sums); }
        for (var j = 0u; j < J; j++) {
          if (mine + j * WORKGROUP <= last4) {
            let at = row * stride4 + start4 + mine + j * WORKGROUP;
            y[at] = fma(vec4<f32>(p.scale), sums[j], y[at]);
          }
        }
      }
    } else {
      for (var some4 = first4; some4 < end4; some4 += WORKGROUP) {
        let mine = some4 + team_invocation(team);
        if (HAS_F16 && g.dtype == F16) { walk(F16, 1u, N, team, p, mine, last4, row, row_end - 1u, &sums); }
        if (HAS_BF16 && g.dtype == BF16) { walk(BF16, 1u, N, team, p, mine, last4, row, row_end - 1u, &sums); }
        if (HAS_F32 && g.dtype == F32) { walk(F32, 1u, N, team, p, mine, last4, row, row_end - 1u, &sums); }
        for (var n = 0u; n < N; n++) {
          if (mine <= last4 && n < rows) {
            let at = (row + n) * stride4 + start4 + mine;
            y[at] = fma(vec4<f32>(p.scale), sums[n], y[at]);
          }
        }
      }
    }
  }
}
