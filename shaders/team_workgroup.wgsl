// team (workgroup): the invocations that work on one output together are TEAM_LANES neighbours of a workgroup.
// Work.   WORKGROUP is a multiple of TEAM_LANES. Only kernels whose teams all do the same may have several in a workgroup,
//         for none may leave before the others; they ask for team_place(). For the others team t of all is workgroup t
//         along one dimension of the grid, so the grid is exact and no team is superfluous.
// Sums.   Through workgroup memory, terms added in the order of the lanes: the same bits on every run, and with any number
//         of teams in a workgroup.
// Limits. Barriers: every function but the index ones needs uniform control flow. 4 * (TEAM_LANES + 1) * TEAMS * TEAM_ROUND +
//         4 * WORKGROUP * TEAM_SLOTS bytes of workgroup memory, the first part at most 8.25 KiB.
// Twin.   team_subgroup.wgsl, where the device has subgroups.
const WORKGROUP = 32u;
const ONE_TEAM = true;
// Sums that team_sums() adds at once (a power of two), and values each lane can show the others.
const TEAM_SUMS = 1u;
const TEAM_SLOTS = 1u;

const TEAM_LANES = 32u;
const TEAMS = WORKGROUP / TEAM_LANES;
// Sums of a team that are in workgroup memory at the same time.
const TEAM_ROUND = min(TEAM_SUMS, min(TEAM_LANES, 64u / TEAMS));
// One more than the lanes, so that lanes adding one row each do not meet in one memory bank.
const TEAM_STRIDE = TEAM_LANES + 1u;

struct Team {
  @builtin(local_invocation_index) invocation: u32,
}

var<workgroup> team_terms: array<f32, TEAM_STRIDE * TEAMS * TEAM_ROUND>;
var<workgroup> team_agreed: f32;
var<workgroup> team_slots: array<f32, WORKGROUP * TEAM_SLOTS>;

fn team_lane(team: Team) -> u32 { return select(team.invocation % TEAM_LANES, team.invocation, ONE_TEAM); }
fn team_lanes(team: Team) -> u32 { return TEAM_LANES; }
/// Which invocation of the workgroup this is.
fn team_invocation(team: Team) -> u32 { return team.invocation; }

/// Which team this is, along the dimension of the grid that `workgroup` counts.
fn team_index(team: Team, workgroup: u32) -> u32 { return workgroup; }

/// Which of the teams of its workgroup this is, and how many those are.
fn team_place(team: Team) -> u32 { return select(team.invocation / TEAM_LANES, 0u, ONE_TEAM); }
fn team_places(team: Team) -> u32 { return TEAMS; }

/// True for teams that have nothing to do and may leave: none here. Barriers that follow stay in uniform control flow.
fn team_beyond(index: u32, count: u32) -> bool { return false; }

/// Sum, or maximum, of `value` over the lanes, for every lane.
fn team_sum(team: Team, value: f32) -> f32 {
  let first = team_place(team) * TEAM_STRIDE;
  team_terms[first + team_lane(team)] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var lane = 0u; lane < TEAM_LANES; lane++) { sum += team_terms[first + lane]; }
  workgroupBarrier();
  return sum;
}
fn team_max(team: Team, value: f32) -> f32 {
  let first = team_place(team) * TEAM_STRIDE;
  team_terms[first + team_lane(team)] = value;
  workgroupBarrier();
  var most = value;
  for (var lane = 0u; lane < TEAM_LANES; lane++) { most = max(most, team_terms[first + lane]); }
  workgroupBarrier();
  return most;
}

/// `value`, which is the same in all lanes, in a form that loops around the functions above may depend on: the analysis
/// of uniformity knows that of what workgroupUniformLoad returns, and of nothing else in workgroup memory. Where it is
/// called a workgroup is one team.
fn team_agree(team: Team, value: f32) -> f32 {
  if (team.invocation == 0u) { team_agreed = value; }
  return workgroupUniformLoad(&team_agreed);
}

/// Adds the lanes of each sums[i], i < count; count is a power of two. Afterwards sums[j] of lane l is the total of
/// sums[j * lanes + l], as far as there are so many.
fn team_sums(team: Team, sums: ptr<function, array<f32, TEAM_SUMS>>, count: u32) {
  let lane = team_lane(team);
  let first = team_place(team) * TEAM_ROUND * TEAM_STRIDE;
  for (var round = 0u; round < count; round += TEAM_ROUND) {
    for (var i = 0u; i < min(count, TEAM_ROUND); i++) { team_terms[first + i * TEAM_STRIDE + lane] = (*sums)[round + i]; }
    workgroupBarrier();
    // Of the lanes whose sums these are. What they overwrite went through workgroup memory before.
    let mine = lane - round % TEAM_LANES;
    if (mine < min(count, TEAM_ROUND)) {
      var sum = 0.0;
      for (var other = 0u; other < TEAM_LANES; other++) { sum += team_terms[first + mine * TEAM_STRIDE + other]; }
      (*sums)[round / TEAM_LANES] = sum;
    }
    workgroupBarrier();
  }
}

/// Shows `value` to the other lanes: team_put() in each lane, team_sync(), team_get(), and team_sync() before the next put.
fn team_put(team: Team, slot: u32, value: f32) { team_slots[slot * WORKGROUP + team.invocation] = value; }
fn team_get(team: Team, slot: u32, lane: u32) -> f32 {
  return team_slots[slot * WORKGROUP + team_place(team) * TEAM_LANES + lane];
}
fn team_sync() { workgroupBarrier(); }
