//! What several runs of groups have shown together: losses and repetitions that were allowed.
//!
//! In: the verdicts of the runs. Out: a line for each commit mode and kind that some run allowed.
//! Invariant: what was allowed and never seen is said to be so: such runs have shown nothing about
//! it, however many promises they kept.

use std::collections::BTreeMap;

use checkers::anomaly::Kind;
use checkers::verdict::Verdict;

use crate::cli::say::say;

/// What is expected to be seen where it is allowed.
const KINDS: [Kind; 2] = [Kind::GroupLost, Kind::GroupDuplicate];

/// What runs have shown so far.
#[derive(Debug, Default)]
pub struct Shown(BTreeMap<(&'static str, Kind), Seen>);

/// How often something was allowed, and seen.
#[derive(Debug, Default)]
struct Seen {
    allowed_runs: u64,
    shown_runs: u64,
    records: u64,
}

impl Shown {
    /// Adds a run.
    pub fn add(&mut self, verdict: &Verdict) {
        let Some(group) = &verdict.settings.group else {
            return;
        };
        let expected = |check: &&_| {
            let check: &checkers::verdict::Check = check;
            KINDS.contains(&check.anomaly) && !check.promise.forbidden
        };
        for check in verdict.checks.iter().filter(expected) {
            let key = (group.mode.name(), check.anomaly);
            let seen = self.0.entry(key).or_default();
            seen.allowed_runs += 1;
            seen.shown_runs += u64::from(check.count > 0);
            seen.records += check.count;
        }
    }

    /// Prints a line for each.
    pub fn print(&self) {
        for line in self.lines() {
            say!("  {line}");
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |((mode, kind), seen): (&(&str, Kind), &Seen)| {
            let (kind, runs) = (kind.name(), seen.allowed_runs);
            match seen.shown_runs {
                0 => format!(
                    "{mode}: {kind} allowed in {runs} runs and not seen: they have shown nothing \
                     about it"
                ),
                shown_runs => format!(
                    "{mode}: {kind} allowed and seen in {shown_runs} of {runs} runs, {} records",
                    seen.records
                ),
            }
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::contract::Contract;
    use checkers::history::{CommitMode, GroupSettings, Header, History, Settings};

    #[test]
    fn what_is_allowed_is_told_as_seen_or_as_not_seen_over_all_runs() {
        let verdict = |mode, kind, count| {
            let group = Some(GroupSettings {
                mode,
                ..GroupSettings::default()
            });
            let settings = Settings {
                group,
                ..Settings::default()
            };
            let header = Header::new(settings, serde_json::Value::Null);
            let history = History::from_ops(header, Vec::new()).expect("well formed");
            let contract = Contract::of(&history);
            let mut verdict = checkers::check(&history, &contract);
            for wanted in KINDS {
                let check = checkers::verdict::Check {
                    anomaly: wanted,
                    class: wanted.class(),
                    promise: contract.promise(wanted),
                    count: if wanted == kind { count } else { 0 },
                    problem: None,
                    examples: Vec::new(),
                };
                verdict.checks.push(check);
            }
            verdict
        };
        let mut shown = Shown::default();
        for count in [0, 7, 2] {
            shown.add(&verdict(CommitMode::SyncAfter, Kind::GroupDuplicate, count));
        }
        shown.add(&verdict(CommitMode::SyncBefore, Kind::GroupLost, 0));
        assert_eq!(
            shown.lines(),
            [
                "sync-after: group-duplicate allowed and seen in 2 of 3 runs, 9 records",
                "sync-before: group-lost allowed in 1 runs and not seen: they have shown nothing \
                 about it",
            ]
        );
    }
}
