// attention: out[row, head] = softmax(scale * q . k over the keys the row may see) . v
// Work.   One team owns one row and up to HEADS query heads that share a key/value head. It walks the row's positions in
//         aligned groups of as many as it has lanes: each lane scores one position, then the lanes share their weights and
//         each sums values over its own elements of the head. x of the grid covers the key/value heads times the teams
//         that each takes, y the rows, and z the splits when the step has several.
// Data.   q: the first part of each row of qkv, [rows, (heads + 2 kv_heads) * head_dim]; keys, values [slot, kv_heads,
//         head_dim] in blocks of BLOCK slots that the row's block table names; out [rows, heads * head_dim], as
//         activations are stored; partials [rows, splits, heads] of (m, l, -, -) and the head's unnormalised sum. Lanes
//         without a position of their own are given a valid one, so that what lies in an unused slot is never read.
// Sums.   Online softmax in f32 over each SPLIT positions, then the splits merged in order. One team does both when the
//         step counts one split; else each split has a team and attention_merge completes them in the same arithmetic,
//         so results depend neither on the number of splits, nor on chunking, nor on the other rows.
// Limits. head_dim is a multiple of 4; SPLIT is a multiple of the lanes.
// Twin.   src/model/kernels/attention.ts; checked against test/support/reference/attention.ts.
//#include "step"
//#include "team"
//#include "cache"
//#include "attention_state"
//#include "activations"

const HEADS = 3u; // query heads of a team
const LANE4 = 2u; // head_dim / 4 over the fewest lanes, rounded up
const SPLIT = 256u;

const QUERY_SLOTS = HEADS; // behind a weight for each head

struct Params {
  kv_heads: u32,
  window: u32, // positions a row sees, itself included; 0: all
  scale: f32,
  head4: u32, // HEAD4 again
  fold: u32, // of this layer, and how many there are: see cache_slot
  folds: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> keys: array<Cached4>;
@group(0) @binding(4) var<storage, read> values: array<Cached4>;
@group(0) @binding(5) var<storage, read_write> out: array<Activation4>;
@group(0) @binding(6) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let teams = (SHARE + HEADS - 1u) / HEADS; // of a key/value head
  let index = team_index(team, group.x);
  if (team_beyond(index, params.kv_heads * teams)) { return; }
  let row = group.y;
  let lane = team_lane(team);
  let lanes = team_lanes(team);
  let kv_head = index / teams;
  let share_first = index % teams * HEADS;
  let heads = params.kv_heads * SHARE;
  let head_first = kv_head * SHARE + share_first;
  let blocks = row_blocks(row) + params.fold;
  let position = row_position(row);
  let begin = window_begin(position, params.window);

  let splits = num_splits();
  var split_first = begin / SPLIT;
  var split_end = position / SPLIT + 1u;
  if (splits > 1u) {
    if (group.z < split_first || group.z >= split_end) { return; }
    split_first = group.z;
    split_end = split_first + 1u;
  }

  // Each lane holds its elements of the queries; the last team of a key/value head may do a head twice.
  for (var h = 0u; h < HEADS; h++) {
    let head = kv_head * SHARE + min(share_first + h, SHARE - 1u);
    let start = (row * (heads + 2u * params.kv_heads) + head) * HEAD4;
    for (var i = 0u; i < LANE4; i++) {
      let q = qkv[start + min(lane + i * lanes, HEAD4 - 1u)];
      let slot = QUERY_SLOTS + (h * LANE4 + i) * 4u;
      team_put(team, slot, q.x);
      team_put(team, slot + 1u, q.y);
      team_put(team, slot + 2u, q.z);
      team_put(team, slot + 3u, q.w);
    }
  }
  team_sync();

  var merged: array<State, HEADS>; // over the splits done so far; their sums of values wait in partials
  for (var h = 0u; h < HEADS; h++) { merged[h] = State(LOWEST, 0.0); }
  // 0, but the compiler does not know: loops that it can count are unrolled, and take half a minute to compile on lavapipe.
  let none = select(0u, 1u, params.head4 != HEAD4);

  for (var split = split_first; split < split_end; split++) {
    let first = max(begin, split * SPLIT);
    let last = min(position, split * SPLIT + SPLIT - 1u);
    var most: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { most[h] = LOWEST; }
    var total = array<f32, HEADS>(); // of this lane's positions
    var part = array<vec4<f32>, HEADS * LANE4>();

    for (var at = first - first % lanes; at <= last; at += lanes) {
      let seen = at + lane >= first && at + lane <= last;
      let key = (cache_slot(blocks, params.folds, clamp(at + lane, first, last)) * params.kv_heads + kv_head) * HEAD4;
      var scores = array<f32, HEADS>(); // Dawn 0.6.2 clears a var without an initialiser once, not in every turn of a loop
      for (var i = 0u; i < LANE4; i++) {
        let end = min((i + 1u) * lanes, HEAD4);
        for (var k = i * lanes + none; k < end; k++) {
          let kv = from_cache(keys[key + k]);
          for (var h = 0u; h < HEADS; h++) {
            let slot = QUERY_SLOTS + (h * LANE4 + i) * 4u;
            let q = vec4<f32>(
              team_get(team, slot, k - i * lanes), team_get(team, slot + 1u, k - i * lanes),
              team_get(team, slot + 2u, k - i * lanes), team_get(team, slot + 3u, k - i * lanes),
            );
            scores[h] = fma(q.w, kv.w, fma(q.z, kv.z, fma(q.y, kv.y, fma(q.x, kv.x, scores[h]))));
          }
        }
      }
      for (var h = 0u; h < HEADS; h++) {
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
        let value = (cache_slot(blocks, params.folds, seen_at) * params.kv_heads + kv_head) * HEAD4;
        var weights: array<f32, HEADS>;
        for (var h = 0u; h < HEADS; h++) { weights[h] = team_get(team, h, seen_at - at); }
        for (var i = 0u; i < LANE4; i++) {
          let v = from_cache(values[value + min(lane + i * lanes, HEAD4 - 1u)]);
          for (var h = 0u; h < HEADS; h++) { part[h * LANE4 + i] = fma(vec4<f32>(weights[h]), v, part[h * LANE4 + i]); }
        }
      }
      team_sync();
    }

    for (var h = 0u; h < HEADS; h++) {
      let mine = State(most[h], team_sum(team, total[h]));
      var state = merged[h]; // no pointer into an array: naga 29 dies of it ("is not cached"; Deno 2.9.6, 2026-11-22)
      let factors = merge(&state, mine);
      merged[h] = state;
      let head = head_first + h;
      if (share_first + h >= SHARE) { continue; }
      let at = partial_at(row, splits, group.z, heads, head) + 1u;
      for (var i = 0u; i < LANE4; i++) {
        let d = lane + i * lanes;
        if (d >= HEAD4) { continue; }
        var sum = part[h * LANE4 + i];
        if (split > split_first) { sum = merge_sum(factors, partials[at + d], sum); }
        if (splits > 1u || split + 1u < split_end) {
          partials[at + d] = sum;
        } else {
          out[(row * heads + head) * HEAD4 + d] = to_activation(sum / merged[h].total);
        }
      }
      if (splits > 1u && lane == 0u) { partials[at - 1u] = vec4<f32>(mine.most, mine.total, 0.0, 0.0); }
    }
  }
}
