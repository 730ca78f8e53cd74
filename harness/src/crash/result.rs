//! What became of every state of a crash that was booted, and what that says of the broker.
//!
//! Invariant: a state that could not be judged counts as such and never as good.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cli::exit::Exit;
use crate::disk::journal::CrashState;
use crate::disk::rule::PowerLossEffect;

/// One thing that is wrong with a booted state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It did not come up.
    NotRecovered(String),
    /// A recovered log does not end with a whole batch.
    NotWhole {
        /// As `topic-0`.
        partition: String,
        /// The file, the byte and what is wrong there.
        damage: String,
    },
    /// Records below the fsynced end were on the disk and are gone after recovery.
    DurableLost {
        /// As `topic-0`.
        partition: String,
        /// The first offset that is missing.
        offset: i64,
        /// How many batches are missing.
        batches: u64,
    },
    /// A recovery that was killed and begun anew came to another log than one that was not.
    DiffersAfterKills {
        /// As `topic-0`.
        partition: String,
    },
    /// The contract of the run forbids what clients see.
    Forbidden {
        /// The anomaly.
        anomaly: String,
        /// How often.
        count: u64,
        /// The first one, in a sentence.
        example: String,
    },
}

impl Finding {
    /// Whether the state cannot be used, rather than lacks something.
    pub fn is_unrecoverable(&self) -> bool {
        matches!(self, Self::NotRecovered(_) | Self::NotWhole { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecovered(reason) => write!(f, "did not recover: {reason}"),
            Self::NotWhole { partition, damage } => {
                write!(f, "{partition} is not whole after recovery: {damage}")
            }
            Self::DurableLost {
                partition,
                offset,
                batches,
            } => write!(
                f,
                "{partition} lost {batches} batches that were fsynced, from offset {offset} on"
            ),
            Self::DiffersAfterKills { partition } => {
                write!(
                    f,
                    "{partition} is another one if recovery is killed and begun anew"
                )
            }
            Self::Forbidden {
                anomaly,
                count,
                example,
            } => write!(f, "{anomaly} ({count}): {example}"),
        }
    }
}

/// One state that was booted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateResult {
    /// The nodes that were booted.
    pub nodes: Vec<i32>,
    /// The saved loss, as `crash-1`.
    pub loss: String,
    /// The state of it.
    pub state: CrashState,
    /// What the state lacks of what the nodes had written.
    pub missing: PowerLossEffect,
    /// How often its recovery was killed before.
    pub killed: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Anomalies that the contract allows, and how often they were seen.
    pub allowed: BTreeMap<String, u64>,
    /// The verdict on the history with the reads of the booted cluster, if all nodes were booted.
    pub verdict: Option<String>,
}

/// All states of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrashSummary {
    /// States that were booted and judged.
    pub checked: u64,
    /// Of them, states in which the whole cluster was booted.
    pub whole: u64,
    /// States that did not come up, or not with whole logs.
    pub unrecoverable: u64,
    /// States that lost what the contract or an fsync protects.
    pub forbidden_losses: u64,
    /// States that lost what the contract does not protect.
    pub allowed_losses: u64,
    /// Recoveries that were killed while they went on, and begun anew.
    pub killed: u64,
    /// States in which nothing that was written was missing.
    pub complete: u64,
    /// States that the checkers could not judge, with the reason of the first.
    pub undecided: u64,
    /// States that the harness could not boot, each in a sentence.
    pub harness_faults: Vec<String>,
    /// Why some of the losses of the run were not looked at, each in a sentence.
    pub skipped: Vec<String>,
    /// Jobs side by side.
    pub jobs: usize,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Every state that is not simply good, and every whole-cluster one.
    pub states: Vec<StateResult>,
}

impl CrashSummary {
    /// Counts one state.
    pub fn add(&mut self, result: StateResult) {
        self.checked += 1;
        let is_whole = result.verdict.is_some() || result.nodes.len() > 1;
        self.whole += u64::from(is_whole);
        let is_unrecoverable = result.findings.iter().any(Finding::is_unrecoverable);
        let is_undecided = result.verdict.as_deref() == Some(UNDECIDED);
        self.undecided += u64::from(is_undecided);
        self.unrecoverable += u64::from(is_unrecoverable);
        self.forbidden_losses += u64::from(!is_unrecoverable && !result.findings.is_empty());
        self.allowed_losses += u64::from(!result.allowed.is_empty());
        self.killed += result.killed;
        self.complete += u64::from(result.missing.lost == 0);
        if is_whole || !result.findings.is_empty() {
            self.states.push(result);
        }
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        if self.unrecoverable + self.forbidden_losses > 0 {
            Exit::Broken
        } else if !self.harness_faults.is_empty() {
            Exit::HarnessFault
        } else if self.undecided > 0 {
            Exit::Inconclusive
        } else if self.checked == self.complete {
            // No state lacked anything, so that nothing was recovered from a loss.
            Exit::Vacuous
        } else {
            Exit::Kept
        }
    }
}

/// The verdict of a history that does not allow a judgement.
pub const UNDECIDED: &str = "inconclusive";

#[cfg(test)]
mod tests {
    use super::*;

    fn state(findings: Vec<Finding>) -> StateResult {
        StateResult {
            nodes: vec![1],
            loss: "crash-1".to_owned(),
            state: CrashState::Prefix { keep: 0, of: 1 },
            missing: PowerLossEffect {
                lost: 1,
                ..PowerLossEffect::default()
            },
            killed: 0,
            findings,
            allowed: BTreeMap::new(),
            verdict: None,
        }
    }

    #[test]
    fn the_worst_state_decides() {
        let mut summary = CrashSummary::default();
        assert_eq!(summary.exit(), Exit::Vacuous);
        summary.add(StateResult {
            missing: PowerLossEffect::default(),
            ..state(Vec::new())
        });
        assert_eq!(summary.exit(), Exit::Vacuous, "nothing was missing in any");
        summary.add(state(Vec::new()));
        assert_eq!((summary.exit(), summary.states.len()), (Exit::Kept, 0));
        summary.add(StateResult {
            verdict: Some(UNDECIDED.to_owned()),
            ..state(Vec::new())
        });
        assert_eq!(summary.exit(), Exit::Inconclusive);
        summary.harness_faults.push("no namespace".to_owned());
        assert_eq!(summary.exit(), Exit::HarnessFault);
        summary.add(state(vec![Finding::NotRecovered("panic".to_owned())]));
        let lost = Finding::DurableLost {
            partition: "t-0".to_owned(),
            offset: 1,
            batches: 2,
        };
        summary.add(state(vec![lost]));
        assert_eq!(summary.exit(), Exit::Broken);
        assert_eq!((summary.unrecoverable, summary.forbidden_losses), (1, 1));
        assert_eq!((summary.checked, summary.states.len()), (5, 3));
    }
}
