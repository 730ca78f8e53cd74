//! One line of a history: the invocation or the completion of an operation.
//!
//! `index` orders all lines; it is the clock of the checkers: A precedes B iff A's completion has
//! a lower index than B's invocation. A process is one logical thread: it has at most one
//! operation open. `time` is for people.

use serde::{Deserialize, Serialize};

use crate::history::action::Action;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Op {
    /// The position in the history: strictly increasing, from 0.
    pub index: u64,
    /// Nanoseconds since the start of the run, on the clock of the recorder.
    pub time: u64,
    /// Which logical thread; a crashed client gets a new number.
    pub process: u64,
    /// Invocation, or how the operation ended.
    #[serde(rename = "type")]
    pub kind: OpType,
    /// `f` and `value`.
    #[serde(flatten)]
    pub action: Action,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OpError>,
    /// Which client or node did it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Box<str>>,
}

/// Invocation, or how an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpType {
    /// The operation begins.
    Invoke,
    /// It took effect, and `value` says what came back.
    Ok,
    /// It certainly took no effect, now or later.
    Fail,
    /// Nobody knows: it took effect, or will, or never.
    Info,
}

/// Why an operation did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpError {
    /// Kafka's name of the error (`NOT_ENOUGH_REPLICAS`) or the client's (`timeout`).
    pub code: Box<str>,
    /// For people.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}
