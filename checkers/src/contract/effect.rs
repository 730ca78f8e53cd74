//! What one fault did to one node, as far as it told.
//!
//! In: the events of a fault, from its injection on. Out: the class of fault that it was for a
//! node, or nothing.
//! Invariant: only what is told to have taken nothing takes nothing; without a word it did all that
//! a fault of its class can do. Source: `docs/durability.md`.

use serde_json::Value;

use crate::history::{FaultClass, NemesisEvent, Phase};

/// How the names end of files that a broker makes anew from its records, or whose loss it notices:
/// damage to them takes no copy of a record.
const REBUILT_FILES: [&str; 9] = [
    ".index",
    ".timeindex",
    ".snapshot",
    "leader-epoch-checkpoint",
    "replication-offset-checkpoint",
    "recovery-point-offset-checkpoint",
    "flushed-offset-note",
    "log-start-offset-checkpoint",
    ".kafka_cleanshutdown",
];

/// The same files as the rules of faulty disks call them.
const REBUILT_KINDS: [&str; 5] = [
    "index",
    "producer-snapshot",
    "epoch-checkpoint",
    "checkpoint",
    "shutdown-marker",
];

/// Parts of the names of files, and of kinds of files, that hold the metadata or a vote.
const METADATA_FILES: [&str; 4] = [
    "__cluster_metadata",
    ".checkpoint",
    "quorum-state",
    "metadata-log",
];

/// All that a fault told from its injection, the first of `events`, until it is injected again.
pub(super) fn told_of<'a>(
    fault: &NemesisEvent,
    events: &[&'a NemesisEvent],
) -> Vec<&'a NemesisEvent> {
    let same = |event: &&&NemesisEvent| {
        let is_same = event.fault == fault.fault && event.class == fault.class;
        is_same && event.target == fault.target
    };
    let mut told: Vec<&NemesisEvent> = events.first().copied().into_iter().collect();
    let later = events.iter().skip(1).filter(same);
    told.extend(later.take_while(|event| event.phase != Phase::Inject));
    told
}

/// What a fault of this class did to one of its nodes, as far as it told: what took nothing from a
/// node was no more than the stop that it began with, and a rule that hit nothing did nothing.
pub(super) fn done_to(node: &str, class: FaultClass, told: &[&NemesisEvent]) -> Option<FaultClass> {
    let hit = was_hit(node, told);
    match class {
        FaultClass::PowerLoss | FaultClass::Corruption | FaultClass::Wipe if !hit => {
            let is_rule = told.iter().any(|event| event.detail.get("rule").is_some());
            (!is_rule).then_some(FaultClass::ProcessCrash)
        }
        FaultClass::Disk | FaultClass::DiskFull | FaultClass::DiskStall | FaultClass::LyingDisk
            if !hit =>
        {
            None
        }
        FaultClass::DiskStall if !stayed_up(node, told) => Some(FaultClass::ProcessCrash),
        FaultClass::Corruption if spares_records(told) => Some(FaultClass::ProcessCrash),
        FaultClass::LyingDisk if spares_records(told) => None,
        class => Some(class),
    }
}

/// Whether a fault of this class, which took something of a node, may have taken what it knows of
/// the metadata, or its vote. The metadata log is flushed before anybody counts on it, so that the
/// loss of power alone takes nothing of it.
pub(super) fn takes_metadata(node: &str, class: FaultClass, told: &[&NemesisEvent]) -> bool {
    let of_rule = told.iter().find_map(|event| event.detail.get("rule"));
    let files = of_rule.and_then(|rule| rule.get("files")?.as_array());
    let is_of_metadata = |file: &Value| {
        let file = file.as_str().unwrap_or_default();
        METADATA_FILES.iter().any(|name| file.contains(name)) || file == "."
    };
    let mut damaged = told
        .iter()
        .filter_map(|event| event.detail.get("damaged")?.as_array())
        .flatten()
        .filter(|part| is_of_node(part, node))
        .peekable();
    match class {
        FaultClass::Wipe => true,
        FaultClass::Corruption if damaged.peek().is_some() => {
            damaged.any(|part| part.get("file").is_none_or(is_of_metadata))
        }
        FaultClass::Corruption | FaultClass::LyingDisk => {
            files.is_none_or(|files| files.is_empty() || files.iter().any(is_of_metadata))
        }
        _ => false,
    }
}

/// Whether an entry of a list of disks or files is about this node.
fn is_of_node(part: &Value, node: &str) -> bool {
    let id = part.get("node").and_then(Value::as_i64);
    id.is_some_and(|id| format!("n{id}") == node)
}

/// Whether a node whose disk hung is known to have come back without having been stopped: one that
/// gives up the directory of its metadata log ends, and one that does not come back is killed.
fn stayed_up(node: &str, told: &[&NemesisEvent]) -> bool {
    let is_over = told.iter().any(|event| event.phase == Phase::Recovered);
    is_over && !told.iter().any(|event| event.repaired(node))
}

/// Whether a rule is about files alone that are made anew.
fn spares_records(told: &[&NemesisEvent]) -> bool {
    let files = |event: &&NemesisEvent| {
        let files = event.detail.get("rule")?.get("files")?.as_array()?;
        Some(files.clone())
    };
    let is_rebuilt = |file: &Value| file.as_str().is_some_and(|f| REBUILT_KINDS.contains(&f));
    let files = told.iter().find_map(files).unwrap_or_default();
    !files.is_empty() && files.iter().all(is_rebuilt)
}

/// Whether a change of a file leaves every record where it is.
fn is_rebuilt(part: &Value) -> bool {
    let file = part.get("file").and_then(Value::as_str);
    file.is_some_and(|file| REBUILT_FILES.iter().any(|end| file.ends_with(end)))
}

/// Whether a fault took or hit anything of this node. Its disks and files tell; without them the
/// nemesis, if it saw no effect; and if nobody tells, it did.
fn was_hit(node: &str, told: &[&NemesisEvent]) -> bool {
    let parts = |event: &&NemesisEvent| {
        let mut keys = ["disks", "damaged"].iter();
        keys.find_map(|key| event.detail.get(key)?.as_array().cloned())
    };
    let mut parts = told.iter().filter_map(parts).peekable();
    if parts.peek().is_none() {
        let saw = |phase| told.iter().any(|event| event.phase == phase);
        return saw(Phase::Prove) || !saw(Phase::Vacuous);
    }
    let is_none = |part: &Value, key| part.get(key).and_then(Value::as_u64) == Some(0);
    parts
        .flatten()
        .filter(|part| is_of_node(part, node) && !is_rebuilt(part))
        .any(|part| {
            let is_spared = is_none(&part, "lost") || is_none(&part, "missed");
            !is_spared && !is_none(&part, "hits")
        })
}
