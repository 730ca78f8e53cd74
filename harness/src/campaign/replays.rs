//! How often a finding comes back when its plan is run again: an estimate of r = k/n, never an
//! excuse for it.
//!
//! In: the findings of a campaign, and what is known of each. Out: what is replayed next, and the
//! rates that the lines of `replays.jsonl` add up to; `drive::replaying` runs them.
//! Invariant: a replay adds to what is known of a finding and takes nothing away from it; a replay
//! without a verdict says nothing. Source: reference/faults.md §4.5.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::campaign::record::{RunRecord, UnitKind};
use crate::campaign::signature::Signature;
use crate::minimize::trial::{Rate, Seen};

/// How often a finding is replayed, at most.
pub const TIMES: u64 = 10;

/// One replay of a finding: a line of `replays.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replay {
    /// The id of the signature.
    pub signature: String,
    /// The unit whose plan was run again.
    pub unit: String,
    /// The number of the replay, from 0.
    pub number: u64,
    /// When it began: RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Whether the failure came back; nothing if there was no verdict.
    pub came_back: Option<bool>,
}

/// The rates of all findings that were replayed, by the id of the signature.
pub fn rates(replays: &[Replay]) -> BTreeMap<&str, Rate> {
    let mut rates: BTreeMap<&str, Rate> = BTreeMap::new();
    for replay in replays {
        let seen = match replay.came_back {
            Some(true) => Seen::Same,
            Some(false) => Seen::Other,
            None => Seen::Nothing(String::new()),
        };
        rates.entry(&replay.signature).or_default().count(&seen);
    }
    rates
}

/// The rate in words, or that it is not known.
pub fn words(rate: Option<&Rate>) -> String {
    match rate {
        Some(rate) if rate.runs > 0 => rate.to_string(),
        _ => "r is not known".to_owned(),
    }
}

/// What is replayed next: the finding with the fewest replays, in the run that is kept, can be read
/// and was the shortest.
pub fn next<'a>(
    records: &'a [RunRecord],
    replays: &[Replay],
    unreadable: &BTreeSet<String>,
) -> Option<Subject<'a>> {
    let mut best: BTreeMap<&str, (&RunRecord, &Signature)> = BTreeMap::new();
    let honest = records.iter().filter(|record| {
        let is_there = record.kept.is_some() && !unreadable.contains(&record.unit);
        record.kind != UnitKind::Canary && is_there
    });
    for record in honest {
        for signature in &record.findings {
            let known = best.entry(&signature.id).or_insert((record, signature));
            let length = |record: &RunRecord| (record.duration_ms, record.unit.clone());
            if length(record) < length(known.0) {
                *known = (record, signature);
            }
        }
    }
    let tried = |id: &str| replays.iter().filter(|r| r.signature == id).count() as u64;
    let mut subjects: Vec<(u64, Subject<'a>)> = best
        .into_iter()
        .map(|(id, (record, signature))| {
            let number = tried(id);
            (
                number,
                Subject {
                    record,
                    signature,
                    number,
                },
            )
        })
        .filter(|(number, _)| *number < TIMES)
        .collect();
    subjects.sort_by_key(|(number, subject)| (*number, subject.signature.id.clone()));
    subjects.into_iter().next().map(|(_, subject)| subject)
}

/// A finding to replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subject<'a> {
    /// The run whose plan is run again.
    pub record: &'a RunRecord,
    /// What is looked for.
    pub signature: &'a Signature,
    /// The number of the replay, from 0.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::fixture::{record, signature};
    use crate::cli::exit::Exit;

    fn found(number: u64, id: &str, duration_ms: u64) -> RunRecord {
        RunRecord {
            kept: Some(format!("runs/{number}")),
            findings: vec![signature(id)],
            duration_ms,
            ..record(number, Exit::Broken)
        }
    }

    fn replayed(id: &str, number: u64, came_back: Option<bool>) -> Replay {
        Replay {
            signature: id.to_owned(),
            unit: "u".to_owned(),
            number,
            started: String::new(),
            duration_ms: 1,
            came_back,
        }
    }

    #[test]
    fn the_rate_counts_verdicts_and_is_told_with_its_interval() {
        let replays = [Some(true), None, Some(false), Some(true)];
        let replays: Vec<Replay> = (0..)
            .zip(replays)
            .map(|(n, r)| replayed("a", n, r))
            .collect();
        let rates = rates(&replays);
        assert_eq!(rates.get("a"), Some(&Rate { same: 2, runs: 3 }));
        assert!(words(rates.get("a")).starts_with("r = 2/3 (95 %: 0."));
        assert_eq!(words(rates.get("b")), "r is not known");
    }

    #[test]
    fn findings_take_turns_in_their_shortest_kept_run_and_canaries_none() {
        let mut gone = found(4, "a", 1);
        gone.kept = None;
        let mut canary = found(5, "c", 1);
        canary.kind = UnitKind::Canary;
        let records = [
            found(1, "a", 30),
            found(2, "a", 20),
            found(3, "b", 9),
            gone,
            canary,
        ];
        let mut replays = Vec::new();
        let mut turns = Vec::new();
        while let Some(subject) = next(&records, &replays, &BTreeSet::new()) {
            turns.push((subject.record.seed, subject.number));
            replays.push(replayed(&subject.signature.id, subject.number, None));
        }
        assert_eq!(turns.len() as u64, 2 * TIMES);
        assert_eq!(turns.get(..4), Some(&[(2, 0), (3, 0), (2, 1), (3, 1)][..]));
    }
}
