//! Events of the nemesis: which fault, on what, and how far it has come.
//!
//! They are operations of `f: "nemesis"` and type `info`, never paired. Contracts read from them
//! which faults really happened.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NemesisEvent {
    /// The name of the fault, as `verdict list faults` prints it.
    pub fault: String,
    /// What the fault can do to the promises.
    pub class: FaultClass,
    /// How far it has come.
    pub phase: Phase,
    /// What it was aimed at, resolved: `"n2"`, `["n1", "n3"]`, `"n1->n2"`.
    #[serde(default)]
    pub target: Value,
    /// Anything else worth reading later: the proof of effect, the role that was resolved.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// What a fault can do to the promises of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// A node stops cleanly and restarts.
    Stop,
    /// A node's process dies; what it had written stays in the page cache.
    ProcessCrash,
    /// A node freezes and wakes up with an old view of the world.
    Pause,
    /// Messages between some nodes or clients are lost, delayed, cut or reset.
    Network,
    /// Disk operations are slow or fail, without loss of what was flushed.
    Disk,
    /// A node loses what it had not flushed.
    PowerLoss,
    /// Stored or transmitted bytes change.
    Corruption,
    /// A client dies or freezes.
    Client,
    /// Membership or placement changes.
    Membership,
}

/// How far a fault has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The fault begins.
    Inject,
    /// Its effect was observed.
    Prove,
    /// It had no effect that could be observed.
    Vacuous,
    /// The fault ends.
    Heal,
    /// The cluster was observed to have recovered from it.
    Recovered,
}
