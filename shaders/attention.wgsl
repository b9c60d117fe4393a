// attention: out[row, head] = softmax(scale * q . k over the keys the row may see) . v
// Work.   One team owns ROWS neighbouring rows of one sequence and HEADS query heads that share a key/value head:
//         QUERIES that all look at the same keys and values, so that each is read once for all of them. It walks the
//         positions in aligned groups of as many as it has lanes. GROUPS groups at once, each lane scores one position of
//         each; then, group by group, the lanes share their weights and each sums values over its own elements of the
//         head. x of the grid covers the key/value heads times the teams that each takes, y the parts of the listed runs
//         of rows, and z the splits when the step has several. Teams of a workgroup lie over neighbouring parts: they read
//         the same at nearly the same time, so that the cache of a core gives to all of them what one has read.
// Data.   q: the first part of each row of qkv, [rows, (heads + 2 kv_heads) * head_dim]; keys, values [slot, kv_heads,
//         head_dim] in blocks of BLOCK slots that the rows' block table names; out [rows, heads * head_dim], as
//         activations are stored; partials [rows, splits, heads] of (m, l, -, -) and the head's unnormalised sum. Lanes
//         without a position of their own are given a valid one, so that what lies in an unused slot is never read; what
//         a row does not see is never multiplied for it, so that no token can spoil those before it.
// Sums.   Online softmax in f32 over each SPLIT positions, then the splits merged in order. One team does both when the
//         step counts one split; else each split has a team and attention_merge completes them in the same arithmetic,
//         so results depend neither on the number of splits, nor on chunking, nor on the other rows: a group that a row
//         sees nothing of leaves its sums as they are.
// Limits. head_dim is a multiple of 4; SPLIT is a multiple of the lanes.
// Twin.   src/model/kernels/attention.ts; checked against test/support/reference/attention.ts.
//#include "step"
//#include "team"
//#include "cache"
//#include "attention_state"
//#include "activations"

const RUNS = 10u; // word of the header that says where the list of runs is
const PARTS = 1u; // teams over the rows of a run
const ROWS = 1u; // rows of a team
const HEADS = 3u; // query heads of a team
const GROUPS = 1u; // groups of positions that are scored at once
const LANE4 = 2u; // head_dim / 4 over the fewest lanes, rounded up
const SPLIT = 256u;

const QUERIES = ROWS * HEADS;
const QUERY_SLOTS = QUERIES; // behind a weight for each query

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
  let part = team_index(team, group.y);
  if (team_beyond(part, num_runs(RUNS) * PARTS)) { return; }
  let run = run_at(RUNS, part / PARTS);
  let row_first = run.row_start + part % PARTS * ROWS;
  let row_end = min(row_first + ROWS, run.row_start + run.row_count);
  if (row_first >= row_end) { return; }
  let lane = team_lane(team);
  let lanes = team_lanes(team);
  let kv_head = group.x / teams;
  let share_first = group.x % teams * HEADS;
  let heads = params.kv_heads * SHARE;
  let blocks = row_blocks(row_first) + params.fold;

  // What each row sees, [begins, ends), and where its queries are. Superfluous rows do the last one again, and the last
  // team of a key/value head may do a head twice.
  var begins: array<u32, ROWS>;
  var ends: array<u32, ROWS>;
  var queries: array<u32, QUERIES>;
  for (var n = 0u; n < ROWS; n++) {
    let row = min(row_first + n, row_end - 1u);
    let position = row_position(row_first) + row - row_first;
    begins[n] = window_begin(position, params.window);
    ends[n] = position + 1u;
    for (var h = 0u; h < HEADS; h++) {
      let head = kv_head * SHARE + min(share_first + h, SHARE - 1u);
      queries[n * HEADS + h] = (row * (heads + 2u * params.kv_heads) + head) * HEAD4;
    }
  }
  let begin = begins[0];
  let end = ends[ROWS - 1u];

  let splits = num_splits();
  var split_first = begin / SPLIT;
  var split_end = (end - 1u) / SPLIT + 1u;
  if (splits > 1u) {
    if (group.z < split_first || group.z >= split_end) { return; }
    split_first = group.z;
    split_end = split_first + 1u;
  }

  // Each lane holds its elements of the queries.
  for (var q = 0u; q < QUERIES; q++) {
    for (var i = 0u; i < LANE4; i++) {
      let mine = qkv[queries[q] + min(lane + i * lanes, HEAD4 - 1u)];
      let slot = QUERY_SLOTS + (q * LANE4 + i) * 4u;
      team_put(team, slot, mine.x);
      team_put(team, slot + 1u, mine.y);
      team_put(team, slot + 2u, mine.z);
      team_put(team, slot + 3u, mine.w);
    }
  }
  team_sync();

  var merged: array<State, QUERIES>; // over the splits done so far; their sums of values wait in partials
  for (var q = 0u; q < QUERIES; q++) { merged[q] = State(LOWEST, 0.0); }
  // 0, but the compiler does not know: loops that it can count are unrolled, and take half a minute to compile on lavapipe.
  let none = select(0u, 1u, params.head4 != HEAD4);

  for (var split = split_first; split < split_end; split++) {
    let seen_begin = max(begin, split * SPLIT);
    let seen_end = min(end, (split + 1u) * SPLIT);
    var most: array<f32, QUERIES>;
    for (var q = 0u; q < QUERIES; q++) { most[q] = LOWEST; }
    var total = array<f32, QUERIES>(); // of this lane's positions
    var sums = array<vec4<f32>, QUERIES * LANE4>();

    for (var at = seen_begin - seen_begin % lanes; at < seen_end; at += lanes * GROUPS) {
      var key: array<u32, GROUPS>;
      for (var g = 0u; g < GROUPS; g++) {
        let position = clamp(at + g * lanes + lane, seen_begin, seen_end - 1u);
        key[g] = (cache_slot(blocks, params.folds, position) * params.kv_heads + kv_head) * HEAD4;
      }
      // [GROUPS, QUERIES]. Dawn 0.6.2 clears a var without an initialiser once, not in every turn of a loop.
      var scores = array<f32, GROUPS * QUERIES>();
      for (var i = 0u; i < LANE4; i++) {
        let k_end = min((i + 1u) * lanes, HEAD4);
        for (var k = i * lanes + none; k < k_end; k++) {
          var ks: array<vec4<f32>, GROUPS>;
          for (var g = 0u; g < GROUPS; g++) { ks[g] = from_cache(keys[key[g] + k]); }
          for (var q = 0u; q < QUERIES; q++) {
            let slot = QUERY_SLOTS + (q * LANE4 + i) * 4u;
            let qs = vec4<f32>(
              team_get(team, slot, k - i * lanes), team_get(team, slot + 1u, k - i * lanes),
              team_get(team, slot + 2u, k - i * lanes), team_get(team, slot + 3u, k - i * lanes),
            );
            for (var g = 0u; g < GROUPS; g++) {
              let j = g * QUERIES + q;
              scores[j] = fma(qs.w, ks[g].w, fma(qs.z, ks[g].z, fma(qs.y, ks[g].y, fma(qs.x, ks[g].x, scores[j]))));
            }
          }
        }
      }

      var base = at;
      loop {
        for (var n = 0u; n < ROWS; n++) {
          let sees = base + lane >= begins[n] && base + lane < ends[n];
          let sees_any = ROWS == 1u || (base + lanes > begins[n] && base < ends[n]);
          for (var h = 0u; h < HEADS; h++) {
            let q = n * HEADS + h;
            let score = select(LOWEST, scores[q] * params.scale, sees);
            let more = max(most[q], team_max(team, score));
            let shrink = select(1.0, exp(most[q] - more), sees_any); // exp(0) need not be 1
            let weight = select(0.0, exp(score - more), sees);
            most[q] = more;
            total[q] = fma(total[q], shrink, weight);
            for (var i = 0u; i < LANE4; i++) { sums[q * LANE4 + i] *= shrink; }
            team_put(team, q, weight);
          }
        }
        // The next group's scores move up, so that no register is named by a variable.
        for (var j = QUERIES; j < GROUPS * QUERIES; j++) { scores[j - QUERIES] = scores[j]; }
        team_sync();
        let group_end = min(seen_end, base + lanes);
        for (var position = max(seen_begin, base); position < group_end; position++) {
          let value = (cache_slot(blocks, params.folds, position) * params.kv_heads + kv_head) * HEAD4;
          var vs: array<vec4<f32>, LANE4>;
          for (var i = 0u; i < LANE4; i++) { vs[i] = from_cache(values[value + min(lane + i * lanes, HEAD4 - 1u)]); }
          for (var n = 0u; n < ROWS; n++) {
            if (ROWS > 1u && (position < begins[n] || position >= ends[n])) { continue; }
            for (var h = 0u; h < HEADS; h++) {
              let weight = vec4<f32>(team_get(team, n * HEADS + h, position - base));
              for (var i = 0u; i < LANE4; i++) {
                let j = (n * HEADS + h) * LANE4 + i;
                sums[j] = fma(weight, vs[i], sums[j]);
              }
            }
          }
        }
        team_sync();
        base += lanes;
        if (GROUPS == 1u || base >= min(seen_end, at + lanes * GROUPS)) { break; } // with one group there is no loop
      }
    }

    for (var q = 0u; q < QUERIES; q++) {
      let mine = State(most[q], team_sum(team, total[q]));
      let n = q / HEADS;
      let row = row_first + n;
      let split_last = (ends[n] - 1u) / SPLIT;
      // Rows that are superfluous, or see nothing of this split.
      if (row >= row_end || split < begins[n] / SPLIT || split > split_last) { continue; }
      var state = merged[q]; // no pointer into an array: naga 29 dies of it ("is not cached"; Deno 2.9.6, 2026-11-22)
      let factors = merge(&state, mine);
      merged[q] = state;
      if (share_first + q % HEADS >= SHARE) { continue; }
      let head = kv_head * SHARE + share_first + q % HEADS;
      let at = partial_at(row, splits, group.z, heads, head) + 1u;
      for (var i = 0u; i < LANE4; i++) {
        let d = lane + i * lanes;
        if (d >= HEAD4) { continue; }
        var sum = sums[q * LANE4 + i];
        if (splits == 1u && split > begins[n] / SPLIT) { sum = merge_sum(factors, partials[at + d], sum); }
        if (splits > 1u || split < split_last) {
          partials[at + d] = sum;
        } else {
          out[(row * heads + head) * HEAD4 + d] = to_activation(sum / merged[q].total);
        }
      }
      if (splits > 1u && lane == 0u) { partials[at - 1u] = vec4<f32>(mine.most, mine.total, 0.0, 0.0); }
    }
  }
}
