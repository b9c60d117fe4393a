// dora_norm: row_scale[o] /= norm over k of W[o, k] + scale * sum over r of B[o, r] * A[r, k]
// Work.   One team owns R rows of a shard of a group's weights, for one adapter. Its lanes stride over k, four elements
//         at a time: an element of A read once serves R rows. x of the grid covers the job's rows. Runs once for each
//         adapter that comes to the device, not in a step.
// Data.   w [rows, in] in its own width; A and B in slab, see lora_table; row_scale in
//         slab holds DoRA's magnitude before and what lora_scale_bias multiplies by after. job: the adapter's slot, the
//         first row of the shard to do and how many. Projections without a row scale are left alone.
// Sums.   Over r in order with fma, squares in each lane in order of k, then over the team.
// Limits. in and the outputs of each projection are multiples of 4, and so is the job's first row.
// Twin.   src/model/kernels/doraNorm.ts; checked against test/support/reference/doraNorm.ts.
//#include "team"
//#include "lora_table"
//#include "lora_slab"
//#include "weights"

const R = 4u;

struct Params {
  outs4: vec3<u32>, // width of each projection / 4, 0 where there is none
  layer: u32,
  num_layers: u32,
  group: u32,
  in4: u32, // in / 4
  row_start: u32, // of the shard, within the group
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> job: vec3<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> w: array<Packed4>;
@group(0) @binding(4) var<storage, read_write> slab: array<vec2<u32>>;

/// Adds the squares of this lane's elements of R rows of W + scale * B A. dtype is a literal.
fn walk(dtype: u32, team: Team, g: LoraGroup, p: LoraProjection, o4: u32, row: u32,
        squares: ptr<function, array<vec4<f32>, R>>) {
  let pairs = slab_pairs(dtype);
  let rank4 = p.rank / 4u;
  let a = g.a / 2u + p.column * params.in4 * pairs;
  let b = p.b / 2u + o4 * R * rank4 * pairs;
  for (var k = team_lane(team); k < params.in4; k += team_lanes(team)) {
    var sums: array<vec4<f32>, R>;
    for (var n = 0u; n < R; n++) { sums[n] = vec4<f32>(); }
    for (var r = 0u; r < rank4; r++) {
      let at = a + (4u * r * params.in4 + k) * pairs;
      let a0 = slab4(dtype, at);
      let a1 = slab4(dtype, at + params.in4 * pairs);
      let a2 = slab4(dtype, at + 2u * params.in4 * pairs);
      let a3 = slab4(dtype, at + 3u * params.in4 * pairs);
      for (var n = 0u; n < R; n++) {
        let bs = slab4(dtype, b + (n * rank4 + r) * pairs);
        sums[n] = fma(vec4<f32>(bs.w), a3, fma(vec4<f32>(bs.z), a2, fma(vec4<f32>(bs.y), a1, fma(vec4<f32>(bs.x), a0, sums[n]))));
      }
    }
    for (var n = 0u; n < R; n++) {
      let x = fma(vec4<f32>(p.scale), sums[n], weights4(w[(row + n) * params.in4 + k]));
      (*squares)[n] = fma(x, x, (*squares)[n]);
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let index = team_index(team, group.x) * R;
  if (team_beyond(index, job.z)) { return; }
  let row = job.y + index;
  let entry = lora_entry(job.x, params.layer, params.num_layers, params.group);

  // Which projection these rows belong to, and which of its outputs they are.
  var o4 = (params.row_start + row) / 4u;
  var projection = 0u;
  if (o4 >= params.outs4.x) { projection = 1u; o4 -= params.outs4.x; }
  if (projection == 1u && o4 >= params.outs4.y) { projection = 2u; o4 -= params.outs4.y; }
  let p = lora_projection(entry, projection);
  let g = lora_group(entry);
  if (p.row_scale == 0u) { return; }
  var squares = array<vec4<f32>, R>();
  if (HAS_F16 && g.dtype == F16) { walk(F16, team, g, p, o4, row, &squares); }
  if (HAS_BF16 && g.dtype == BF16) { walk(BF16, team, g, p, o4, row, &squares); }
  if (HAS_F32 && g.dtype == F32) { walk(F32, team, g, p, o4, row, &squares); }
  var norms: vec4<f32>;
  for (var n = 0u; n < R; n++) {
    norms[n] = sqrt(team_sum(team, (squares[n].x + squares[n].y) + (squares[n].z + squares[n].w)));
  }
  if (team_lane(team) == 0u) {
    let at = p.row_scale / 2u + o4 * 2u;
    let scale = bitcast<vec4<f32>>(vec4<u32>(slab[at], slab[at + 1u])) / norms;
    slab[at] = bitcast<vec2<u32>>(scale.xy);
    slab[at + 1u] = bitcast<vec2<u32>>(scale.zw);
  }
}
