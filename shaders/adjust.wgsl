// adjust: adjusted[i] = the logits of a row, changed as its request wants before a token is drawn
//
// Order.  As vLLM's: the mask of allowed tokens, banned ids and biases, then the penalties: repetition, frequency, presence.
// Formula. x = -inf if the mask lacks the token, then x + bias; if the token has occurred in prompt or answer, x / repetition
//         where x > 0 and x * repetition elsewhere; then x - frequency * (times generated) - (presence if ever generated).
// Work.   A workgroup owns CHUNK tokens of one adjusted row, its lanes stride over them. Then they go through the biased
//         tokens of the chunk, each lane through its own, and do those again.
// Rounds. `adjusted` holds ADJUSTED_ROWS rows. A step with more is done in rounds of as many: this kernel, then sample.wgsl.
// Data.   logits [rows, vocab] raw, untouched. An adjustment in the step's lists: slot + 1 or 0, repetition, presence,
//         frequency, where its mask begins or 0, number of biases, then (id, f32) of each, ids ascending. A mask has a bit
//         for each token, the lowest bit first. counts [slots, vocab]: how often the token was generated, and IN_PROMPT.
// Limits. 5 bindings, no barriers. Twin: src/model/adjustment.ts.

//#include "step"

const WORKGROUP = 32u;
const CHUNK = 2048u;
const IN_PROMPT = 0x80000000u;

struct Params {
  vocab: u32,
  adjusted: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> adjusted: array<f32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;

// An adjustment of the step's lists.
struct Adjustment {
  // Where in counts the sequence's begin, and whether it has any.
  counted: bool,
  first_count: u32,
  repetition: f32,
  presence: f32,
  frequency: f32,
  masked: bool,
  mask: u32,
}

// -inf, which may not be written as a constant.
fn lowest() -> f32 {
  var bits = 0xff800000u;
  return bitcast<f32>(bits);
}

// What is added is never put in a logit's place: what is not a number must stay so.
fn adjusted_logit(adjustment: Adjustment, raw: f32, id: u32, bias: f32) -> f32 {
  var x = raw + bias;
  if (adjustment.masked) {
    let allowed = (step_words[adjustment.mask + id / 32u] >> (id % 32u)) & 1u;
    x += select(lowest(), 0.0, allowed == 1u);
  }
  if (adjustment.counted) {
    let seen = counts[adjustment.first_count + id];
    let times = seen & ~IN_PROMPT;
    let repeated = select(x * adjustment.repetition, x / adjustment.repetition, x > 0.0);
    x = select(x, repeated, seen != 0u);
    x -= adjustment.frequency * f32(times) + select(0.0, adjustment.presence, times > 0u);
  }
  return x;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let row = adjusted_row(params.first + group.y);
  let at = step_words[logits_at(row) + 10u];
  let slot = step_words[at];
  let mask = step_words[at + 4u];
  let adjustment = Adjustment(
    slot != 0u, (slot - 1u) * params.vocab, bitcast<f32>(step_words[at + 1u]), bitcast<f32>(step_words[at + 2u]),
    bitcast<f32>(step_words[at + 3u]), mask != 0u, mask,
  );
  let source = row * params.vocab;
  let copy = group.y * params.vocab;
  let start = group.x * CHUNK;
  let stop = min(start + CHUNK, params.vocab);
  for (var id = start + lane; id < stop; id += WORKGROUP) {
    adjusted[copy + id] = adjusted_logit(adjustment, logits[source + id], id, 0.0);
  }

  // The first bias of this chunk, by bisection.
  let biases = at + 6u;
  let num_biases = step_words[at + 5u];
  var next = 0u;
  for (var behind = num_biases; next < behind;) {
    let middle = (next + behind) / 2u;
    if (step_words[biases + 2u * middle] < start) { next = middle + 1u; } else { behind = middle; }
  }
  for (; next < num_biases; next++) {
    let id = step_words[biases + 2u * next];
    if (id >= stop) { break; }
    if (id % WORKGROUP != lane) { continue; }
    let bias = bitcast<f32>(step_words[biases + 2u * next + 1u]);
    adjusted[copy + id] = adjusted_logit(adjustment, logits[source + id], id, bias);
  }
}
