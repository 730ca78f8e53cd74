//! What the consumer group did: its mode and what it came to, in numbers.
//!
//! In: the verdict. Out: nothing for a run without a group; else the section's rows.
//! Invariant: what was promised is with the other promises, and what went wrong with the proofs.

use checkers::verdict::{GroupCounts, Verdict};

use crate::report::words::thousands;

/// The section about the group.
pub(super) struct Section {
    pub(super) mode: &'static str,
    pub(super) does: &'static str,
    pub(super) numbers: Vec<(&'static str, String)>,
}

/// The section, if the consumers were members of a group.
pub(super) fn section(verdict: &Verdict) -> Option<Section> {
    let settings = verdict.settings.group.as_ref()?;
    Some(Section {
        mode: settings.mode.name(),
        does: settings.mode.description(),
        numbers: numbers(&verdict.counts.group),
    })
}

/// Every number that the history gives, so that a mode that did nothing is seen to have done so.
fn numbers(counts: &GroupCounts) -> Vec<(&'static str, String)> {
    let rows = [
        ("lives of consumers", counts.consumers),
        ("… that crashed", counts.crashed),
        ("generations", counts.generations),
        ("calls of rebalance listeners", counts.rebalances),
        ("positions that owners started from", counts.resumes),
        ("records processed", counts.processed),
        ("… in doubt", counts.processed_unknown),
        ("commits acknowledged, each partition", counts.commits),
        ("… failed for certain", counts.commits_failed),
        ("… in doubt", counts.commits_unknown),
        ("records processed again", counts.duplicates),
        ("records skipped for ever", counts.lost),
    ];
    rows.map(|(name, count)| (name, thousands(count))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::contract::Contract;
    use checkers::history::History;

    fn section_of(history: &str) -> Option<Section> {
        let history = History::read(history.as_bytes()).expect("a history");
        section(&checkers::check(&history, &Contract::of(&history)))
    }

    #[test]
    fn a_group_has_its_mode_and_its_numbers_and_other_runs_have_no_section() {
        let lost = include_str!("../../../checkers/testdata/group-lost/minimal.jsonl");
        let section = section_of(lost).expect("a group");
        assert_eq!(section.mode, "sync-after");
        let skipped = ("records skipped for ever", "1".to_owned());
        assert!(section.numbers.contains(&skipped), "{:?}", section.numbers);
        let log = include_str!("../../../checkers/testdata/lost-write/minimal.jsonl");
        assert!(section_of(log).is_none());
    }
}
