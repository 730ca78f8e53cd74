//! Planted bugs: which were caught, and what share of them.
//!
//! In: the runs of canaries. Out: one row for each planted bug, and the mutation score.
//! Invariant: a bug is caught if one of its runs was caught, and missed once it was tried as often
//! as a campaign's exit asks for; a bug whose runs did not end in a judgement is neither.

use std::collections::BTreeMap;

use crate::campaign::outcome;
use crate::campaign::statistics::interval;
use crate::campaign::{RunRecord, UnitKind};
use crate::report::campaign::matrix::percent;

/// What became of one planted bug.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) runs: u64,
    pub(super) caught: u64,
    pub(super) seed: String,
    pub(super) found: String,
}

/// All planted bugs.
#[derive(Debug)]
pub(super) struct Canaries {
    pub(super) rows: Vec<Row>,
}

impl Canaries {
    /// One row for each of `known`, and for every other that ran.
    pub(super) fn of(runs: &[RunRecord], known: &[(String, String)]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
        for (name, _) in known {
            by_name.entry(name).or_default();
        }
        for run in runs.iter().filter(|run| run.kind == UnitKind::Canary) {
            by_name.entry(&run.name).or_default().push(run);
        }
        let description = |name: &str| {
            let found = known.iter().find(|(known, _)| known == name);
            found.map(|(_, description)| description.clone())
        };
        let rows = by_name.iter();
        let rows = rows.map(|(name, runs)| row(name, description(name).unwrap_or_default(), runs));
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|row| {
            ["missed", "not caught yet", "caught", "not exercised"]
                .iter()
                .position(|state| *state == row.state)
        });
        Self { rows }
    }

    fn count(&self, state: &str) -> u64 {
        self.rows.iter().filter(|row| row.state == state).count() as u64
    }

    /// Bugs that were planted, found or not.
    fn planted(&self) -> u64 {
        self.rows.len() as u64 - self.count("not exercised")
    }

    /// Bugs that were planted and not found, as often as it takes to say so.
    pub(super) fn missed(&self) -> u64 {
        self.count("missed")
    }

    /// The part of the first sentence.
    pub(super) fn sentence(&self) -> String {
        let (caught, planted) = (self.count("caught"), self.planted());
        match planted {
            0 => "no canary ran".to_owned(),
            planted => match self.count("not exercised") {
                0 => format!("canaries caught {caught}/{planted}"),
                idle => format!("canaries caught {caught}/{planted}, {idle} not tried"),
            },
        }
    }

    /// The share of planted bugs that were caught.
    pub(super) fn score(&self) -> String {
        let (caught, planted) = (self.count("caught"), self.planted());
        if planted == 0 {
            return "No planted bug was run: nothing shows that this campaign could have found \
                    one."
                .to_owned();
        }
        let (low, high) = interval(caught, planted);
        format!(
            "Mutation score {caught}/{planted}: of bugs like these a campaign finds {} to {} \
             (95 % interval); {} not planted this time.",
            percent(low),
            percent(high),
            self.count("not exercised")
        )
    }
}

fn row(name: &str, description: String, runs: &[&RunRecord]) -> Row {
    let caught: Vec<&&RunRecord> = runs.iter().filter(|run| run.caught == Some(true)).collect();
    let tried = outcome::canaries(runs.iter().copied()).into_values().next();
    let tried = tried.unwrap_or_default();
    let (mark, state) = match tried.tries {
        _ if tried.caught > 0 => ("✓", "caught"),
        _ if tried.is_missed() => ("✗", "missed"),
        0 => ("–", "not exercised"),
        _ => ("–", "not caught yet"),
    };
    let first = caught.first().copied().or(runs.first());
    let findings = first.iter().flat_map(|run| &run.findings);
    let mut found: Vec<&str> = findings.map(|finding| finding.anomaly.as_str()).collect();
    found.dedup();
    Row {
        name: name.to_owned(),
        description,
        mark,
        state,
        runs: runs.len() as u64,
        caught: caught.len() as u64,
        seed: first.map(|run| run.seed.to_string()).unwrap_or_default(),
        found: found.join(", "),
    }
}
