//! How a run ended: `verdict.json`, and the exit code.
//!
//! In: what the cluster did after healing, what the faults proved, the verdict of the checkers.
//! Out: one sentence, one exit code, and everything that supports them.
//! Invariant: a found violation outranks everything; an outcome is never better than its worst
//! part.

use checkers::anomaly::Class;
use checkers::verdict::{Validity, Verdict};
use serde::{Deserialize, Serialize};

use crate::cli::exit::Exit;
use crate::matrix::RowOutcome;
use crate::nemesis::{Effect, FaultReport, FaultSpec};
use crate::plan::when::Condition;
use crate::plan::{Plan, ScheduledFault};
use crate::workload::stats::Counts;

/// The version of the format of `verdict.json`.
pub const SUMMARY_FORMAT: u32 = 1;

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// [`SUMMARY_FORMAT`].
    pub format: u32,
    /// The exit code.
    pub exit_code: u8,
    /// The exit code as a word.
    pub outcome: String,
    /// The verdict in a sentence.
    pub sentence: String,
    /// The seed of the plan.
    pub seed: u64,
    /// The profile of the plan.
    pub profile: String,
    /// The planted bug that the brokers ran with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<String>,
    /// The client under test.
    pub client: String,
    /// The length of the run in milliseconds.
    pub duration_ms: u64,
    /// What the clients counted.
    pub counts: Counts,
    /// What became of the cluster after healing.
    pub liveness: Liveness,
    /// Nodes that ended although nobody asked for it, each in a sentence.
    pub deaths: Vec<String>,
    /// One entry for each fault of the plan, by number.
    pub faults: Vec<FaultSummary>,
    /// What the checkers say.
    pub verdict: Verdict,
    /// What the run says of each row of the matrix that it covered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowOutcome>,
    /// The command that runs the same plan again.
    pub reproduce: String,
}

/// What became of the cluster after healing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Liveness {
    /// It was whole and made progress, and everything could be read.
    Recovered {
        /// From the end of healing to progress in every partition, in milliseconds.
        after_ms: u64,
    },
    /// It was not, within the deadline.
    NotRecovered {
        /// What was missing.
        reason: String,
    },
    /// The run ended before: interrupted, or a fault of the harness.
    NotReached {
        /// Why.
        reason: String,
    },
}

/// What became of one fault of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSummary {
    /// The number in the plan, from 0.
    pub number: usize,
    /// The fault's name.
    pub name: String,
    /// Whom it was aimed at.
    pub role: String,
    /// When it was planned, in milliseconds since the start of the workload.
    pub at_ms: u64,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// What is known of it; absent if the run ended before it was over.
    pub report: Option<FaultReport>,
}

/// Everything that a summary is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The client under test.
    pub client: String,
    /// The length of the run in milliseconds.
    pub duration_ms: u64,
    /// What the clients counted.
    pub counts: Counts,
    /// What became of the cluster.
    pub liveness: Liveness,
    /// What the run says of each topic, as a row of the matrix.
    pub rows: Vec<RowOutcome>,
    /// Whether it was not reached because the harness failed.
    pub is_harness_fault: bool,
    /// Nodes that ended by themselves.
    pub deaths: Vec<String>,
    /// What became of the faults.
    pub faults: Vec<FaultSummary>,
    /// What the checkers say.
    pub verdict: Verdict,
    /// The command that runs the plan again.
    pub reproduce: String,
}

impl Summary {
    /// Draws the conclusion.
    pub fn conclude(mut parts: Parts<'_>) -> Self {
        if let Liveness::NotReached { reason } = &parts.liveness {
            parts.verdict.raise(Validity::Inconclusive, reason);
        }
        weigh_topics(&mut parts);
        let (exit, sentence) = conclusion(&parts);
        let Parts {
            plan,
            client,
            duration_ms,
            counts,
            liveness,
            deaths,
            faults,
            ..
        } = parts;
        Self {
            format: SUMMARY_FORMAT,
            exit_code: exit.code(),
            outcome: exit.word().to_owned(),
            sentence,
            seed: plan.seed,
            profile: plan.profile.clone(),
            sabotage: plan.cluster.sabotage.clone(),
            client,
            duration_ms,
            counts,
            liveness,
            deaths,
            faults,
            verdict: parts.verdict,
            rows: parts.rows,
            reproduce: parts.reproduce,
        }
    }

    /// The exit.
    pub fn exit(&self) -> Exit {
        Exit::from_code(i32::from(self.exit_code))
    }

    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.exit() == Exit::Kept
    }

    /// Whether a promise was broken.
    pub fn is_violation(&self) -> bool {
        self.exit() == Exit::Broken
    }
}

/// Of several topics the one decides that stayed silent against its contract; if all that are
/// silent may be so, one of those.
fn weigh_topics(parts: &mut Parts<'_>) {
    let is_reached = !matches!(parts.liveness, Liveness::NotReached { .. });
    if parts.rows.len() < 2 || !is_reached {
        return;
    }
    let silent = parts.rows.iter().filter_map(|row| match &row.liveness {
        Liveness::NotRecovered { reason } => Some((row, reason)),
        _ => None,
    });
    let is_excused = |row: &RowOutcome| row.verdict.may_stay_silent().is_some();
    if let Some((row, reason)) = silent.min_by_key(|(row, _)| is_excused(row)) {
        let reason = format!("{}: {reason}", row.topic);
        parts.liveness = Liveness::NotRecovered { reason };
        parts.verdict.available_after_heal = row.verdict.available_after_heal.clone();
    }
}

/// The exit and the sentence: the first of the following that holds.
fn conclusion(parts: &Parts<'_>) -> (Exit, String) {
    let verdict = &parts.verdict;
    let is_broken = verdict
        .checks
        .iter()
        .any(|c| c.is_broken() && c.class == Class::Safety);
    if is_broken {
        return (Exit::Broken, verdict.sentence.clone());
    }
    if let Some(death) = parts.deaths.first() {
        return (Exit::Broken, format!("Broken: {death}."));
    }
    match &parts.liveness {
        Liveness::NotRecovered { reason } => match verdict.may_stay_silent() {
            None => return (Exit::Unavailable, format!("Unavailable: {reason}.")),
            Some(because) if verdict.validity == Validity::Valid => {
                let sentence =
                    format!("Kept, and unavailable as is allowed: {reason} ({because}).");
                return (Exit::Kept, sentence);
            }
            Some(_) => {}
        },
        Liveness::NotReached { reason } if parts.is_harness_fault => {
            return (Exit::HarnessFault, format!("The harness failed: {reason}."));
        }
        Liveness::NotReached { .. } | Liveness::Recovered { .. } => {}
    }
    let of_checkers = Exit::from_code(i32::from(verdict.exit_code()));
    if of_checkers != Exit::Kept {
        return (of_checkers, verdict.sentence.clone());
    }
    if !parts.faults.is_empty() && !parts.faults.iter().any(FaultSummary::was_seen) {
        let count = parts.faults.len();
        let sentence = format!("Vacuous: none of the {count} planned faults had an effect.");
        return (Exit::Vacuous, sentence);
    }
    if let Some(sentence) = missed(parts) {
        return (Exit::Vacuous, sentence);
    }
    (Exit::Kept, verdict.sentence.clone())
}

/// What the plan is about did not come: a fault that waits for it was never injected, or it was to
/// take data and took none.
fn missed(parts: &Parts<'_>) -> Option<String> {
    let planned = |fault: &FaultSummary| parts.plan.faults.get(fault.number);
    let is_needed = |fault: &&FaultSummary| {
        let when = planned(fault).and_then(|planned| planned.when.as_ref());
        when.is_some_and(|when| when.is_needed)
    };
    let mut needed = parts.faults.iter().filter(is_needed);
    needed.find_map(|fault| {
        let is_empty = planned(fault).is_some_and(is_about_data) && !fault.was_seen();
        let report = fault.report.as_ref();
        let report = report.filter(|it| is_empty || it.targets.is_empty())?;
        let (Effect::Vacuous(reason) | Effect::Seen(reason)) = &report.effect;
        let (number, name) = (fault.number + 1, &fault.name);
        Some(format!("Vacuous: fault {number}, {name}: {reason}."))
    })
}

/// Whether the plan is about what this fault takes; that a node recovers shows it anyway.
fn is_about_data(planned: &ScheduledFault) -> bool {
    let takes = matches!(
        planned.what,
        FaultSpec::PowerLoss { .. } | FaultSpec::Damage { .. }
    );
    let when = planned.when.as_ref();
    takes && when.is_some_and(|when| !matches!(when.holds, Condition::Recovers { .. }))
}

impl FaultSummary {
    /// Whether the fault proved its effect.
    pub fn was_seen(&self) -> bool {
        self.report
            .as_ref()
            .is_some_and(|report| matches!(report.effect, Effect::Seen(_)))
    }
}
