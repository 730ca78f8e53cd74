//! What survives a loss of power.
//!
//! In: the operations that were not durable, in order, with what each changed, and a draw. Out:
//! the fate of each. Invariant: a pure function; the same operations and the same draw give the
//! same fates, and they respect the order of names (`order`).

use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::disk::rule::Survival;

use super::missed::are_missed;
use super::operation::Step;
use super::order::Casualties;

/// One torn write in so many is any, be it one that a broker does without.
const ANY_TORN: u32 = 8;

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never happened.
    Lost,
    /// It happened.
    Kept,
    /// A write of which only some sectors arrived, drawn from this seed.
    Torn(u64),
}

/// The fate of each of `steps`, which changed `paths`.
pub(super) fn fates(
    steps: &[Step],
    paths: &[Option<PathBuf>],
    survival: Survival,
    draw: u64,
) -> Vec<Fate> {
    let mut rng = ChaCha8Rng::seed_from_u64(draw);
    match survival {
        Survival::None => vec![Fate::Lost; steps.len()],
        Survival::Prefix => prefix(steps, rng.random_range(0..=steps.len())),
        Survival::Subset(per_mille) => {
            subset(steps, || rng.random_range(0..1000) < u32::from(per_mille))
        }
        Survival::Torn => {
            let writes = tearable(steps, paths, rng.random_ratio(1, ANY_TORN));
            let Some(&last) = writes.get(rng.random_range(0..writes.len().max(1))) else {
                return prefix(steps, rng.random_range(0..=steps.len()));
            };
            let mut fates = prefix(steps, last);
            if let Some(fate) = fates.get_mut(last) {
                *fate = Fate::Torn(rng.random());
            }
            fates
        }
    }
}

/// The writes of which one is torn: if not `any`, those that a broker misses, if there are any.
/// What it writes most often may be what it does without, but has to bear all the same.
fn tearable(steps: &[Step], paths: &[Option<PathBuf>], any: bool) -> Vec<usize> {
    let is_write = |step: &Step| matches!(step, Step::Write { .. }) && !step.is_doomed();
    let all = steps.iter().zip(are_missed(steps, paths)).enumerate();
    let writes: Vec<(usize, bool)> = all
        .filter(|(_, (step, _))| is_write(step))
        .map(|(index, (_, is_missed))| (index, is_missed))
        .collect();
    let any = any || writes.iter().all(|(_, is_missed)| !is_missed);
    let is_candidate = |(_, is_missed): &&(usize, bool)| any || *is_missed;
    let candidates = writes.iter().filter(is_candidate);
    candidates.map(|(index, _)| *index).collect()
}

/// The first `count` survive, unless an fsync of them failed.
pub(super) fn prefix(steps: &[Step], count: usize) -> Vec<Fate> {
    let fate = |(index, step): (usize, &Step)| {
        if index < count && !step.is_doomed() {
            Fate::Kept
        } else {
            Fate::Lost
        }
    };
    steps.iter().enumerate().map(fate).collect()
}

fn subset(steps: &[Step], mut is_lucky: impl FnMut() -> bool) -> Vec<Fate> {
    let mut casualties = Casualties::default();
    let mut fate = |step: &Step| {
        // Drawn for each, so that one fate does not change the luck of the rest.
        let is_lucky = is_lucky();
        match step {
            Step::Name(change) if is_lucky && casualties.allows(change) => Fate::Kept,
            Step::Name(change) => {
                casualties.add(change);
                Fate::Lost
            }
            _ if is_lucky && !step.is_doomed() => Fate::Kept,
            _ => Fate::Lost,
        }
    };
    steps.iter().map(&mut fate).collect()
}
