// rope_kv: turns q and k by their position and puts k and v into the cache
//   head[i], head[i + half] = head[i] cos - head[i + half] sin, head[i + half] cos + head[i] sin
//   where half is that of the dimensions that are turned; the ones behind them stay as they are
// Work.   One team owns one head of one row: query heads first, then key heads, then value heads. x of the grid covers
//         the heads, y the rows. Lanes take four pairs (i, i + half) at a time, and what is not turned as pairs too.
// Data.   qkv [rows, (heads + 2 kv_heads) * head_dim]: q is turned in place, k and v go to their caches
//         [slot, kv_heads, head_dim], slot = physical block * BLOCK + position % BLOCK. rope [positions, half] of
//         (cos, sin). vectors holds the bias, as wide as a row of qkv, and the gains of q and k, [head_dim]. The included
//         gain decides whether adapters are asked for gains of their own.
// Sums.   With QK_NORM each q and k head is first divided by its root mean square: f32 in each lane, then over the team.
// Limits. head_dim and the dimensions that are turned are multiples of 8.
// Twin.   src/model/kernels/ropeKv.ts; checked against test/support/reference/ropeKv.ts.
//#include "step"
//#include "team"
//#include "cache"
//#include "gain"

const HAS_BIAS = false;
const QK_NORM = false;

struct Params {
  heads: u32,
  kv_heads: u32,
  half4: u32, // head_dim / 8: groups of four pairs
  eps: f32, // of the q and k norms
  bias_at: u32, // in vectors, four elements each
  q_gain_at: u32,
  k_gain_at: u32,
  slot_words: u32, // see gain_own
  q_gain_word: u32, // that of k follows
  fold: u32, // of this layer, and how many there are: see cache_slot
  folds: u32,
  turned4: u32, // dimensions that are turned / 8: groups of four pairs
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> vectors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rope: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> keys: array<Cached4>;
@group(0) @binding(6) var<storage, read_write> values: array<Cached4>;

fn qkv_at(row_start: u32, i: u32) -> vec4<f32> {
  var x = qkv[row_start + i];
  if (HAS_BIAS) { x += vectors[params.bias_at + i]; }
  return x;
}

/// Where the elements of the i-th group of four pairs stand in a head, four elements each. Turned pairs come first.
fn pairs_at(i: u32) -> vec2<u32> {
  if (i < params.turned4) { return vec2<u32>(i, params.turned4 + i); }
  return vec2<u32>(params.turned4 + i, params.half4 + i);
}

/// The base's gain at `at`, or where `own` is not 0 that of the row's adapter.
fn gain4(own: u32, at: u32, i: u32) -> vec4<f32> {
  if (own != 0u) { return own_gain4(own, i); }
  return vectors[at + i];
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let head = team_index(team, group.x);
  let all_heads = params.heads + 2u * params.kv_heads;
  if (team_beyond(head, all_heads)) { return; }
  let row = group.y;
  let half4 = params.half4;
  let row_start = row * all_heads * 2u * half4;
  let first = head * 2u * half4; // of the head, within the row
  let position = row_position(row);
  let slot = cache_slot(row_blocks(row) + params.fold, params.folds, position);

  let is_query = head < params.heads;
  let is_value = head >= params.heads + params.kv_heads;

  var scale = 1.0;
  var own = 0u;
  var gain_at = params.q_gain_at;
  if (QK_NORM) {
    own = own_gain(row, params.slot_words, params.q_gain_word + select(1u, 0u, is_query));
    if (!is_query) { gain_at = params.k_gain_at; }
    var squares = vec4<f32>();
    for (var i = team_lane(team); i < 2u * half4; i += team_lanes(team)) {
      let x = qkv_at(row_start, first + i);
      squares = fma(x, x, squares);
    }
    let sum = team_sum(team, (squares.x + squares.y) + (squares.z + squares.w));
    scale = inverseSqrt(sum / f32(8u * half4) + params.eps);
  }

  for (var i = team_lane(team); i < half4; i += team_lanes(team)) {
    let at = pairs_at(i);
    var low = qkv_at(row_start, first + at.x);
    var high = qkv_at(row_start, first + at.y);
    if (is_value) {
      let to = (slot * params.kv_heads + head - params.heads - params.kv_heads) * 2u * half4;
      values[to + at.x] = to_cache(low);
      values[to + at.y] = to_cache(high);
      continue;
    }
    if (QK_NORM) {
      low = gain4(own, gain_at, at.x) * (low * scale);
      high = gain4(own, gain_at, at.y) * (high * scale);
    }
    let turn = (position * half4 + i) * 2u; // four (cos, sin) in two loads
    let a = rope[turn];
    let b = rope[turn + 1u];
    let cosines = vec4<f32>(a.x, a.z, b.x, b.z);
    let sines = vec4<f32>(a.y, a.w, b.y, b.w);
    let turned_low = low * cosines - high * sines;
    let turned_high = high * cosines + low * sines;
    if (is_query) {
      qkv[row_start + first + at.x] = turned_low;
      qkv[row_start + first + at.y] = turned_high;
    } else {
      let to = (slot * params.kv_heads + head - params.heads) * 2u * half4;
      keys[to + at.x] = to_cache(turned_low);
      keys[to + at.y] = to_cache(turned_high);
    }
  }
}
