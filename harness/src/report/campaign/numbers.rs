//! The numbers of a campaign: runs, how many of them count, how many an hour.
//!
//! In: the runs. Out: [`Numbers`].
//! Invariant: time in which no run was under way is in no rate, so that a campaign that was killed
//! and went on the next day has the rate of its work.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::campaign::{CellState, RunRecord};
use crate::cli::exit::Exit;
use crate::report::campaign::read::Campaign;

/// The numbers of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// All runs, canaries too.
    pub(super) runs: u64,
    /// Runs of the broker as it is whose faults had their effect and whose history was judged.
    pub(super) effective: u64,
    /// Runs in which the harness or the machine failed.
    pub(super) failed: u64,
    /// Distinct signatures of broken promises, of the broker as it is.
    pub(super) broken: u64,
    /// Time in which at least one run was under way, in milliseconds.
    pub(super) busy_ms: u64,
}

impl Numbers {
    /// Counts.
    pub(super) fn of(campaign: &Campaign) -> Self {
        let runs = campaign.runs.iter();
        let findings = campaign.honest().flat_map(|(_, run)| &run.findings);
        // A cluster that does not serve again is told apart from a broken promise.
        let findings = findings.filter(|finding| !finding.is_of_liveness());
        let signatures: std::collections::BTreeSet<&str> =
            findings.map(|finding| finding.id.as_str()).collect();
        let has_broken = campaign.honest().any(|(_, run)| run.is_violation());
        Self {
            runs: campaign.runs.len() as u64,
            effective: campaign
                .honest()
                .filter(|(_, run)| run.is_effective())
                .count() as u64,
            failed: runs.filter(|run| has_failed(run)).count() as u64,
            broken: (signatures.len() as u64).max(u64::from(has_broken)),
            busy_ms: busy_ms(&campaign.runs),
        }
    }

    /// Effective runs an hour; nothing if nothing ran.
    pub(super) fn an_hour(self) -> f64 {
        if self.busy_ms == 0 {
            return 0.0;
        }
        self.effective as f64 * 3_600_000.0 / self.busy_ms as f64
    }

    /// Which share of the runs was effective.
    pub(super) fn share(self) -> f64 {
        self.effective as f64 / self.runs.max(1) as f64
    }
}

/// How a run ended.
pub(super) fn exit(run: &RunRecord) -> Exit {
    Exit::from_code(i32::from(run.exit_code))
}

/// Whether the harness or the machine failed in a run.
pub(super) fn has_failed(run: &RunRecord) -> bool {
    exit(run) == Exit::HarnessFault
}

/// Whether a run broke a promise.
pub(super) fn is_broken(run: &RunRecord) -> bool {
    exit(run) == Exit::Broken || run.cells.iter().any(|cell| cell.state == CellState::Broken)
}

/// A moment of RFC 3339.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long at least one run was under way.
fn busy_ms(runs: &[RunRecord]) -> u64 {
    let span = |run: &RunRecord| {
        let from = moment(&run.started)?.as_millisecond();
        Some((from, from + run.duration_ms as i64))
    };
    let mut spans: Vec<(i64, i64)> = runs.iter().filter_map(span).collect();
    spans.sort_unstable();
    let mut busy = 0;
    let mut until = i64::MIN;
    for (from, to) in spans {
        busy += (to - from.max(until)).max(0);
        until = until.max(to);
    }
    busy as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::UnitKind;
    use checkers::anomaly::Kind;

    use crate::campaign::signature::{Signature, UNAVAILABLE_AFTER_HEAL};
    use crate::report::campaign::sample::run;

    #[test]
    fn a_cluster_that_does_not_serve_again_is_no_broken_promise() {
        let mut campaign = Campaign::default();
        let mut run = run(0);
        run.exit_code = Exit::Unavailable.code();
        run.cells.clear();
        run.findings = [UNAVAILABLE_AFTER_HEAL, Kind::StuckGroup.name()]
            .map(|anomaly| Signature {
                id: anomaly.to_owned(),
                anomaly: anomaly.to_owned(),
                promise: String::new(),
                shape: String::new(),
                faults: Vec::new(),
            })
            .to_vec();
        campaign.runs.push(run);
        assert_eq!(Numbers::of(&campaign).broken, 0);
        campaign.runs[0].findings[0].anomaly = Kind::LostWrite.name().to_owned();
        assert_eq!(Numbers::of(&campaign).broken, 1);
    }

    #[test]
    fn runs_beside_each_other_and_pauses_between_them_are_not_counted_twice() {
        let mut campaign = Campaign::default();
        for (number, started, seconds) in [
            (0, "2026-11-30T01:00:00Z", 20),
            (1, "2026-11-30T01:00:10Z", 20),
            (2, "2026-11-30T01:00:12Z", 5),
            (3, "2026-11-30T09:00:00Z", 30),
        ] {
            let mut run = run(number);
            started.clone_into(&mut run.started);
            run.duration_ms = seconds * 1000;
            run.kind = UnitKind::Swarm;
            campaign.runs.push(run);
        }
        let numbers = Numbers::of(&campaign);
        assert_eq!(numbers.busy_ms, 60_000);
        assert!((numbers.an_hour() - 240.0).abs() < 1e-6, "4 in a minute");
    }
}
