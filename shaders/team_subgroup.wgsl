// team (subgroup): the invocations that work on one output together are a subgroup; a workgroup holds several.
// Work.   WORKGROUP is a multiple of every subgroup size the device may choose, so each workgroup is made of whole teams.
//         Team t of all is the t-th subgroup along x. A device that chooses a smaller subgroup than it might has more
//         teams than the grid counted on: those beyond the work leave.
// Sums.   subgroupAdd: no barrier, no workgroup memory. Its order is the device's own, the same on every run.
// Limits. Subgroups of 4 to 128; invocation i of a one-dimensional workgroup is lane i % size of subgroup i / size,
//         as every known driver lays them out.
// Twin.   team_workgroup.wgsl: the same functions for devices without subgroups.
const WORKGROUP = 32u;
// Sums that team_sums() adds at once, and values each lane can show the others.
const TEAM_SUMS = 1u;
const TEAM_SLOTS = 1u;

struct Team {
  @builtin(local_invocation_index) invocation: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
}

var<private> team_slots: array<f32, TEAM_SLOTS>;

fn team_lane(team: Team) -> u32 { return team.lane; }
fn team_lanes(team: Team) -> u32 { return team.lanes; }

/// Which team this is, along x.
fn team_index(team: Team, workgroup_x: u32) -> u32 {
  return workgroup_x * (WORKGROUP / team.lanes) + team.invocation / team.lanes;
}

/// True for teams that have nothing to do; all lanes of one agree.
fn team_beyond(index: u32, count: u32) -> bool { return index >= count; }

/// Sum, or maximum, of `value` over the lanes, for every lane.
fn team_sum(team: Team, value: f32) -> f32 { return subgroupAdd(value); }
fn team_max(team: Team, value: f32) -> f32 { return subgroupMax(value); }

/// `value`, which is the same in all lanes, in a form that loops around the functions above may depend on.
fn team_agree(team: Team, value: f32) -> f32 { return value; }

/// Replaces sums[i], i < count, by its sum over the lanes; only lane i % lanes may rely on it.
fn team_sums(team: Team, sums: ptr<function, array<f32, TEAM_SUMS>>, count: u32) {
  for (var i = 0u; i < count; i++) { (*sums)[i] = subgroupAdd((*sums)[i]); }
}

/// Shows `value` to the other lanes: team_put() in each lane, team_sync(), team_get(), and team_sync() before the next put.
fn team_put(team: Team, slot: u32, value: f32) { team_slots[slot] = value; }
fn team_get(team: Team, slot: u32, lane: u32) -> f32 { return subgroupShuffle(team_slots[slot], lane); }
fn team_sync() {}
