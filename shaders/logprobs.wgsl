// logprobs: log probability and rank of the token in each record, and the likeliest tokens of its logits row
//
// Formula. logprob(id) = logits[id] - largest - log(sum over v of exp(logits[v] - largest)), of the raw logits: before
//         adjustment, temperature and filters, as vLLM reports them.
// Work.   One crew owns one logits row; rows that want no log probabilities leave at once. In a pass over the row each lane
//         finds the few likeliest of its tokens; then the crew takes the likeliest of all lanes, one after the other. Only
//         when a lane has given all it found is there another pass, for what comes behind the tokens taken. One more pass
//         makes the sum and the rank.
// Order.  Likeliest first, equal ones by lower id. Tokens of probability 0 are not listed.
// Sums.   f32, by lane and then by crew, in fixed order.
// Data.   records [numLogits, RECORD_WORDS]: token and status as sample.wgsl left them; then logprob, rank, and MAX_TOP
//         pairs (token, logprob), where a token of NONE stands behind the last. Status becomes 1 where a logit is NaN or
//         infinite.
// Limits. 4 bindings. Vocabulary below 2^24. One reduction, inside the loop. Twin: src/model/sampler.ts.

//#include "step"
//#include "crew"

const RECORD_WORDS = 44u;
// Tokens a lane looks at together, which keeps as many loads on their way.
const UNROLL = 4u;
const NONE = 0xffffffffu;
// Tokens a lane finds in a pass: as many as a vector has components.
const KEEP = 4u;
// The first key that is not of a finite number.
const KEY_INFINITE = 0xff000000u;
const LOG2_E = 1.4426950408889634;

struct Params {
  vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> records: array<u32>;

// The likeliest tokens of a lane's own, best first; a key of 0 where there are no more.
struct Found {
  keys: vec4<u32>,
  ids: vec4<u32>,
}

// -inf, which may not be written as a constant.
fn lowest() -> f32 {
  var bits = 0xff800000u;
  return bitcast<f32>(bits);
}

// f32 as a u32 that compares like it: -inf is 0, -0 equals 0, and NaN and inf are KEY_INFINITE or more.
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, 0u - bits, (bits >> 31u) == 1u) - 0x00800000u;
}
fn logit_of(key: u32) -> f32 {
  let ordered = key + 0x00800000u;
  return bitcast<f32>(select(0u - ordered, ordered & 0x7fffffffu, (ordered >> 31u) == 1u));
}

// The logit of a token, or -inf behind the end of the vocabulary.
fn logit_at(base: u32, id: u32) -> f32 {
  return select(lowest(), logits[base + min(id, params.vocab - 1u)], id < params.vocab);
}

// What a lane finds behind the token with this key and id.
fn found_behind(crew: Crew, base: u32, last_key: u32, last_id: u32) -> Found {
  var found = Found(vec4<u32>(0u), vec4<u32>(NONE));
  for (var i = crew_lane(crew); i < params.vocab; i += UNROLL * crew_lanes(crew)) {
    for (var j = 0u; j < UNROLL; j++) {
      let id = i + j * crew_lanes(crew);
      let key = key_of(logit_at(base, id));
      let behind = key < last_key || (key == last_key && id > last_id);
      // It takes the place of the first it is ahead of; that and the ones behind move on.
      let ahead = vec4<bool>(behind) & (vec4<u32>(key) > found.keys);
      let moved = vec4<bool>(false, ahead.xyz);
      found.keys = select(found.keys, select(vec4<u32>(key), vec4<u32>(key, found.keys.xyz), moved), ahead);
      found.ids = select(found.ids, select(vec4<u32>(id), vec4<u32>(id, found.ids.xyz), moved), ahead);
    }
  }
  return found;
}

// Mass relative to the largest, and how many have a larger logit than `chosen`.
fn weighed(crew: Crew, base: u32, largest: f32, chosen: f32) -> vec2<f32> {
  var mass = 0.0;
  var above = 0.0;
  for (var i = crew_lane(crew); i < params.vocab; i += UNROLL * crew_lanes(crew)) {
    for (var j = 0u; j < UNROLL; j++) {
      let x = logit_at(base, i + j * crew_lanes(crew));
      mass += exp2((x - largest) * LOG2_E);
      above += select(0.0, 1.0, x > chosen);
    }
  }
  return vec2<f32>(mass, above);
}

const FIND = 0u;
const WEIGH = 1u;
const TAKE = 2u;

@compute @workgroup_size(WORKGROUP)
fn main(crew: Crew, @builtin(workgroup_id) group: vec3<u32>) {
  let row = crew_index(crew, group.x);
  if (crew_beyond(row, num_logits())) { return; }
  let wanted = step_words[logits_at(row) + 3u];
  if (wanted == 0u) { return; }
  let base = row * params.vocab;
  let record = row * RECORD_WORDS;
  let lane = crew_lane(crew);
  let chosen = logits[base + min(records[record], params.vocab - 1u)];

  var phase = FIND;
  var largest = 0.0;
  var log_sum = 0.0;
  var last_key = NONE;
  var last_id = 0u;
  var num_taken = 0u;
  var found: Found;
  var num_given = 0u; // of those this lane found
  loop {
    var weight = vec2<f32>(0.0);
    if (phase == FIND) {
      found = found_behind(crew, base, last_key, last_id);
      num_given = 0u;
    } else if (phase == WEIGH) {
      weight = weighed(crew, base, largest, chosen);
    }
    let empty_handed = select(0.0, 1.0, num_given == KEEP);
    let all = crew_tally(
      crew, Tally(found.keys.x, found.ids.x, vec4<f32>(empty_handed, weight.y, 0.0, 0.0), vec4<f32>(weight.x, 0.0, 0.0, 0.0)),
    );
    if (phase == WEIGH) {
      log_sum = largest + log(all.masses.x);
      if (lane == 0u) {
        records[record + 2u] = bitcast<u32>(chosen - log_sum);
        records[record + 3u] = 1u + u32(all.counts.y);
      }
      phase = TAKE;
    } else if (last_key == NONE) {
      if (all.best >= KEY_INFINITE) {
        if (lane == 0u) { records[record + 1u] = 1u; }
        break;
      }
      largest = logit_of(all.best);
      last_key = KEY_INFINITE;
      phase = WEIGH;
      continue;
    } else if (all.counts.x > 0.0) {
      phase = FIND;
      continue;
    }
    if (num_taken + 1u >= wanted) { break; }
    if (lane == 0u) {
      records[record + 4u + 2u * num_taken] = select(all.id, NONE, all.best == 0u);
      records[record + 5u + 2u * num_taken] = bitcast<u32>(logit_of(all.best) - log_sum);
    }
    last_key = all.best;
    last_id = all.id;
    num_taken++;
    if (found.ids.x == all.id && all.best != 0u) {
      found = Found(vec4<u32>(found.keys.yzw, 0u), vec4<u32>(found.ids.yzw, NONE));
      num_given++;
    }
    phase = TAKE;
  }
}
