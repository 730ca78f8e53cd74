//! The words of the protocol for a member of a group: its settings, and what it tells unasked.
//!
//! Invariant: the worker does not go on with what an event tells of before the harness has
//! acknowledged it: the client joins, gives up, resumes or commits only after that.
//!
//! ```text
//! → {"id":2,"op":"subscribe","topic":"t"}
//! ← {"id":2,"ok":"done"}
//! → {"id":3,"op":"poll","timeout_ms":200}
//! ← {"event":1,"rebalance":{"event":"assigned","member":"m","generation":5,"partitions":[0]}}
//! → {"ack":1}
//! ← {"event":2,"resume":{"generation":5,"partition":3,"offset":17,"source":"committed"}}
//! → {"ack":2}
//! ← {"id":3,"ok":{"polled":{"partitions":[{"partition":3,"records":[[17,9]]}]}}}
//! → {"id":4,"op":"process","partition":3,"offset":17,"process_ms":2}
//! ← {"id":4,"ok":"done"}
//! → {"id":5,"op":"commit-sync"}
//! ← {"event":3,"commit-begins":{"commit":1,"mode":"sync","member":"m","generation":5,…}}
//! → {"ack":3}
//! ← {"event":4,"commit-ended":{"commit":1}}
//! → {"ack":4}
//! ← {"id":5,"ok":"done"}
//! → {"id":6,"op":"committed","topic":"t","partitions":[0,3]}
//! ← {"id":6,"ok":{"committed":{"partitions":[[0,null],[3,18]]}}}
//! → {"id":7,"op":"leave"}
//! ```
//! Every attempt of a commit, also of the client itself, is one pair of events.

use checkers::history::{CommitCall, OffsetReset, RebalanceEvent, ResumeSource};
use serde::{Deserialize, Serialize};

use crate::worker::protocol::WorkerError;

/// The settings of a member, named as Kafka names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupOptions {
    /// `group.id`.
    pub group: String,
    /// `group.instance.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `auto.offset.reset`.
    pub reset: OffsetReset,
    /// `partition.assignment.strategy`, by the names on the wire, most preferred first.
    pub assignors: Vec<String>,
    /// `session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u64,
    /// `max.poll.interval.ms`.
    pub max_poll_interval_ms: u64,
    /// `auto.commit.interval.ms`; absent without `enable.auto.commit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_commit_interval_ms: Option<u64>,
    /// Whether it commits in the listener what it has processed of partitions that are revoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commit_on_revocation: bool,
}

/// One unasked line from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Chosen by the worker, unique in its life.
    pub event: u64,
    /// What it tells.
    #[serde(flatten)]
    pub told: Told,
}

/// The harness has taken note of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The event's number.
    pub ack: u64,
}

/// What a worker tells unasked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Partitions change hands.
    Rebalance {
        /// The client has them, gives them up after the acknowledgement, or has lost them.
        event: RebalanceEvent,
        /// The broker's id of the member.
        member: String,
        /// The generation.
        generation: i32,
        /// Those that change hands.
        partitions: Vec<i32>,
    },
    /// A newly assigned partition starts here, before its first record is given out.
    Resume {
        /// The generation of the assignment.
        generation: i32,
        /// The partition.
        partition: i32,
        /// The offset that is read first.
        offset: i64,
        /// What says so.
        source: ResumeSource,
    },
    /// A commit is about to be sent.
    CommitBegins {
        /// Chosen by the worker, unique in its life.
        commit: u64,
        /// Who asked for it.
        mode: CommitCall,
        /// The broker's id of the member; empty for who is no member.
        member: String,
        /// The generation that the request carries; negative for who is no member.
        generation: i32,
        /// Pairs of partition and the offset to read next.
        offsets: Vec<(i32, i64)>,
    },
    /// A commit is over.
    CommitEnded {
        /// That of `commit-begins`.
        commit: u64,
        /// Absent if it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<WorkerError>,
    },
}
