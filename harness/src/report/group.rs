//! What the consumer group did: its mode, what that promises, numbers, and one record's story.
//!
//! In: the verdict. Out: nothing for a run without a group; else the section's rows.
//! Invariant: the story is an example that the checkers proved; none is told where none was found.

use checkers::anomaly::Kind;
use checkers::verdict::{Check, GroupCounts, Verdict};

use crate::report::anomaly::{Example, example};
use crate::report::words::thousands;

/// The kinds that a commit mode is about, the worse one first: the story is told of the first
/// that has an example.
const STORIES: [Kind; 2] = [Kind::GroupLost, Kind::GroupDuplicate];

/// The section about the group.
pub(super) struct Section {
    pub(super) mode: &'static str,
    pub(super) does: &'static str,
    pub(super) promises: Vec<Promise>,
    pub(super) numbers: Vec<(&'static str, String)>,
    pub(super) story: Option<Example>,
}

/// What the mode says about loss or repetition, and what came of it.
pub(super) struct Promise {
    pub(super) about: &'static str,
    pub(super) says: &'static str,
    pub(super) found: String,
    pub(super) because: String,
}

/// The section, if the consumers were members of a group.
pub(super) fn section(verdict: &Verdict) -> Option<Section> {
    let settings = verdict.settings.group.as_ref()?;
    let checks = STORIES.iter().filter_map(|kind| check_of(verdict, *kind));
    let mut examples = checks.clone().filter_map(|check| check.examples.first());
    Some(Section {
        mode: settings.mode.name(),
        does: settings.mode.description(),
        story: examples.next().map(example),
        promises: checks.map(promise).collect(),
        numbers: numbers(&verdict.counts.group),
    })
}

fn check_of(verdict: &Verdict, kind: Kind) -> Option<&Check> {
    verdict.checks.iter().find(|check| check.anomaly == kind)
}

fn promise(check: &Check) -> Promise {
    let found = match (&check.problem, check.count, check.promise.forbidden) {
        (Some(problem), _, _) => format!("not decided: {problem}"),
        (None, 0, true) => "none, as promised".to_owned(),
        (None, 0, false) => "none: this run does not show it".to_owned(),
        (None, count, true) => format!("{}: the promise is broken", thousands(count)),
        (None, count, false) => format!("{}, and shown below", thousands(count)),
    };
    Promise {
        about: match check.anomaly {
            Kind::GroupLost => "records skipped for ever",
            _ => "records processed again",
        },
        says: if check.promise.forbidden {
            "forbidden"
        } else {
            "allowed"
        },
        found,
        because: check.promise.because.clone(),
    }
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
    fn a_lost_record_has_its_story_told_and_a_promise_broken() {
        let lost = include_str!("../../../checkers/testdata/group-lost/minimal.jsonl");
        let section = section_of(lost).expect("a group");
        assert_eq!(section.mode, "sync-after");
        let told: Vec<String> = section.story.expect("a story").shown().collect();
        for (step, wanted) in ["receives", "commits", "crashed", "resumed at"]
            .iter()
            .enumerate()
        {
            assert!(
                told.get(step).is_some_and(|t| t.contains(wanted)),
                "{told:?}"
            );
        }
        let [loss, repeats] = section.promises.as_slice() else {
            panic!("two promises")
        };
        assert_eq!(
            (loss.says, loss.found.as_str()),
            ("forbidden", "1: the promise is broken")
        );
        assert_eq!(repeats.found, "none: this run does not show it");
    }

    #[test]
    fn an_allowed_repetition_has_its_story_told_too() {
        let twice = include_str!("../../../checkers/testdata/group-duplicate/allowed.jsonl");
        let section = section_of(twice).expect("a group");
        let repeats = section.promises.last().expect("two promises");
        assert_eq!(repeats.says, "allowed");
        assert!(
            repeats.found.ends_with("and shown below"),
            "{}",
            repeats.found
        );
        assert!(section.story.is_some());
    }

    #[test]
    fn a_run_without_a_group_has_no_section() {
        let log = include_str!("../../../checkers/testdata/lost-write/minimal.jsonl");
        assert!(section_of(log).is_none());
    }
}
