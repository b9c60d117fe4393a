// team (workgroup): the invocations that work on one output together are a whole workgroup.
// Work.   WORKGROUP lanes; team t of all is workgroup t along one dimension of the grid, so the grid is exact and no team
//         is superfluous.
// Sums.   Through workgroup memory, terms added in the order of the lanes: the same bits on every run.
// Limits. Barriers: every function but the index ones needs uniform control flow. 4 * (WORKGROUP + 1) * TEAM_SUMS +
//         4 * WORKGROUP * TEAM_SLOTS bytes of workgroup memory; TEAM_SUMS <= WORKGROUP.
// Twin.   team_subgroup.wgsl, where the device has subgroups.
const WORKGROUP = 32u;
const ONE_TEAM = true;
// Sums that team_sums() adds at once (a power of two), and values each lane can show the others.
const TEAM_SUMS = 1u;
const TEAM_SLOTS = 1u;

// One more than the lanes, so that lanes adding one row each do not meet in one memory bank.
const TEAM_STRIDE = WORKGROUP + 1u;

struct Team {
  @builtin(local_invocation_index) lane: u32,
}

var<workgroup> team_terms: array<f32, TEAM_STRIDE * TEAM_SUMS>;
var<workgroup> team_agreed: f32;
var<workgroup> team_slots: array<f32, WORKGROUP * TEAM_SLOTS>;

fn team_lane(team: Team) -> u32 { return team.lane; }
fn team_lanes(team: Team) -> u32 { return WORKGROUP; }
/// Which invocation of the workgroup this is.
fn team_invocation(team: Team) -> u32 { return team.lane; }

/// Which team this is, along the dimension of the grid that `workgroup` counts.
fn team_index(team: Team, workgroup: u32) -> u32 { return workgroup; }

/// True for teams that have nothing to do: none here. Barriers that follow stay in uniform control flow.
fn team_beyond(index: u32, count: u32) -> bool { return false; }

/// Sum, or maximum, of `value` over the lanes, for every lane.
fn team_sum(team: Team, value: f32) -> f32 {
  team_terms[team.lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var lane = 0u; lane < WORKGROUP; lane++) { sum += team_terms[lane]; }
  workgroupBarrier();
  return sum;
}
fn team_max(team: Team, value: f32) -> f32 {
  team_terms[team.lane] = value;
  workgroupBarrier();
  var most = value;
  for (var lane = 0u; lane < WORKGROUP; lane++) { most = max(most, team_terms[lane]); }
  workgroupBarrier();
  return most;
}

/// `value`, which is the same in all lanes, in a form that loops around the functions above may depend on: the analysis
/// of uniformity knows that of what workgroupUniformLoad returns, and of nothing else in workgroup memory.
fn team_agree(team: Team, value: f32) -> f32 {
  if (team.lane == 0u) { team_agreed = value; }
  return workgroupUniformLoad(&team_agreed);
}

/// Adds the lanes of each sums[i], i < count; count is a power of two. Afterwards sums[j] of lane l is the total of
/// sums[j * lanes + l], as far as there are so many.
fn team_sums(team: Team, sums: ptr<function, array<f32, TEAM_SUMS>>, count: u32) {
  for (var i = 0u; i < count; i++) { team_terms[i * TEAM_STRIDE + team.lane] = (*sums)[i]; }
  workgroupBarrier();
  if (team.lane < count) {
    var sum = 0.0;
    for (var lane = 0u; lane < WORKGROUP; lane++) { sum += team_terms[team.lane * TEAM_STRIDE + lane]; }
    (*sums)[0] = sum;
  }
  workgroupBarrier();
}

/// Shows `value` to the other lanes: team_put() in each lane, team_sync(), team_get(), and team_sync() before the next put.
fn team_put(team: Team, slot: u32, value: f32) { team_slots[slot * WORKGROUP + team.lane] = value; }
fn team_get(team: Team, slot: u32, lane: u32) -> f32 { return team_slots[slot * WORKGROUP + lane]; }
fn team_sync() { workgroupBarrier(); }
