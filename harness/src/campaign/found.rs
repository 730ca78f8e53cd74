//! What a campaign found broken, one entry for each signature.
//!
//! In: what is stored. Out: how often each was found and comes back, and the command that shows it.
//! Invariant: planted bugs are no findings, and every finding has a command that runs it again.

use std::collections::BTreeMap;

use crate::campaign::directory::Stored;
use crate::campaign::record::{RunRecord, UnitKind};
use crate::campaign::replays;
use crate::campaign::signature::Signature;
use crate::minimize::trial::Rate;

/// One signature.
#[derive(Debug)]
pub struct Finding<'a> {
    /// What was found.
    pub signature: &'a Signature,
    /// In how many runs.
    pub runs: usize,
    /// The first of them.
    pub first: &'a RunRecord,
    /// How often it came back, if it was replayed.
    pub rate: Option<Rate>,
}

/// Every finding, by the id of its signature.
pub fn findings(stored: &Stored) -> Vec<Finding<'_>> {
    let rates = replays::rates(&stored.replays);
    let mut by_id: BTreeMap<&str, Finding<'_>> = BTreeMap::new();
    let records = stored.records.iter();
    for record in records.filter(|record| record.kind != UnitKind::Canary) {
        for signature in &record.findings {
            let found = by_id.entry(&signature.id).or_insert_with(|| Finding {
                signature,
                runs: 0,
                first: record,
                rate: rates.get(signature.id.as_str()).copied(),
            });
            found.runs += 1;
            let age = |record: &RunRecord| (record.started.clone(), record.unit.clone());
            if age(record) < age(found.first) {
                found.first = record;
            }
        }
    }
    by_id.into_values().collect()
}

impl Finding<'_> {
    /// How often it was found and comes back, in words: r with its interval.
    pub fn rate(&self) -> String {
        let runs = match self.runs {
            1 => "1 run".to_owned(),
            runs => format!("{runs} runs"),
        };
        format!("{runs}, {}", replays::words(self.rate.as_ref()))
    }

    /// What happens, in words.
    pub fn what(&self) -> String {
        let Signature { promise, shape, .. } = self.signature;
        format!("promised: {promise}; seen: {shape}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::fixture::{self, record, signature};
    use crate::campaign::replays::Replay;
    use crate::cli::exit::Exit;

    #[test]
    fn each_signature_once_with_its_rate_and_the_command_of_its_first_run() {
        let with = |number, ids: &[&str]| RunRecord {
            findings: ids.iter().map(|id| signature(id)).collect(),
            ..record(number, Exit::Broken)
        };
        let mut planted = with(1, &["c"]);
        planted.kind = UnitKind::Canary;
        let mut stored = fixture::stored(vec![with(9, &["a"]), with(2, &["b", "a"]), planted]);
        stored.replays = [Some(true), Some(false), None]
            .map(|came_back| Replay {
                signature: "a".to_owned(),
                unit: "u".to_owned(),
                number: 0,
                started: String::new(),
                duration_ms: 1,
                came_back,
            })
            .to_vec();
        let found = findings(&stored);
        let said = found.iter().map(|found| {
            let rate = found.rate();
            (found.signature.id.as_str(), rate, found.first.command())
        });
        let wanted = [
            ("a", "2 runs, r = 1/2 (95 %: 0.09 to 0.91)"),
            ("b", "1 run, r is not known"),
        ]
        .map(|(id, rate)| {
            (
                id,
                rate.to_owned(),
                "verdict run --swarm --seed 2".to_owned(),
            )
        });
        assert!(said.eq(wanted), "{found:?}");
    }
}
