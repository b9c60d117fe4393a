// lora_expand: y[row, o] = (y[row, o] + scale * sum over r of down[row, column + r] * B[o, r]) * row_scale[o] + bias[o]
// Work.   One invocation owns four outputs of the rows of one tile (rows of one adapter), N rows at a time. x of the
//         grid covers the outputs, each projection of the group from a workgroup of its own; y covers the tiles.
// Data.   down [splits, row_capacity, columns] f32 as lora_shrink leaves it; B, row_scale and bias in slab, see
//         lora_table; y [rows, sum of outs] f32, the bare projections. An adapter without row_scale or bias skips them.
//         The adapter's own rank bounds the loop. Rows of the base are in no tile and are not touched.
// Sums.   The slices of down in order, then f32 in order of r with fma: the same for every tile.
// Limits. outs are multiples of 4. No subgroups, no barrier.
// Twin.   src/model/kernels/loraExpand.ts; checked against test/support/reference/lora.ts.
//#include "step"
//#include "lora_table"

const WORKGROUP = 32u;
const N = 4u; // rows at a time

struct Params {
  outs4: vec3<u32>, // width of each projection / 4, 0 where there is none
  layer: u32,
  num_layers: u32,
  group: u32,
  columns: u32, // width of down
  row_capacity: u32, // rows of a slice of down
  splits: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> down: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

fn down4(row: u32, column4: u32) -> vec4<f32> {
  let columns4 = params.columns / 4u;
  var sum = down[row * columns4 + column4];
  for (var split = 1u; split < params.splits; split++) {
    sum += down[(split * params.row_capacity + row) * columns4 + column4];
  }
  return sum;
}

/// Vector of f32 in slab at a word offset, four elements.
fn vector4(word: u32, i4: u32) -> vec4<f32> {
  return slab4(F32, word / 2u + i4 * 2u);
}

/// Adds to `rows` (at most N) rows from `row`. dtype and rows are literals.
fn walk(dtype: u32, rows: u32, p: LoraProjection, o4: u32, row: u32, row_last: u32,
        sums: ptr<function, array<vec4<f32>, N>>) {
  let pairs = slab_step(dtype);
  let rank4 = p.rank / 4u;
  let stride = rank4 * pairs;
  let b = p.b / 2u + o4 * 4u * stride;
  for (var n = 0u; n < rows; n++) { (*sums)[n] = vec4<f32>(); }
  for (var k = 0u; k < rank4; k++) {
    let at = b + k * pairs;
    let b0 = slab4(dtype, at);
    let b1 = slab4(dtype, at + stride);
    let b2 = slab4(dtype, at + 2u * stride);
    let b3 = slab4(dtype, at + 3u * stride);
    for (var n = 0u; n < rows; n++) {
      let d = down4(min(row + n, row_last), p.column / 4u + k);
      let s = (*sums)[n];
      (*sums)[n] = vec4<f32>(
        fma(b0.w, d.w, fma(b0.z, d.z, fma(b0.y, d.y, fma(b0.x, d.x, s.x)))),
        fma(b1.w, d.w, fma(b1.z, d.z, fma(b1.y, d.y, fma(b1.x, d.x, s.y)))),
        fma(b2.w, d.w, fma(b2.z, d.z, fma(b2.y, d.y, fma(b2.x, d.x, s.z)))),
        fma(b3.w, d.w, fma(b3.z, d.z, fma(b3.y, d.y, fma(b3.x, d.x, s.w)))),
      );
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
  let tile = tile_at(group.y);
  let entry = lora_entry(tile.slot, params.layer, params.num_layers, params.group);
  let dtype = lora_group(entry).dtype;

  // Which projection this workgroup belongs to, and where that begins in x of the grid and in y.
  let outs4 = params.outs4;
  let groups = (outs4 + WORKGROUP - 1u) / WORKGROUP;
  var projection = 0u;
  var group_first = 0u;
  var start4 = 0u;
  if (group.x >= groups.x) { projection = 1u; group_first = groups.x; start4 = outs4.x; }
  if (group.x >= groups.x + groups.y) { projection = 2u; group_first = groups.x + groups.y; start4 = outs4.x + outs4.y; }
  let p = lora_projection(entry, projection);
  let o4 = (group.x - group_first) * WORKGROUP + invocation;
  if (o4 >= outs4[projection]) { return; }
  if (lora_group(entry).rank_sum == 0u || (p.rank | p.row_scale | p.bias) == 0u) { return; }

  let stride4 = outs4.x + outs4.y + outs4.z;
  let row_end = tile.row_start + tile.row_count;
  var sums: array<vec4<f32>, N>;
  for (var row = tile.row_start; row < row_end; row += N) {
    var rows = 1u;
    if (row + 1u == row_end) {
      if (dtype == F16) { walk(F16, 1u, p, o4, row, row, &sums); }
      else if (dtype == BF16) { walk(BF16, 1u, p, o4, row, row, &sums); }
      else { walk(F32, 1u, p, o4, row, row, &sums); }
    } else {
      if (dtype == F16) { walk(F16, N, p, o4, row, row_end - 1u, &sums); }
      else if (dtype == BF16) { walk(BF16, N, p, o4, row, row_end - 1u, &sums); }
      else { walk(F32, N, p, o4, row, row_end - 1u, &sums); }
      rows = min(N, row_end - row);
    }
    for (var n = 0u; n < rows; n++) {
      let at = (row + n) * stride4 + start4 + o4;
      var out = fma(vec4<f32>(p.scale), sums[n], y[at]);
      if (p.row_scale != 0u) { out *= vector4(p.row_scale, o4); }
      if (p.bias != 0u) { out += vector4(p.bias, o4); }
      y[at] = out;
    }
  }
}
