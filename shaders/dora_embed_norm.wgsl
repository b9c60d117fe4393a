// dora_embed_norm: row_scale[d] /= norm over tokens t of E[t, d] + scale * sum over r of A[t, r] * B[d, r]
// Work.   One team owns four columns of the embedding; its lanes stride over the job's tokens. x of the grid covers the
//         columns. The tokens may go in several jobs: each adds to squares, the last one takes the root and divides. Runs
//         once for each adapter that comes to the device, not in a step.
// Data.   w [tokens of the shard, hidden] in its own width; A as [vocab, rank] and B [hidden, rank] in slab, row_scale in
//         slab holds DoRA's magnitude before and what lora_scale_bias multiplies by after, see lora_table; squares
//         [hidden] f32. job: the adapter's slot, the shard's first token to do, how many, 1 for the first job + 2 for the
//         last.
// Sums.   Over r in order, squares in each lane in order of tokens, then over the team, then job after job.
// Limits. hidden is a multiple of 4.
// Twin.   src/model/kernels/doraEmbedNorm.ts; checked against test/support/reference/doraNorm.ts.
//#include "team"
//#include "lora_table"
//#include "lora_slab"
//#include "weights"

struct Params {
  hidden4: u32, // hidden / 4
  shard_start: u32, // token of the shard's first row
  layer: u32,
  num_layers: u32,
  group: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> job: vec4<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> w: array<Packed4>;
@group(0) @binding(4) var<storage, read_write> slab: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> squares: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let column4 = team_index(team, group.x);
  if (team_beyond(column4, params.hidden4)) { return; }
  let entry = lora_entry(job.x, params.layer, params.num_layers, params.group);
  let g = lora_group(entry);
  let p = lora_projection(entry, 0u);
  if (p.row_scale == 0u) { return; }

  let pairs = slab_pairs(g.dtype);
  let rank4 = p.rank / 4u;
  let b = p.b / 2u + column4 * 4u * rank4 * pairs;
  var sum = vec4<f32>();
  for (var t = job.y + team_lane(team); t < job.y + job.z; t += team_lanes(team)) {
    let a = g.a / 2u + (params.shard_start + t) * rank4 * pairs;
    var up = vec4<f32>();
    for (var r = 0u; r < rank4; r++) {
      let down = slab4(g.dtype, a + r * pairs);
      let at = b + r * pairs;
      up += vec4<f32>(
        dot(down, slab4(g.dtype, at)),
        dot(down, slab4(g.dtype, at + rank4 * pairs)),
        dot(down, slab4(g.dtype, at + 2u * rank4 * pairs)),
        dot(down, slab4(g.dtype, at + 3u * rank4 * pairs)),
      );
    }
    let x = fma(vec4<f32>(p.scale), up, weights4(w[t * params.hidden4 + column4]));
    sum = fma(x, x, sum);
  }
  var total = vec4<f32>(team_sum(team, sum.x), team_sum(team, sum.y), team_sum(team, sum.z), team_sum(team, sum.w));
  if (team_lane(team) > 0u) { return; }
  if ((job.w & 1u) == 0u) { total += squares[column4]; }
  squares[column4] = total;
  if ((job.w & 2u) == 0u) { return; }
  let at = p.row_scale / 2u + column4 * 2u;
  let scale = bitcast<vec4<f32>>(vec4<u32>(slab[at], slab[at + 1u])) / sqrt(total);
  slab[at] = bitcast<vec2<u32>>(scale.xy);
  slab[at + 1u] = bitcast<vec2<u32>>(scale.zw);
}
