// attention: out[row, head] = softmax(scale * q . k over the keys the row may see) . v
// Work.   One team owns one row and the query heads that share one key/value head. It walks the row's positions in
//         aligned groups of as many as it has lanes: each lane scores one position, then the lanes share their weights and
//         each sums values over its own elements of the head. x of the grid covers the key/value heads, y the rows, and
//         z the splits when the step has several.
// Data.   q: the first part of each row of qkv, [rows, (heads + 2 kv_heads) * head_dim]; keys, values [slot, kv_heads,
//         head_dim] in blocks of BLOCK slots that the row's block table names; out [rows, heads * head_dim]; partials
//         [rows, splits, heads] of (m, l, -, -) and the head's unnormalised sum. Lanes without a position of
//         their own are given a valid one, so that what lies in an unused slot is never read.
// Sums.   Online softmax in f32 over each SPLIT positions, then the splits merged in order. One team does both when the
//         step counts one split; else each split has a team and attention_merge completes them in the same arithmetic,
//         so results depend neither on the number of splits, nor on chunking, nor on the other rows.
// Limits. head_dim is a multiple of 4; SPLIT is a multiple of the lanes.
// Twin.   src/model/kernels/attention.ts; checked against test/support/reference/attention.ts.
//#include "step"
//#include "team"
//#include "attention_state"

const LANE4 = 2u; // head_dim / 4 over the fewest lanes, rounded up
const SPLIT = 256u;

struct Params {
  kv_heads: u32,
  window: u32, // positions a row sees, itself included; 0: all
  scale: f32,
  head4: u32, // HEAD4 again, unknown to the compiler: unrolled loops over it take half a minute to compile on lavapipe
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let kv_head = team_index(team, group.x);
  if (team_beyond(kv_head, params.kv_heads)) { return; }
  let row = group.y;
  let lane = team_lane(team);
  let lanes = team_lanes(team);
  let heads = params.kv_heads * SHARE;
  let head_first = kv_head * SHARE;
  let q_start = (row * (heads + 2u * params.kv_heads) + head_first) * HEAD4;
  let blocks = row_blocks(row);
  let position = row_position(row);
  let begin = window_begin(position, params.window);

  let splits = num_splits();
  var split = begin / SPLIT;
  var split_end = position / SPLIT + 1u;
  if (splits > 1u) {
    if (group.z < split || group.z >= split_end) { return; }
    split = group.z;
    split_end = split + 1u;
  }

  // Merged over the splits done so far.
  var state: array<State, SHARE>;
  var sums: array<vec4<f32>, SHARE * LANE4>; // [SHARE, LANE4]
  for (var h = 0u; h < SHARE; h++) { state[h] = State(LOWEST, 0.0); }

  for (; split < split_end; split++) {
    let first = max(begin, split * SPLIT);
    let last = min(position, split * SPLIT + SPLIT - 1u);
    var most: array<f32, SHARE>;
    for (var h = 0u; h < SHARE; h++) { most[h] = LOWEST; }
    var total = array<f32, SHARE>(); // of this lane's positions
    var part = array<vec4<f32>, SHARE * LANE4>();

    for (var at = first - first % lanes; at <= last; at += lanes) {
      let seen = at + lane >= first && at + lane <= last;
      let key = (cache_slot(blocks, clamp(at + lane, first, last)) * params.kv_heads + kv_head) * HEAD4;
      var scores = array<f32, SHARE>(); // Dawn 0.6.2 clears a var without an initialiser once, not in every turn of a loop
      for (var k = 0u; k < params.head4; k++) {
        let kv = keys[key + k];
        for (var h = 0u; h < SHARE; h++) {
          let q = qkv[q_start + h * HEAD4 + k];
          scores[h] = fma(q.w, kv.w, fma(q.z, kv.z, fma(q.y, kv.y, fma(q.x, kv.x, scores[h]))));
        }
      }
      for (var h = 0u; h < SHARE; h++) {
        let score = select(LOWEST, scores[h] * params.scale, seen);
        let more = max(most[h], team_max(team, score));
        let shrink = exp(most[h] - more);
        let weight = select(0.0, exp(score - more), seen);
        most[h] = more;
        total[h] = fma(total[h], shrink, weight);
        for (var i = 0u; i < LANE4; i++) { part[h * LANE4 + i] *= shrink; }
        team_put(team, h, weight);
      }
      team_sync();
      let end = min(last + 1u, at + lanes);
      for (var seen_at = max(first, at); seen_at < end; seen_at++) {
        let value = (cache_slot(blocks, seen_at) * params.kv_heads + kv_head) * HEAD4;
        var weights: array<f32, SHARE>;
        for (var h = 0u; h < SHARE; h++) { weights[h] = team_get(team, h, seen_at - at); }
        for (var i = 0u; i < LANE4; i++) {
          let v = values[value + min(lane + i * lanes, HEAD4 - 1u)];
          for (var h = 0u; h < SHARE; h++) { part[h * LANE4 + i] = fma(vec4<f32>(weights[h]), v, part[h * LANE4 + i]); }
        }
      }
      team_sync();
    }

    for (var h = 0u; h < SHARE; h++) {
      let factors = merge(&state[h], State(most[h], team_sum(team, total[h])));
      for (var i = 0u; i < LANE4; i++) {
        let at = h * LANE4 + i;
        sums[at] = merge_sum(factors, sums[at], part[at]);
      }
    }
  }

  for (var h = 0u; h < SHARE; h++) {
    for (var i = 0u; i < LANE4; i++) {
      let d = lane + i * lanes;
      if (d < HEAD4) {
        let sum = sums[h * LANE4 + i];
        if (splits > 1u) {
          partials[partial_at(row, splits, group.z, heads, head_first + h) + 1u + d] = sum;
        } else {
          out[(row * heads + head_first + h) * HEAD4 + d] = sum / state[h].total;
        }
      }
    }
    if (splits > 1u && lane == 0u) {
      partials[partial_at(row, splits, group.z, heads, head_first + h)] = vec4<f32>(state[h].most, state[h].total, 0.0, 0.0);
    }
  }
}
