//! The random swarm: every knob drawn anew for each seed.
//!
//! In: a seed. Out: a unit with a profile, a flush policy, a commit mode, acks, and whatever the
//! profile itself draws.
//! Invariant: what is drawn can be run; the contract follows the knobs, so that a swarm knows what
//! it may lose.

use std::path::Path;

use checkers::history::CommitMode;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::campaign::record::UnitKind;
use crate::campaign::unit::Unit;
use crate::plan::Plan;
use crate::plan::profile::{PROFILES, Profile};
use crate::worker::protocol::Acks;

/// The swarm's draws, apart from those of the plans.
const STREAM: u64 = 1 << 43;

/// The unit of `seed`.
pub fn draw(seed: u64) -> Unit {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let profiles: Vec<&Profile> = PROFILES
        .iter()
        .filter(|profile| is_drawn(profile))
        .collect();
    let profile = *pick(&mut rng, &profiles);
    let drawn = Plan::draw(seed, profile);
    let mut plan = drawn.clone();
    if rng.random_ratio(1, 2) {
        plan.commit_as(*pick(&mut rng, &CommitMode::ALL));
    }
    plan.flush_every_message(rng.random_ratio(1, 2));
    let acks = *pick(&mut rng, &[Acks::All, Acks::All, Acks::One]);
    plan.workload.producer.acks = acks;
    plan.workload.producer.idempotence &= acks == Acks::All && rng.random_ratio(3, 4);
    // While a disk hangs, produce is promised to go on, which takes one replica to spare.
    let copies: &[i16] = if profile.makes_disks_hang() {
        &[1, 2]
    } else {
        &[1, 2, 3]
    };
    plan.cluster.min_insync_replicas = *pick(&mut rng, copies);
    // A combination that cannot be run is one less, and not a failure of the night.
    let plan = if plan.check(Path::new("swarm")).is_ok() {
        plan
    } else {
        drawn
    };
    Unit::new(UnitKind::Swarm, profile.name, None, plan)
}

/// Whether the swarm draws it: where every loss is a bug is asked for by name.
fn is_drawn(profile: &Profile) -> bool {
    !profile.is_atlas
}

fn pick<'a, T>(rng: &mut impl Rng, from: &'a [T]) -> &'a T {
    let index = rng.random_range(0..from.len());
    from.get(index)
        .expect("invariant: the range ends at the length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_few_hundred_seeds_turn_every_knob_and_all_can_be_run() {
        let units: Vec<Unit> = (0..400).map(draw).collect();
        let names: BTreeSet<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        let drawn = PROFILES.iter().filter(|profile| is_drawn(profile));
        assert_eq!(names.len(), drawn.count());
        let mut knobs = BTreeSet::new();
        for unit in &units {
            let plan = &unit.plan;
            assert!(plan.check(Path::new("swarm")).is_ok(), "seed {}", plan.seed);
            knobs.insert((
                plan.workload.producer.acks == Acks::All,
                plan.workload.producer.idempotence,
                plan.cluster.min_insync_replicas,
            ));
        }
        assert_eq!(knobs.len(), 9, "acks=1 is never idempotent: {knobs:?}");
        assert_eq!(draw(7), draw(7));
    }
}
