//! The endless sequence of units that a campaign works off, each shard its part of it.
//!
//! In: a base seed, the wanted part of the matrix, the shares of the budget. Out: units.
//! Invariant: the same arguments give the same units in the same order; every cell of the matrix
//! that can be exercised comes once before any comes twice, the control first, cheap ones before
//! dear ones.

use crate::campaign::canary::CANARIES;
use crate::campaign::record::UnitKind;
use crate::campaign::selection::{Selection, is_control};
use crate::campaign::share::{Share, Turns};
use crate::campaign::swarm;
use crate::campaign::unit::Unit;
use crate::matrix::{Column, Pack};
use crate::plan::Plan;
use crate::plan::script::named::SCRIPTS;

/// What a run takes beside its workload: start, recovery, final reads, checking. In milliseconds.
const AROUND_MS: u64 = 5_000;

/// Between the numbers of two rounds, more than there are pairs of a column and a pack.
const NUMBERS_A_ROUND: u64 = 1_000;

/// A pair of a pack and a column for which there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The rows.
    pub pack: Pack,
    /// The column.
    pub column: &'static str,
    /// Why nothing is run.
    pub because: String,
}

/// The units, in order.
#[derive(Clone, Debug)]
pub struct Sequence {
    base: u64,
    pairs: Vec<Pair>,
    turns: Turns,
    /// How many units of each kind have come.
    drawn: [u64; UnitKind::ALL.len()],
}

/// A pack under a column.
#[derive(Clone, Copy, Debug)]
struct Pair {
    pack: Pack,
    column: &'static Column,
    /// Its place in the whole matrix, so that a selection changes no seed.
    place: u64,
}

impl Sequence {
    /// The sequence, and what of the selection cannot be run.
    pub fn new(base: u64, selection: &Selection, shares: &[Share]) -> (Self, Vec<Gap>) {
        let mut pairs = Vec::new();
        let mut gaps = Vec::new();
        for pair in pairs_of(selection) {
            match pair.plan(base, 0) {
                Ok(_) => pairs.push(pair),
                Err(because) => gaps.push(Gap {
                    pack: pair.pack,
                    column: pair.column.name,
                    because,
                }),
            }
        }
        let sequence = Self {
            base,
            pairs,
            turns: Turns::new(shares),
            drawn: [0; UnitKind::ALL.len()],
        };
        (sequence, gaps)
    }

    /// Unit `number` of `kind`, if there are any.
    fn draw(&self, kind: UnitKind, number: u64) -> Option<Unit> {
        let seed = seed_of(self.base, kind, number);
        match kind {
            UnitKind::Matrix => self.draw_pair(number),
            UnitKind::Swarm => Some(swarm::draw(seed)),
            UnitKind::Script => {
                let script = SCRIPTS.get(number as usize % SCRIPTS.len())?;
                let plan = Plan::play(seed, script);
                Some(Unit::new(kind, script.name, None, plan))
            }
            UnitKind::Canary if cfg!(feature = "sabotage") => {
                let count = CANARIES.len() as u64;
                let canary = CANARIES.get((number % count) as usize)?;
                // Their plans are made for small seeds; each round takes the next.
                let seed = self.base.wrapping_add(number / count);
                Some(Unit::new(kind, canary.bug.name(), None, canary.plan(seed)))
            }
            UnitKind::Canary => None,
        }
    }

    fn draw_pair(&self, number: u64) -> Option<Unit> {
        let count = self.pairs.len() as u64;
        let pair = self.pairs.get(number.checked_rem(count)? as usize)?;
        // A plan that one seed has and another has not is the planner's fault; the next is tried.
        let plan = pair.plan(self.base, number / count).ok()?;
        Some(Unit::new(
            UnitKind::Matrix,
            pair.column.name,
            Some(pair.pack),
            plan,
        ))
    }
}

impl Iterator for Sequence {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        loop {
            let kind = self.turns.next()?;
            let number = self.drawn.get_mut(kind as usize)?;
            *number += 1;
            let number = *number - 1;
            if let Some(unit) = self.draw(kind, number) {
                self.turns.had(kind, planned_ms(&unit.plan));
                return Some(unit);
            }
            self.turns.drop_kind(kind);
        }
    }
}

impl Pair {
    fn plan(&self, base: u64, round: u64) -> Result<Plan, String> {
        let seed = seed_of(base, UnitKind::Matrix, round * NUMBERS_A_ROUND + self.place);
        crate::matrix::plan(self.column.name, self.pack, seed)
    }
}

/// The seed of a unit: neighbouring base seeds, such as those of two nights, have no units in
/// common. SplitMix64, cut to a length that people can type.
fn seed_of(base: u64, kind: UnitKind, number: u64) -> u64 {
    let mix = |value: u64| {
        let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    mix(mix(mix(base) ^ kind as u64) ^ number) >> 20
}

/// How long a run of `plan` is planned to take, in milliseconds.
pub fn planned_ms(plan: &Plan) -> u64 {
    plan.time.workload_ms + AROUND_MS
}

/// The pairs of a selection, in the order in which they are run.
fn pairs_of(selection: &Selection) -> Vec<Pair> {
    let packs = selection.packs();
    let mut pairs = Vec::new();
    for (row, pack) in Pack::ALL.into_iter().enumerate() {
        for (place, column) in crate::matrix::COLUMNS.iter().enumerate() {
            let is_wanted = selection.columns.iter().any(|c| c.name == column.name);
            if is_wanted && packs.contains(&pack) {
                let place = (row * crate::matrix::COLUMNS.len() + place) as u64;
                pairs.push(Pair {
                    pack,
                    column,
                    place,
                });
            }
        }
    }
    // A run that covers many rows is cheap for each of them.
    let most = Pack::ALL.into_iter().map(|pack| pack.rows().len()).max();
    let cost = |pair: &Pair| {
        let rows = pair.pack.rows().len().max(1);
        pair.column.cost as usize * most.unwrap_or(1) / rows
    };
    pairs.sort_by_key(|pair| (!is_control(pair.column), cost(pair), pair.place));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::shard::Shard;
    use crate::campaign::share;
    use std::collections::BTreeSet;

    fn ids(base: u64, shares: &[Share], count: usize) -> Vec<String> {
        let (sequence, _) = Sequence::new(base, &Selection::all(), shares);
        sequence.take(count).map(|unit| unit.id).collect()
    }

    #[test]
    fn the_same_arguments_give_the_same_units_and_no_unit_comes_twice() {
        let units = ids(7, share::CAMPAIGN, 300);
        assert_eq!(units, ids(7, share::CAMPAIGN, 300));
        assert_eq!(units.iter().collect::<BTreeSet<_>>().len(), 300);
        let (next, _) = Sequence::new(8, &Selection::all(), share::CAMPAIGN);
        let others: BTreeSet<String> = next
            .take(300)
            .filter(|unit| unit.kind != UnitKind::Canary)
            .map(|unit| unit.id)
            .collect();
        assert!(
            units.iter().all(|id| !others.contains(id)),
            "the next night has other units"
        );
    }

    #[test]
    fn the_shards_together_are_the_whole_in_its_order() {
        let whole = ids(7, share::MATRIX, 200);
        for count in [1, 2, 3, 7] {
            let mut parts: Vec<Vec<String>> = (0..count)
                .map(|index| {
                    let shard = Shard { index, count };
                    whole.iter().filter(|id| shard.takes(id)).cloned().collect()
                })
                .collect();
            let joined: BTreeSet<String> = parts.iter().flatten().cloned().collect();
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), whole.len());
            assert_eq!(joined, whole.iter().cloned().collect());
            if count <= 3 {
                parts.retain(|part| part.len() < 200 / count as usize / 2);
                assert!(parts.is_empty(), "no shard of {count} is nearly empty");
            }
        }
    }

    #[test]
    fn every_cell_comes_once_before_any_comes_twice_and_the_control_first() {
        let (sequence, gaps) = Sequence::new(7, &Selection::all(), share::MATRIX);
        let round = sequence.pairs.len();
        assert_eq!(round + gaps.len(), 7 * 19);
        let units: Vec<Unit> = sequence.take(2 * round).collect();
        let pair = |unit: &Unit| (unit.name.clone(), unit.pack.map(|pack| pack.to_string()));
        let (first, second) = units.split_at(round);
        let pairs: Vec<_> = first.iter().map(pair).collect();
        assert_eq!(pairs.iter().collect::<BTreeSet<_>>().len(), round);
        assert_eq!(pairs, second.iter().map(pair).collect::<Vec<_>>());
        assert!(first.iter().take(7).all(|unit| unit.name == "none"));
        let rows = |unit: &Unit| unit.pack.map_or(0, |pack| pack.rows().len());
        let after: Vec<usize> = first.iter().skip(7).map(rows).collect();
        assert!(
            after.is_sorted_by(|a, b| a >= b),
            "many rows first: {after:?}"
        );
        assert!(gaps.iter().all(|gap| !gap.because.is_empty()));
    }

    #[test]
    fn a_selection_runs_the_same_plans_as_the_whole_matrix() {
        let columns = ["leader-kill".to_owned()];
        let few = Selection::parse(&["flush=every".to_owned()], &columns).expect("both exist");
        let (few, _) = Sequence::new(7, &few, share::MATRIX);
        let few: Vec<String> = few.take(2).map(|unit| unit.id).collect();
        let whole = ids(7, share::MATRIX, 133);
        assert!(few.iter().all(|id| whole.contains(id)));
    }

    #[test]
    fn a_selection_without_any_plan_ends_at_once() {
        let selection = Selection {
            rows: Vec::new(),
            columns: Vec::new(),
        };
        let (mut sequence, gaps) = Sequence::new(7, &selection, share::MATRIX);
        assert_eq!((sequence.next(), gaps.len()), (None, 0));
    }
}
