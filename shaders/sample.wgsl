// sample: records[i].token = the next token of logits row i
//
// Order.  As vLLM's: banned ids, temperature, min-p, top-k, top-p, then one draw. Ties go to the lower id.
// Work.   One team owns one logits row; its lanes stride over the vocabulary, pass after pass. Nothing is sorted: tokens
//         are ordered by (logit, then lower id), and top-k and top-p each look for their place in that order by bisection,
//         first over the bits of the logit, then, if several tokens share them, over ids. A greedy row costs one pass, a
//         draw one more, and top-k and top-p a few dozen each at most.
// Draw.   Gumbel-max: the kept token with the largest logit / T - log(E), where E is exponential and comes from a hash of
//         (seed, position, id). The same request draws the same tokens alone, in any batch, and after preemption.
// Sums.   Counts are whole numbers below 2^24, exact in f32. Masses are f32, by lane and then by team, in fixed order.
// Data.   logits [numLogits, vocab]; records [numLogits, RECORD_WORDS]: token, status (1: the row holds NaN, or nothing is
//         left to draw), then what logprobs.wgsl writes. Rows that only score a known token copy it.
// Limits. 4 bindings. Vocabulary below 2^24. Each reduction stands in one place, inside a loop: shaders with many barriers
//         take software devices a minute to compile.
// Twin.   src/model/sampler.ts; checked against test/support/reference/sample.ts.

//#include "step"
//#include "team"

const RECORD_WORDS = 44u;
const NEVER = 0xffffffffu;

struct Params {
  vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> records: array<u32>;

// One LogitsRow of the step's tables.
struct Wanted {
  temperature: f32,
  top_k: u32,
  top_p: f32,
  min_p: f32,
  seed: u32,
  position: u32,
  banned: u32,
  num_banned: u32,
}

// A place in the order of tokens: it is reached by those with a larger key, and at `key` by ids up to `id`.
struct Place {
  key: u32,
  id: u32,
}

// f32 bits in an order that unsigned comparison respects: -inf < -1 < -0 < 0 < 1 < inf.
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

// -inf, which may not be written as a constant.
fn lowest() -> f32 {
  var bits = 0xff800000u;
  return bitcast<f32>(bits);
}

fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The logit of a token, or -inf where it is banned.
fn logit(base: u32, id: u32, wanted: Wanted) -> f32 {
  var x = logits[base + id];
  for (var i = 0u; i < wanted.num_banned; i++) {
    if (step_words[wanted.banned + i] == id) {
      x = lowest();
    }
  }
  return x;
}

fn reaches(key: u32, id: u32, place: Place) -> bool {
  return key > place.key || (key == place.key && id <= place.id);
}

// PCG output permutation as a hash (M. Jarzynski and M. Olano, Hash Functions for GPU Rendering, JCGT 9(3), 2020).
fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

// A standard exponential, exact in its small values, which are the ones that win.
fn exponential(seed: u32, position: u32, id: u32) -> f32 {
  let bits = pcg(pcg(pcg(seed) ^ position) ^ id);
  let v = (f32(bits) + 0.5) * 2.3283064365386963e-10; // 2^-32
  return select(-log(max(1.0 - v, 5.9604645e-8)), v * (1.0 + v * (0.5 + v * 0.33333334)), v < 0.01);
}

// How many tokens reach `place`, and with `weigh` their mass relative to the likeliest token's.
fn measure(team: Team, base: u32, wanted: Wanted, place: Place, weigh: bool, largest: f32) -> vec2<f32> {
  var count = 0.0;
  var mass = 0.0;
  for (var id = team_lane(team); id < params.vocab; id += team_lanes(team)) {
    let x = logit(base, id, wanted);
    if (reaches(key_of(x), id, place)) {
      count += 1.0;
      if (weigh) { mass += exp((x - largest) / wanted.temperature); }
    }
  }
  return vec2<f32>(team_agree(team, team_sum(team, count)), team_agree(team, team_sum(team, mass)));
}

// The place that top-k and top-p leave of those that reach `from`: the first one to which k tokens reach, then the first
// one to which top_p of the mass reaches. `top` is the key of the likeliest token.
fn filtered(team: Team, base: u32, wanted: Wanted, from_place: Place, top: u32, largest: f32) -> Place {
  var place = from_place;
  for (var criterion = 0u; criterion < 2u; criterion++) {
    let by_mass = criterion == 1u;
    if (select(wanted.top_k == 0u || wanted.top_k >= params.vocab, wanted.top_p >= 1.0, by_mass)) { continue; }
    var goal = f32(wanted.top_k);
    // What reaches `low` suffices, what reaches `high` does not; `low_count` and `high_count` are how many do.
    var low = place.key;
    var high = top + 1u;
    var low_count = 0.0;
    var high_count = 0.0;
    var low_id = 0u; // with `high_id` the bounds of the bisection over the ids that share the key `low`
    var high_id = select(params.vocab - 1u, place.id, place.id < params.vocab);
    var probe = place; // the first pass measures all there is
    var phase = 0u; //    0: all, 1: keys, 2: ids
    loop {
      let reached = measure(team, base, wanted, probe, by_mass, largest);
      let amount = select(reached.x, reached.y, by_mass);
      if (phase == 0u) {
        if (by_mass) { goal = max(wanted.top_p * amount, 1e-30); } // above nothing: one token stays even with top_p = 0
        if (amount <= goal && !by_mass) { break; }
        low_count = reached.x;
        phase = 1u;
      } else if (phase == 1u) {
        if (amount >= goal) {
          low = probe.key;
          low_count = reached.x;
          high_id = params.vocab - 1u;
        } else {
          high = probe.key;
          high_count = reached.x;
        }
      } else if (amount >= goal) {
        high_id = probe.id;
      } else {
        low_id = probe.id + 1u;
      }
      if (phase == 1u) {
        place = Place(low, high_id);
        if (low_count == goal && !by_mass) { break; }
        if (high - low > 1u) {
          probe = Place(low + (high - low) / 2u, NEVER);
          continue;
        }
        if (low_count - high_count <= 1.0) { break; }
        phase = 2u;
      }
      place = Place(low, high_id);
      if (low_id >= high_id) { break; }
      probe = Place(low, (low_id + high_id) / 2u);
    }
  }
  return place;
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let row = team_index(team, group.x);
  if (team_beyond(row, num_logits())) { return; }
  let at = logits_at(row);
  let base = row * params.vocab;
  if (step_words[at + 1u] == 1u) { // score: the token is known
    if (team_lane(team) == 0u) {
      records[row * RECORD_WORDS] = step_words[at + 2u];
      records[row * RECORD_WORDS + 1u] = 0u;
    }
    return;
  }
  let wanted = Wanted(
    bitcast<f32>(step_words[at + 4u]), step_words[at + 5u], bitcast<f32>(step_words[at + 6u]),
    bitcast<f32>(step_words[at + 7u]), step_words[at + 8u], step_words[at + 9u], step_words[at + 10u],
    step_words[at + 11u],
  );

  // First the likeliest token; then, unless that is all that was asked, the winner of the draw among those kept.
  var token = params.vocab;
  var failed = false;
  var largest = 0.0;
  var place = Place(key_of(bitcast<f32>(0xff7fffffu)), NEVER); // from the lowest finite value: all but the banned
  for (var drawing = 0u; drawing < 2u; drawing++) {
    var best = lowest();
    var best_id = params.vocab;
    var bad = 0.0;
    for (var id = team_lane(team); id < params.vocab; id += team_lanes(team)) {
      var score = logit(base, id, wanted);
      if (is_nan(score)) { bad += 1.0; }
      if (drawing == 1u) {
        if (!reaches(key_of(score), id, place)) { continue; }
        score = (score - largest) / wanted.temperature - log(exponential(wanted.seed, wanted.position, id));
      }
      if (score > best) {
        best = score;
        best_id = id;
      }
    }
    let most = team_agree(team, team_max(team, best));
    token = u32(team_agree(team, -team_max(team, -f32(select(params.vocab, best_id, best == most)))));
    if (drawing == 1u) { break; }
    failed = team_agree(team, team_sum(team, bad)) > 0.0 || token >= params.vocab;
    if (failed || wanted.temperature == 0.0) { break; }
    largest = most;
    let top = key_of(largest);
    if (wanted.min_p > 0.0) {
      place.key = max(place.key, key_of(largest + wanted.temperature * log(wanted.min_p)));
    }
    place = filtered(team, base, wanted, place, top, largest);
  }
  if (team_lane(team) == 0u) {
    records[row * RECORD_WORDS] = token;
    records[row * RECORD_WORDS + 1u] = select(0u, 1u, failed);
  }
}
