//! The part of a plan that makes the run's consumers members of a group.

use checkers::history::{CommitMode, OffsetReset};
use serde::{Deserialize, Serialize};

/// How the consumers share their work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPlan {
    /// The group's name.
    pub group: String,
    /// What members do with what they read, and when they commit.
    pub mode: CommitMode,
    /// Assignors by their names on the wire, most preferred first.
    pub assignors: Vec<String>,
    /// Where a member starts in a partition without a committed offset.
    pub reset: OffsetReset,
    /// `session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u64,
    /// `max.poll.interval.ms`, which is also the rebalance timeout.
    pub max_poll_interval_ms: u64,
    /// `auto.commit.interval.ms`, for the modes in which the client commits.
    pub auto_commit_interval_ms: u64,
    /// Whether every client is a static member, with its own `group.instance.id`.
    pub static_members: bool,
    /// The time that processing one record takes is drawn evenly from this inclusive range, in
    /// milliseconds.
    pub process_ms: [u64; 2],
}
