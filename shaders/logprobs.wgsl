// logprobs: log probability and rank of the token in each record, and the likeliest tokens of its logits row
//
// Formula. logprob(id) = logits[id] - largest - log(sum over v of exp(logits[v] - largest)), of the raw logits: before
//         temperature and filters, as vLLM reports them.
// Work.   One team owns one logits row; rows that want no log probabilities leave at once. Lanes stride over the
//         vocabulary: one pass for the largest, one for the sum and the rank, and one for each likeliest token wanted.
// Order.  Likeliest first, equal ones by lower id; each pass finds the next after the one before in that order.
// Sums.   f32, by lane and then by team, in fixed order.
// Data.   records [numLogits, RECORD_WORDS]: token and status as sample.wgsl left them; then logprob, rank, and MAX_TOP
//         pairs (token, logprob).
// Limits. 4 bindings. Vocabulary below 2^24. Twin: src/model/kernels/logprobs.ts.

//#include "step"
//#include "team"

const RECORD_WORDS = 44u;

struct Params {
  vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> records: array<u32>;

// -inf, which may not be written as a constant.
fn lowest() -> f32 {
  var bits = 0xff800000u;
  return bitcast<f32>(bits);
}

@compute @workgroup_size(WORKGROUP)
fn main(team: Team, @builtin(workgroup_id) group: vec3<u32>) {
  let row = team_index(team, group.x);
  if (team_beyond(row, num_logits())) { return; }
  let wanted = step_words[logits_at(row) + 3u];
  if (wanted == 0u) { return; }
  let base = row * params.vocab;
  let record = row * RECORD_WORDS;
  let lane = team_lane(team);
  let lanes = team_lanes(team);

  var best = lowest();
  for (var id = lane; id < params.vocab; id += lanes) { best = max(best, logits[base + id]); }
  let largest = team_max(team, best);

  let token = min(records[record], params.vocab - 1u);
  let chosen = logits[base + token];
  var mass = 0.0;
  var above = 0.0;
  for (var id = lane; id < params.vocab; id += lanes) {
    let x = logits[base + id];
    mass += exp(x - largest);
    if (x > chosen) { above += 1.0; }
  }
  let log_sum = largest + log(team_sum(team, mass));
  let rank = 1u + u32(team_sum(team, above));
  if (lane == 0u) {
    records[record + 2u] = bitcast<u32>(chosen - log_sum);
    records[record + 3u] = rank;
  }

  // The one found last: the next comes after it in the order (larger logit first, then lower id).
  var last = -lowest();
  var last_id = params.vocab;
  for (var i = 0u; i + 1u < wanted; i++) {
    var next = lowest();
    var next_id = params.vocab;
    for (var id = lane; id < params.vocab; id += lanes) {
      let x = logits[base + id];
      let after = x < last || (x == last && id > last_id);
      if (after && (x > next || (x == next && id < next_id))) {
        next = x;
        next_id = id;
      }
    }
    last = team_max(team, next);
    last_id = u32(-team_max(team, -f32(select(params.vocab, next_id, next == last))));
    if (lane == 0u) {
      records[record + 4u + 2u * i] = last_id;
      records[record + 5u + 2u * i] = bitcast<u32>(last - log_sum);
    }
  }
}
