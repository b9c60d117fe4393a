// sample: records[row].token = the next token of a row of logits
//
// Order.  As vLLM's: temperature, min-p, top-k, top-p, then one draw. Ties go to the lower id. What changes the logits
//         themselves comes before, in adjust.wgsl, which leaves an adjusted copy of the rows concerned.
// Draw.   Gumbel-max in its product form: of the tokens kept, the one with the largest weight / E, where weight =
//         exp((logit - largest) / temperature) and E is exponential, from a hash of (seed, position, id). The same request
//         draws the same tokens alone, in any batch, and after preemption.
// Filters. Nothing is sorted and no threshold is looked for. Tokens stand in an order (larger logit first, then lower id);
//         top-k and top-p keep its beginning. So a winner drawn from more than is kept is the winner of what is kept if
//         it is kept itself, and that takes one pass to know: it counts the tokens before it and adds up their weights.
//         If it is not kept, the draw is repeated among those before it; the expected number of repeats is the logarithm
//         of (mass drawn from / mass kept). Where both filters act, top-p needs the mass of the k likeliest. The pass
//         measures three more places, between which that mass lies, and is repeated, with the places moved closer, only
//         while the verdict depends on where.
// Work.   One crew looks through one row of logits, pass after pass: greedy one, a draw two, filters usually three. Every
//         pass brings the end nearer, but no proof says how much: after MAX_PASSES it is the likeliest token.
// Sums.   Counts are whole numbers below 2^24, exact in f32. Masses are f32, by lane and then by crew, in fixed order.
// Data.   logits [rows, vocab]: the raw rows of the step, or the adjusted ones of this round, as params says. counts
//         [slots, vocab]: tokens of sequences under penalties (see adjust.wgsl); a token drawn for one is added.
//         records [numLogits, RECORD_WORDS]: token, status (1: a logit is NaN or infinite, or no token may be drawn), then
//         what logprobs.wgsl writes. Rows that only score a known token copy it. What is drawn for a sequence goes into
//         its register, with ENDED if it is one of the row's stop ids or nothing could be drawn. A row that was fed by a
//         sequence that had ended draws too, but leaves nothing except status 2.
// Limits. 6 bindings. Vocabulary below 2^24. One reduction, inside the loop: shaders with many barriers take software
//         devices a minute to compile.
// Twin.   src/model/sampler.ts; checked against test/support/reference/sample.ts.

//#include "step"
//#include "registers"
//#include "crew"

const RECORD_WORDS = 44u;
// Tokens a lane looks at together, which keeps as many loads on their way.
const UNROLL = 4u;
const MAX_PASSES = 512u;
const LOWEST_FINITE = -0x1.fffffep+127f;
// Keys of -inf, and of the first thing that is not a finite number above it.
const KEY_LOWEST = 0u;
const KEY_INFINITE = 0xff000000u;

struct Params {
  vocab: u32,
  // Whether `logits` holds adjusted rows, and the first of them.
  adjusted: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> records: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> registers: array<u32>;

// How to draw: what LogitsRow of the step's tables says, in the form the passes use.
struct Wanted {
  // log2(e) / temperature, or 0 for greedy.
  sharpness: f32,
  // Logits further than this below the largest are dropped by min-p.
  reach: f32,
  top_k: f32,
  top_p: f32,
  // Of seed and position.
  hash: u32,
}

// A place in the order of tokens: those with a larger logit are before it, and with the same one those with a lower id.
struct Place {
  logit: f32,
  id: u32,
}

// How many tokens have at least this logit, and their weight.
struct Level {
  logit: f32,
  count: f32,
  mass: f32,
}

// -inf, which may not be written as a constant.
fn lowest() -> f32 {
  var bits = 0xff800000u;
  return bitcast<f32>(bits);
}

// f32 as a u32 that compares like it: -inf is KEY_LOWEST, -0 equals 0, and NaN and inf are KEY_INFINITE or more.
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

fn is_before(x: f32, id: u32, place: Place) -> bool {
  return x > place.logit || (x == place.logit && id < place.id);
}

// PCG output permutation as a hash (M. Jarzynski and M. Olano, Hash Functions for GPU Rendering, JCGT 9(3), 2020).
fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

// A standard exponential, exact in its small values, which are the ones that win.
fn exponential(hash: u32, id: u32) -> f32 {
  let v = (f32(pcg(hash ^ id)) + 0.5) * 0x1p-32f;
  return select(-log(max(1.0 - v, 0x1p-24f)), v * (1.0 + v * (0.5 + v * 0.33333334)), v < 0.01);
}

// The likeliest token, by key.
fn likeliest(crew: Crew, base: u32) -> Tally {
  var best = KEY_LOWEST;
  var best_id = params.vocab;
  for (var i = crew_lane(crew); i < params.vocab; i += UNROLL * crew_lanes(crew)) {
    for (var j = 0u; j < UNROLL; j++) {
      let id = i + j * crew_lanes(crew);
      let key = key_of(logit_at(base, id));
      let ahead = key > best;
      best = select(best, key, ahead);
      best_id = select(best_id, id, ahead);
    }
  }
  return Tally(best, best_id, vec4<f32>(0.0), vec4<f32>(0.0));
}

// The winner of a draw among the tokens before `end`; how many they are, and their mass.
fn drawn(crew: Crew, base: u32, wanted: Wanted, end: Place, largest: f32) -> Tally {
  var best = 0.0;
  var best_id = params.vocab;
  var count = 0.0;
  var mass = 0.0;
  for (var i = crew_lane(crew); i < params.vocab; i += UNROLL * crew_lanes(crew)) {
    for (var j = 0u; j < UNROLL; j++) {
      let id = i + j * crew_lanes(crew);
      let x = logit_at(base, id);
      let takes_part = is_before(x, id, end);
      let weight = select(0.0, exp2((x - largest) * wanted.sharpness), takes_part);
      count += select(0.0, 1.0, takes_part);
      mass += weight;
      let score = weight / exponential(wanted.hash, id);
      let ahead = score > best;
      best = select(best, score, ahead);
      best_id = select(best_id, id, ahead);
    }
  }
  // The bits of positive numbers are in their order.
  return Tally(bitcast<u32>(best), best_id, vec4<f32>(count, 0.0, 0.0, 0.0), vec4<f32>(mass, 0.0, 0.0, 0.0));
}

// Count and mass of the tokens before `winner`, and of those that have at least the logits `levels`.
fn measured(crew: Crew, base: u32, wanted: Wanted, winner: Place, levels: vec3<f32>, largest: f32) -> Tally {
  var count = vec4<f32>(0.0);
  var mass = vec4<f32>(0.0);
  for (var i = crew_lane(crew); i < params.vocab; i += UNROLL * crew_lanes(crew)) {
    for (var j = 0u; j < UNROLL; j++) {
      let id = i + j * crew_lanes(crew);
      let x = logit_at(base, id);
      let weight = exp2((x - largest) * wanted.sharpness);
      let within = vec4<bool>(is_before(x, id, winner), x >= levels.x, x >= levels.y, x >= levels.z);
      count += select(vec4<f32>(0.0), vec4<f32>(1.0), within);
      mass += select(vec4<f32>(0.0), vec4<f32>(weight), within);
    }
  }
  return Tally(0u, 0u, count, mass);
}

// Three levels that divide what lies between two, all different while there are so many.
fn levels_between(low: f32, high: f32) -> vec3<f32> {
  let least = key_of(low) + 1u;
  let most = max(key_of(high) - 1u, least);
  let middle = mix(vec3<f32>(low), vec3<f32>(high), vec3<f32>(0.25, 0.5, 0.75));
  return vec3<f32>(
    logit_of(clamp(key_of(middle.x), least, most)), logit_of(clamp(key_of(middle.y), least, most)),
    logit_of(clamp(key_of(middle.z), least, most)),
  );
}

// Leaves what was drawn in the register of the row's sequence, if it has one.
fn keep(at: u32, token: u32, failed: bool) {
  let kept_in = step_words[at + 11u];
  if (kept_in == 0u) { return; }
  var ended = failed;
  let stop_ids = step_words[at + 12u];
  for (var i = 0u; i < step_words[at + 13u]; i++) { ended = ended || step_words[stop_ids + i] == token; }
  registers[kept_in - 1u] = token | select(0u, ENDED, ended);
}

// Statuses of a record.
const DRAWN = 0u;
const FAILED = 1u;
const VOID = 2u;

const LIKELIEST = 0u;
const DRAW = 1u;
const CHECK = 2u;

@compute @workgroup_size(WORKGROUP)
fn main(crew: Crew, @builtin(workgroup_id) group: vec3<u32>) {
  let index = crew_index(crew, group.x);
  var row = index;
  if (params.adjusted == 1u) {
    if (crew_beyond(params.first + index, num_adjusted())) { return; }
    row = adjusted_row(params.first + index);
  }
  if (crew_beyond(row, num_logits())) { return; }
  let at = logits_at(row);
  let adjustment = step_words[at + 10u];
  if (params.adjusted == 0u) {
    if (adjustment != 0u) { return; }
    if (step_words[at + 1u] == 1u) { // score: the token is known
      if (crew_lane(crew) == 0u) {
        records[row * RECORD_WORDS] = step_words[at + 2u];
        records[row * RECORD_WORDS + 1u] = DRAWN;
      }
      return;
    }
  }
  let base = index * params.vocab;
  let wanted = Wanted(
    bitcast<f32>(step_words[at + 4u]), bitcast<f32>(step_words[at + 7u]), f32(step_words[at + 5u]),
    bitcast<f32>(step_words[at + 6u]), pcg(pcg(step_words[at + 8u]) ^ step_words[at + 9u]),
  );

  var phase = LIKELIEST;
  var token = params.vocab;
  var likeliest_token = params.vocab;
  var failed = false;
  var largest = 0.0;
  var end = Place(0.0, 0u); //    the draw is among the tokens before it
  var winner = Place(0.0, 0u);
  // The k likeliest are all of `some` and of `enough` as many as are missing. k is the number of candidates if those are fewer.
  var k = 0.0;
  var some = Level(0.0, 0.0, 0.0);
  var enough = Level(0.0, 0.0, 0.0);
  var levels = vec3<f32>(0.0);
  for (var pass_index = 0u; ; pass_index++) {
    if (pass_index == MAX_PASSES) {
      token = likeliest_token;
      break;
    }
    var mine: Tally;
    if (phase == LIKELIEST) {
      mine = likeliest(crew, base);
    } else if (phase == DRAW) {
      mine = drawn(crew, base, wanted, end, largest);
    } else {
      mine = measured(crew, base, wanted, winner, levels, largest);
    }
    let all = crew_tally(crew, mine);

    if (phase == LIKELIEST) {
      token = all.id;
      likeliest_token = token;
      failed = all.best == KEY_LOWEST || all.best >= KEY_INFINITE;
      if (failed || wanted.sharpness == 0.0) { break; }
      largest = logit_of(all.best);
      end = Place(max(largest - wanted.reach, LOWEST_FINITE), params.vocab);
      phase = DRAW;
      continue;
    }
    if (phase == DRAW) {
      token = all.id;
      if (wanted.top_k == 0.0 && wanted.top_p >= 1.0) { break; }
      if (k == 0.0) {
        k = all.counts.x;
        if (wanted.top_k > 0.0) { k = min(k, wanted.top_k); }
        some = Level(logit_of(key_of(largest) + 1u), 0.0, 0.0);
        enough = Level(end.logit, all.counts.x, all.masses.x);
        // Below, weights are lost in the rounding of their sum.
        let low = max(enough.logit, largest - (log2(f32(params.vocab)) + 24.0) / wanted.sharpness);
        levels = levels_between(low, some.logit);
      }
      winner = Place(logits[base + token], token);
      phase = CHECK;
      continue;
    }
    for (var i = 0u; i < 3u; i++) {
      let level = Level(levels[i], all.counts[i + 1u], all.masses[i + 1u]);
      if (level.count >= k && level.logit > enough.logit) { enough = level; }
      if (level.count < k && level.logit < some.logit) { some = level; }
    }
    var least = max(some.mass, all.masses.x + exp2((winner.logit - largest) * wanted.sharpness));
    var most = enough.mass;
    if (enough.count == k) {
      least = most;
    } else if (key_of(some.logit) - key_of(enough.logit) <= 1u) {
      least = some.mass + (k - some.count) * exp2((enough.logit - largest) * wanted.sharpness);
      most = least;
    }
    let first = all.counts.x == 0.0; // one token stays even with top_p = 0
    if (first || (all.counts.x < k && (wanted.top_p >= 1.0 || all.masses.x < wanted.top_p * least))) { break; }
    if (all.counts.x >= k || all.masses.x >= wanted.top_p * most || most - least <= 0x1p-22f * most) {
      end = winner;
      if (enough.logit > winner.logit) { end = Place(enough.logit, params.vocab); }
      phase = DRAW;
    }
    levels = levels_between(enough.logit, some.logit);
  }
  if (crew_lane(crew) == 0u) {
    records[row * RECORD_WORDS] = token;
    if (is_void(logits_row(row))) {
      records[row * RECORD_WORDS + 1u] = VOID;
      return;
    }
    records[row * RECORD_WORDS + 1u] = select(DRAWN, FAILED, failed);
    keep(at, min(token, params.vocab - 1u), failed);
    if (params.adjusted == 1u && !failed) {
      let slot = step_words[adjustment];
      if (slot != 0u) { counts[(slot - 1u) * params.vocab + token] += 1u; }
    }
  }
}
