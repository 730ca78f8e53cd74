//! Cells over many runs: one state, and counts that add up.
//!
//! In: the records of a campaign, and the cells for which there is no run. Out: for each cell its
//! state, why, and what was counted.
//! Invariant: the order of the records does not matter; broken outranks everything, and what
//! proved nothing never hides what proved something.

use std::collections::BTreeMap;

use crate::campaign::directory::Stored;
use crate::campaign::record::{CellResult, CellState, RunRecord, UnitKind};
use crate::cli::exit::Exit;
use crate::matrix::COLUMNS;

/// What is known of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The state of all its runs together.
    pub state: CellState,
    /// Why, in the words of a run of that state.
    pub because: String,
    /// How many runs there were.
    pub runs: u64,
    /// How many of them proved something.
    pub effective: u64,
    /// How many of them broke the promise.
    pub broken: u64,
    /// How many of them left the cluster unavailable.
    pub unavailable: u64,
    /// How many of them could not be decided.
    pub undecided: u64,
    /// In how many of them the harness failed.
    pub failed: u64,
    /// Acknowledged records that were lost.
    pub lost: u64,
    /// Records that are twice in the log, or that the group processed twice.
    pub duplicated: u64,
    /// Records out of order.
    pub reordered: u64,
    /// Sends that were refused for certain.
    pub refused: u64,
    /// The longest silence of a partition, in milliseconds.
    pub unavailable_ms: u64,
}

/// A row and a column, by name.
pub type CellKey = (String, String);

impl CellState {
    /// From the one that outranks all others down.
    const BY_RANK: [Self; 9] = [
        Self::Broken,
        Self::Unavailable,
        Self::AllowedSeen,
        Self::Kept,
        Self::Refused,
        Self::AllowedNotSeen,
        Self::Inconclusive,
        Self::InfrastructureError,
        Self::NotExercised,
    ];

    /// The state of a cell of several runs.
    pub fn of_many(states: impl IntoIterator<Item = Self>) -> Self {
        let rank = |state: &Self| Self::BY_RANK.iter().position(|other| other == state);
        states
            .into_iter()
            .min_by_key(rank)
            .unwrap_or(Self::NotExercised)
    }

    /// Whether a run of that state says something about the promise.
    pub fn is_effective(self) -> bool {
        matches!(
            self,
            Self::Kept | Self::AllowedSeen | Self::Refused | Self::Unavailable | Self::Broken
        )
    }
}

impl RunRecord {
    /// Whether the run says something: it had a verdict, and its faults an effect.
    pub fn is_effective(&self) -> bool {
        let exit = Exit::from_code(i32::from(self.exit_code));
        let has_verdict = matches!(exit, Exit::Kept | Exit::Broken | Exit::Unavailable);
        // A run of the matrix is there for its cells.
        let mut cells = self.cells.iter();
        let has_cells =
            self.kind != UnitKind::Matrix || cells.any(|cell| cell.state.is_effective());
        self.replay_of.is_none() && has_verdict && has_cells
    }

    /// Whether it was to have no fault: a run of the matrix's control.
    pub fn is_control(&self) -> bool {
        let control = COLUMNS.first().map(|column| column.name);
        self.kind == UnitKind::Matrix && control == Some(self.name.as_str())
    }

    /// Whether it broke a promise of a broker without a planted bug.
    pub fn is_violation(&self) -> bool {
        let broken = self
            .cells
            .iter()
            .any(|cell| cell.state == CellState::Broken);
        self.kind != UnitKind::Canary && (broken || self.exit_code == Exit::Broken.code())
    }
}

/// Every cell of a campaign that is known: run, or known not to be exercised.
pub fn tally(stored: &Stored) -> BTreeMap<CellKey, Tally> {
    let mut cells = BTreeMap::new();
    for gap in &stored.campaign.not_exercised {
        let key = (gap.row.clone(), gap.column.clone());
        cells.insert(key, Tally::empty(&gap.because));
    }
    for cell in stored.records.iter().flat_map(|record| &record.cells) {
        let key = (cell.row.clone(), cell.column.clone());
        let known = cells.entry(key).or_insert_with(|| Tally::empty(""));
        known.add(cell);
    }
    cells
}

impl Tally {
    /// A cell without a run.
    pub fn empty(because: &str) -> Self {
        Self {
            state: CellState::NotExercised,
            because: because.to_owned(),
            runs: 0,
            effective: 0,
            broken: 0,
            unavailable: 0,
            undecided: 0,
            failed: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            refused: 0,
            unavailable_ms: 0,
        }
    }

    /// Adds what one run says.
    pub fn add(&mut self, cell: &CellResult) {
        let state = CellState::of_many([self.state, cell.state]);
        // Of equal states the least words, so that the order of the runs does not matter.
        let is_better = cell.state == state
            && (self.runs == 0 || self.state != state || cell.because < self.because);
        if is_better {
            self.because.clone_from(&cell.because);
        }
        self.state = state;
        self.runs += 1;
        self.effective += u64::from(cell.state.is_effective());
        let is = |state| u64::from(cell.state == state);
        self.broken += is(CellState::Broken);
        self.unavailable += is(CellState::Unavailable);
        self.undecided += is(CellState::Inconclusive);
        self.failed += is(CellState::InfrastructureError);
        self.lost += cell.lost;
        self.duplicated += cell.duplicated;
        self.reordered += cell.reordered;
        self.refused += cell.refused;
        self.unavailable_ms = self.unavailable_ms.max(cell.unavailable_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::cell::unjudged;
    use proptest::prelude::*;

    fn all_of(states: &[CellState]) -> Tally {
        let mut all = Tally::empty("no plan");
        for (index, state) in states.iter().enumerate() {
            let mut cell = unjudged("row", "column", *state, &format!("{state:?} {index}"));
            cell.lost = 1;
            cell.unavailable_ms = index as u64;
            all.add(&cell);
        }
        all
    }

    #[test]
    fn what_proved_something_beats_what_did_not_and_broken_beats_all() {
        use CellState::{
            AllowedNotSeen, AllowedSeen, Broken, InfrastructureError, Kept, NotExercised,
            Unavailable,
        };
        for (states, wanted, effective) in [
            (&[Kept, NotExercised, AllowedNotSeen][..], Kept, 1),
            (
                &[AllowedNotSeen, AllowedSeen, AllowedNotSeen],
                AllowedSeen,
                1,
            ),
            (&[Kept, Unavailable, Kept], Unavailable, 3),
            (&[Unavailable, Broken, InfrastructureError], Broken, 2),
            (&[InfrastructureError, NotExercised], InfrastructureError, 0),
            (&[], NotExercised, 0),
        ] {
            let all = all_of(states);
            assert_eq!(
                (all.state, all.effective),
                (wanted, effective),
                "{states:?}"
            );
            assert_eq!(
                (all.runs, all.lost),
                (states.len() as u64, states.len() as u64)
            );
            let word = if states.is_empty() {
                "no plan".to_owned()
            } else {
                format!("{wanted:?}")
            };
            assert!(all.because.starts_with(&word), "{}", all.because);
        }
        for state in CellState::ALL {
            assert!(CellState::BY_RANK.contains(&state), "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_runs_does_not_matter(
            picks in proptest::collection::vec((0_usize..9, 0_u8..3), 0..12),
        ) {
            let add = |all: &mut Tally, (state, words): &(usize, u8)| {
                all.add(&unjudged("r", "c", CellState::ALL[*state], &format!("because {words}")));
            };
            let (mut there, mut back) = (Tally::empty(""), Tally::empty(""));
            for pick in &picks {
                add(&mut there, pick);
            }
            for pick in picks.iter().rev() {
                add(&mut back, pick);
            }
            prop_assert_eq!(there, back);
        }
    }
}
