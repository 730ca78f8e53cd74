//! Reads a plan from a file and refuses one that cannot be run, in one line that names the file,
//! the field and the remedy.

use std::path::{Path, PathBuf};

use broker::config::Settings;
use broker::id::BrokerId;
use thiserror::Error;

use crate::cluster::node::properties;
use crate::plan::{PLAN_FORMAT, Plan};

/// A plan that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("{}: cannot read the plan: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The text is not a plan.
    #[error("{}:{line}:{column}: not a plan: {reason}; see any run's plan.json", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A field has a value that makes no sense.
    #[error("{}: {field} is {value}; {remedy}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// Its value.
        value: String,
        /// What would be right.
        remedy: String,
    },
}

impl Plan {
    /// Reads the plan at `path`.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|error| PlanError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Self::parse(&text, path)
    }

    /// Reads a plan from `text`; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(|error| PlanError::Malformed {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            reason: reason(&error),
        })?;
        match plan.complaint() {
            None => Ok(plan),
            Some(Complaint {
                field,
                value,
                remedy,
            }) => Err(PlanError::Invalid {
                path: path.to_owned(),
                field,
                value,
                remedy,
            }),
        }
    }

    /// The first field that cannot be run.
    fn complaint(&self) -> Option<Complaint> {
        let cluster = &self.cluster;
        let workload = &self.workload;
        let nodes = i64::from(cluster.nodes);
        let replicas = i64::from(cluster.replication_factor);
        let [smallest, largest] = workload.payload_bytes;
        range(
            "format",
            i64::from(self.format),
            i64::from(PLAN_FORMAT),
            i64::from(PLAN_FORMAT),
        )
        .or_else(|| range("cluster.nodes", nodes, 1, 9))
        .or_else(|| range("cluster.partitions", i64::from(cluster.partitions), 1, 1000))
        .or_else(|| range("cluster.replication_factor", replicas, 1, nodes))
        .or_else(|| {
            let min_isr = i64::from(cluster.min_insync_replicas);
            range("cluster.min_insync_replicas", min_isr, 1, replicas)
        })
        .or_else(|| range("workload.producers", i64::from(workload.producers), 0, 64))
        .or_else(|| range("workload.consumers", i64::from(workload.consumers), 0, 64))
        .or_else(|| {
            let processes = i64::from(workload.processes_per_producer);
            range("workload.processes_per_producer", processes, 1, 1000)
        })
        .or_else(|| range("workload.payload_bytes[0]", smallest as i64, 16, 1 << 19))
        .or_else(|| {
            range(
                "workload.payload_bytes[1]",
                largest as i64,
                smallest as i64,
                1 << 19,
            )
        })
        .or_else(|| {
            let polls = i64::from(workload.polls_per_assignment);
            range(
                "workload.polls_per_assignment",
                polls,
                1,
                i64::from(u32::MAX),
            )
        })
        .or_else(|| {
            let polls = i64::from(workload.polls_per_end_read);
            range("workload.polls_per_end_read", polls, 1, i64::from(u32::MAX))
        })
        .or_else(|| self.broker_refusal())
        .or_else(|| self.late_fault())
    }

    /// What the broker itself would say about its settings.
    fn broker_refusal(&self) -> Option<Complaint> {
        let text = properties(self, BrokerId(1), "/data");
        let refusal = Settings::parse::<&str>(&text, &[]).err()?;
        Some(Complaint {
            field: "cluster.broker_settings".to_owned(),
            value: "refused by the broker".to_owned(),
            remedy: refusal.to_string(),
        })
    }

    /// A fault that would be healed after the workload's end.
    fn late_fault(&self) -> Option<Complaint> {
        let end = self.time.workload_ms;
        let late = |at: u64, length: u64| at.checked_add(length).is_none_or(|heal| heal > end);
        let (i, fault) = self
            .faults
            .iter()
            .enumerate()
            .find(|(_, fault)| late(fault.at_ms, fault.for_ms))?;
        Some(Complaint {
            field: format!("faults[{i}].for_ms"),
            value: fault.for_ms.to_string(),
            remedy: format!(
                "with at_ms {} it ends after time.workload_ms {end}; shorten it or raise that",
                fault.at_ms
            ),
        })
    }
}

struct Complaint {
    field: String,
    value: String,
    remedy: String,
}

fn range(field: &str, value: i64, low: i64, high: i64) -> Option<Complaint> {
    (!(low..=high).contains(&value)).then(|| Complaint {
        field: field.to_owned(),
        value: value.to_string(),
        remedy: format!("it must be {low} to {high}"),
    })
}

/// The parser's message without the position, which the line already carries.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}
