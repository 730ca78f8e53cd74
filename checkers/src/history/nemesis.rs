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

impl NemesisEvent {
    /// The nodes that it was aimed at: `n1` of `"n1"`, of `["n1","c4"]` and of `"n1/d0"`.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&Value> = match &self.target {
            Value::Array(names) => names.iter().collect(),
            name => vec![name],
        };
        let is_node = |name: &&str| {
            let id = name.strip_prefix('n').unwrap_or_default();
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
        };
        let names = names.into_iter().filter_map(Value::as_str);
        names
            .map(|name| name.split('/').next().unwrap_or_default())
            .filter(is_node)
    }

    /// Whether it says that a good copy of everything acknowledged was left.
    pub fn is_atlas(&self) -> bool {
        self.detail.get("atlas") == Some(&Value::Bool(true))
    }

    /// The sentences about nodes that the nemesis had to start again, as `node 2 had ended …`.
    pub fn repairs(&self) -> impl Iterator<Item = &str> {
        let told = self.detail.get("repaired").and_then(Value::as_array);
        told.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether it says that this node, `n2`, had to be started again.
    pub fn repaired(&self, node: &str) -> bool {
        let id = node.strip_prefix('n').unwrap_or(node);
        let begin = format!("node {id} ");
        self.repairs().any(|told| told.starts_with(&begin))
    }
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
    /// Disk operations fail, without loss of what was flushed.
    Disk,
    /// Disk operations are slow or hang, and none fails.
    DiskStall,
    /// A disk has no space left; what was written stays.
    DiskFull,
    /// An fsync says that it succeeded and makes nothing durable; shows when the power goes.
    LyingDisk,
    /// A node loses what it had not flushed.
    PowerLoss,
    /// Stored or transmitted bytes change.
    Corruption,
    /// A log directory is emptied, or replaced by an older or another one.
    Wipe,
    /// A process gets less of the machine: file descriptors, memory, processor time.
    Resource,
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
    /// What it does is done: told by faults that kill, beside `inject`, which comes before.
    Act,
    /// It is about to end: told by the same faults.
    End,
    /// Its effect was observed.
    Prove,
    /// It had no effect that could be observed.
    Vacuous,
    /// The fault ends.
    Heal,
    /// The cluster was observed to have recovered from it.
    Recovered,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_name_nodes_in_every_form() {
        for (target, wanted) in [
            (json!("n1"), vec!["n1"]),
            (json!(["n1", "c4", "n12"]), vec!["n1", "n12"]),
            (json!("n2/d1"), vec!["n2"]),
            (json!("n1->n2"), vec![]),
            (json!("node"), vec![]),
            (Value::Null, vec![]),
        ] {
            let event = NemesisEvent {
                fault: "power-loss".into(),
                class: FaultClass::PowerLoss,
                phase: Phase::Inject,
                target,
                detail: Value::Null,
            };
            assert_eq!(event.nodes().collect::<Vec<_>>(), wanted, "{event:?}");
        }
    }
}
