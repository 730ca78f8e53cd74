//! How often a finding comes back when its plan is run again: an estimate of r = k/n, never an
//! excuse for it.
//!
//! In: the findings of a campaign, and the time that is left. Out: one line a replay in
//! `replays.jsonl`, and the rates that they add up to.
//! Invariant: a replay adds to what is known of a finding and takes nothing away from it; a replay
//! without a verdict says nothing. Source: reference/faults.md §4.5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::campaign::directory::{Directory, DirectoryError};
use crate::campaign::execute::{Ending, Execute};
use crate::campaign::record::{RunRecord, UnitKind};
use crate::campaign::signature::{Signature, is_same_failure, signatures};
use crate::campaign::unit::Unit;
use crate::minimize::trial::{Rate, Seen};
use crate::plan::Plan;
use crate::run::interrupt::Interrupt;

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

/// What is replayed next: the finding with the fewest replays, in the run that is kept and was the
/// shortest.
fn next<'a>(records: &'a [RunRecord], replays: &[Replay]) -> Option<Subject<'a>> {
    let mut best: BTreeMap<&str, (&RunRecord, &Signature)> = BTreeMap::new();
    let honest = records
        .iter()
        .filter(|r| r.kind != UnitKind::Canary && r.kept.is_some());
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
struct Subject<'a> {
    record: &'a RunRecord,
    signature: &'a Signature,
    number: u64,
}

/// Replays the findings of `records` by turns, as long as `has_time` says so of a run of that
/// many milliseconds.
pub async fn replay<E: Execute>(
    directory: &mut Directory,
    executor: &Arc<E>,
    records: &[RunRecord],
    mut replays: Vec<Replay>,
    has_time: impl Fn(u64) -> bool,
    interrupt: &Interrupt,
) -> Result<Vec<Replay>, DirectoryError> {
    let mut unreadable = BTreeSet::new();
    loop {
        let readable: Vec<RunRecord> = records
            .iter()
            .filter(|r| !unreadable.contains(&r.unit))
            .cloned()
            .collect();
        let Some(subject) = next(&readable, &replays) else {
            break;
        };
        if interrupt.has_come() || !has_time(subject.record.duration_ms) {
            break;
        }
        let plan = directory.kept(&subject.record.unit).join("plan.json");
        let Ok(plan) = Plan::load(&plan) else {
            unreadable.insert(subject.record.unit.clone());
            continue;
        };
        let unit = Unit::new(subject.record.kind, &subject.record.name, None, plan);
        let name = format!("replay-{}", unit.id);
        let work = directory.work(&name)?;
        let ran = executor
            .execute(Arc::new(unit), work, interrupt.clone())
            .await;
        directory.drop_work(&name)?;
        let came_back = match &ran.ending {
            Ending::Interrupted => break,
            Ending::Finished { summary, .. } => Some(is_same_failure(
                &signatures(summary),
                std::slice::from_ref(subject.signature),
            )),
            Ending::MachineCannot { .. } | Ending::NoVerdict { .. } => None,
        };
        let replay = Replay {
            signature: subject.signature.id.clone(),
            unit: subject.record.unit.clone(),
            number: subject.number,
            started: ran.started,
            duration_ms: ran.duration_ms,
            came_back,
        };
        directory.append_replay(&replay)?;
        replays.push(replay);
    }
    Ok(replays)
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
        while let Some(subject) = next(&records, &replays) {
            turns.push((subject.record.seed, subject.number));
            replays.push(replayed(&subject.signature.id, subject.number, None));
        }
        assert_eq!(turns.len() as u64, 2 * TIMES);
        assert_eq!(turns.get(..4), Some(&[(2, 0), (3, 0), (2, 1), (3, 1)][..]));
    }
}
