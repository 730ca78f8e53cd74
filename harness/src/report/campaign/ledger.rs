//! The ledger of states that a campaign should reach, and which it did.
//!
//! In: the runs and the names of all states. Out: those reached with the first seed of each, and
//! those never reached.

use std::collections::BTreeMap;

use crate::campaign::RunRecord;

/// A state that some run reached.
pub(super) struct Reached {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) runs: u64,
    pub(super) seed: u64,
    pub(super) run: String,
    pub(super) kept: Option<String>,
}

/// The ledger.
pub(super) struct Ledger {
    pub(super) reached: Vec<Reached>,
    /// Names and descriptions.
    pub(super) never: Vec<(String, String)>,
}

impl Ledger {
    /// Looks up every state of `known`, and every other that a run names.
    pub(super) fn of(runs: &[RunRecord], known: &[(String, String)]) -> Self {
        let mut first: BTreeMap<&str, (u64, &RunRecord)> = BTreeMap::new();
        for run in runs {
            for name in &run.reached {
                first.entry(name).or_insert((0, run)).0 += 1;
            }
        }
        let unknown = first
            .keys()
            .filter(|name| known.iter().all(|(known, _)| known != *name));
        let unknown = unknown.map(|name| ((*name).to_owned(), String::new()));
        let mut reached = Vec::new();
        let mut never = Vec::new();
        for (name, description) in known.iter().cloned().chain(unknown) {
            match first.get(name.as_str()) {
                None => never.push((name, description)),
                Some((runs, run)) => reached.push(Reached {
                    name,
                    description,
                    runs: *runs,
                    seed: run.seed,
                    run: format!("{} {}", run.kind.word(), run.name),
                    kept: run.kept.clone(),
                }),
            }
        }
        Self { reached, never }
    }
}
