//! The ledger: the states of a cluster that a run can reach, each with the sign that shows it.
//!
//! In: nothing. Out: a table that commands, campaigns and pages share by name.
//! Invariant: a state counts only from the start of the workload on, and before the nodes are
//! stopped: what every start and every end of a cluster brings about says nothing of a run. Each
//! state is one that a run of some profile or script has reached.

use checkers::anomaly::Kind;
use checkers::history::{Action, FaultClass, NemesisEvent, Op, OpType, Phase};
use checkers::history::{RebalanceEvent, ResumeSource};

use crate::evidence::looks::{self, Look};
use crate::evidence::turns::{self, Course, Shown};

/// A state.
#[derive(Debug)]
pub struct State {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    pub(super) sign: Sign,
}

/// What shows that a state was reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// A line of a node's log has all of these words.
    Line(&'static [&'static str]),
    /// A line has these words, and this field is at least so much.
    AtLeast(&'static str, &'static str, u64),
    /// Operations of that name end with this error.
    Error(&'static str, &'static [&'static str]),
    /// An operation of the history is like this.
    Operation(fn(&Op) -> bool),
    /// A fault says so.
    Fault(fn(&NemesisEvent) -> bool),
    /// Nodes took turns like this, by their own lines.
    Turns(fn(&Course<'_>) -> Option<Shown>),
    /// What the nodes do is like this; the place of the first such look.
    Nodes(fn(&[Look]) -> Option<usize>),
    /// The checkers found one of these.
    Anomaly(&'static [Kind]),
}

use Sign::{Anomaly, AtLeast, Error, Fault, Line, Nodes, Operation, Turns};

const fn state(name: &'static str, description: &'static str, sign: Sign) -> State {
    State {
        name,
        description,
        sign,
    }
}

/// Every state, in the order of the page: replication, the controller, nodes, disks, producers and
/// consumers, groups.
#[rustfmt::skip]
pub const STATES: &[State] = &[
    state("isr-of-one-while-producing", "sends are acknowledged with one replica in sync",
        Turns(turns::isr_of_one_while_producing)),
    state("isr-shrank", "a leader took a replica out of the ISR",
        Line(&["the isr shrank"])),
    state("isr-grew-again", "a replica that had caught up was taken into the ISR",
        Line(&["the isr grew"])),
    state("leader-changed", "another replica began to lead",
        Turns(turns::leader_changed)),
    state("leader-epoch-of-three", "a partition came to its third leader epoch or beyond",
        AtLeast(": leads partition=", "leader_epoch=", 3)),
    state("partition-without-leader", "nobody led a partition",
        Nodes(looks::partition_without_leader)),
    state("leader-replaced-while-frozen", "a frozen leader does not know of its successor",
        Turns(turns::leader_replaced_while_frozen)),
    state("follower-truncated", "a replica cut the end of its log off",
        Line(&["truncates its log"])),
    state("diverging-epoch-answered", "a leader told a follower where their logs part (KIP-595)",
        Line(&["a fetcher's log diverges"])),
    state("last-in-sync-replica-lost", "the log of the last replica in sync is gone",
        Line(&["the log of the last in-sync replica is lost"])),

    state("controller-changed", "another controller became active",
        Turns(turns::controller_changed)),
    state("quorum-without-leader", "a voter of the metadata quorum knew of no leader",
        Line(&["metadata quorum has a new leader or epoch leader=None"])),
    state("decision-dropped", "a controller was deposed before its decision was committed",
        Line(&["a decision of the controller was dropped"])),
    state("broker-fenced", "the controller fenced a broker that it did not hear of",
        Line(&["a broker is fenced"])),
    state("broker-unfenced", "a fenced broker serves again",
        Line(&["a broker is unfenced"])),

    state("controller-and-leader-down", "the controller and another leader are down",
        Nodes(looks::controller_and_leader_down)),
    state("minority-only", "some nodes are up, and fewer than a majority",
        Nodes(looks::minority_only)),
    state("all-brokers-down", "no node is up",
        Nodes(looks::all_down)),
    state("node-halted", "a node stopped because it could not trust its metadata disk",
        Line(&["node halted"])),
    state("foreign-directory-refused", "a node refused the log directory of another one",
        Line(&["belongs to node"])),

    state("clean-restart", "a node found the mark of a clean shutdown",
        Line(&["recovered logs=", "previous_broker_epoch=Some"])),
    state("log-recovered-after-unclean-stop", "a node recovered logs without that mark",
        AtLeast("previous_broker_epoch=None", "recovered logs=", 1)),
    state("torn-tail-cut", "recovery cut off the torn end of a log",
        Line(&["the torn tail of a crash was cut off"])),
    state("damaged-log-set-aside", "a replica whose log is damaged went offline",
        Line(&["a log is damaged; its replica is offline"])),
    state("damaged-log-refetched", "a damaged log is cut, and copied from the leader",
        Line(&["a damaged log is repaired"])),
    state("directory-offline", "a log directory was given up",
        Line(&["log directory is offline"])),
    state("directory-stalled", "a log directory was given up because it hung",
        Line(&["log directory is offline", "log.dir.stall.timeout.ms"])),
    state("directory-came-back", "a log directory that was given up is online again",
        Line(&["log directory is online again"])),
    state("disk-full-answered", "an append found no space",
        Line(&["found no space"])),
    state("write-failed", "a write to a disk failed",
        Line(&["disk failed", "Write of"])),
    state("fsync-failed", "an fsync failed",
        Line(&["disk failed", "Sync of"])),
    state("unflushed-bytes-dropped", "a loss of power took bytes that were not fsynced",
        Fault(dropped_bytes)),
    state("directory-emptied", "a node came back with an empty, old or foreign directory",
        Fault(|fault| fault.class == FaultClass::Wipe && fault.phase == Phase::Prove)),

    state("produce-refused-not-enough-replicas", "a send was refused: too few replicas in sync",
        Error("send", &["NOT_ENOUGH_REPLICAS"])),
    state("produce-outcome-unknown", "nobody knows what became of a send",
        Operation(|op| op.kind == OpType::Info && matches!(op.action, Action::Send(_)))),
    state("retry-deduplicated", "an idempotent retry was already in the log",
        Line(&["a retry is already in the log"])),
    state("out-of-order-sequence-answered", "a batch came out of order for good",
        Error("send", &["OUT_OF_ORDER_SEQUENCE_NUMBER"])),
    state("record-lost", "an acknowledged record is gone",
        Anomaly(&[Kind::LostWrite])),
    state("consumer-behind-truncation", "a consumer learned of a cut below its position",
        Operation(|op| is_poll_error(op, "was truncated to"))),
    state("position-out-of-range", "a consumer's position is not in the log",
        Operation(|op| is_poll_error(op, "is out of range"))),
    state("client-died", "a client was killed or died",
        Operation(|op| matches!(op.action, Action::Crash(_)))),

    state("group-rebalanced", "a member was given partitions",
        Operation(|op| generation_assigned(op).is_some())),
    state("generation-of-three", "a group came to its third generation or beyond",
        Operation(|op| generation_assigned(op).is_some_and(|generation| generation >= 3))),
    state("member-lost-partitions", "partitions were taken from a member before it knew",
        Operation(|op| matches!(&op.action,
            Action::Rebalance(told) if told.event == RebalanceEvent::Lost))),
    state("zombie-fenced", "a commit of an earlier member or generation was refused",
        Error("commit", &["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"])),
    state("commit-outcome-unknown", "nobody knows what became of a commit",
        Operation(|op| op.kind == OpType::Info && matches!(op.action, Action::Commit(_)))),
    state("coordinator-moved", "another broker loaded the group and coordinates it",
        Turns(turns::coordinator_moved)),
    state("resumed-at-committed-offset", "a new owner went on at the committed offset",
        Operation(|op| matches!(&op.action,
            Action::Resume(resume) if resume.source == ResumeSource::Committed))),
    state("offset-reset-used", "a new owner found no committed offset",
        Operation(|op| matches!(&op.action,
            Action::Resume(resume) if resume.source == ResumeSource::Reset))),
    state("processed-twice", "a group processed a record twice",
        Anomaly(&[Kind::GroupDuplicate])),
    state("skipped-by-group", "a group skipped a record for ever",
        Anomaly(&[Kind::GroupLost])),
];

impl State {
    /// How it is recognised, in words.
    pub fn recognised(&self) -> String {
        match self.sign {
            Line(words) => format!("a node prints `{}`", words.join(" … ")),
            AtLeast(words, field, least) => {
                format!("a node prints `{words}` with {field}{least} or more")
            }
            Error(what, codes) => format!("a {what} ends with {}", codes.join(" or ")),
            Operation(_) => "an operation of the history".to_owned(),
            Fault(_) => "the proof of a fault".to_owned(),
            Turns(_) => "the lines of the nodes, and what was acknowledged meanwhile".to_owned(),
            Nodes(_) => "what the nodes do, sampled four times a second".to_owned(),
            Anomaly(kinds) => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                format!("the checkers find {}", names.join(" or "))
            }
        }
    }
}

fn dropped_bytes(fault: &NemesisEvent) -> bool {
    let disks = fault.detail.get("disks").and_then(|disks| disks.as_array());
    let mut lost = disks.into_iter().flatten().map(|disk| &disk["lost_bytes"]);
    fault.phase == Phase::Prove && lost.any(|bytes| bytes.as_u64().is_some_and(|bytes| bytes > 0))
}

fn is_poll_error(op: &Op, words: &str) -> bool {
    let says = |error: &checkers::history::OpError| error.message.contains(words);
    matches!(op.action, Action::Poll(_)) && op.error.as_ref().is_some_and(says)
}

fn generation_assigned(op: &Op) -> Option<i32> {
    match &op.action {
        Action::Rebalance(told) if told.event == RebalanceEvent::Assigned => Some(told.generation),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_state_has_one_name_and_says_how_it_is_recognised() {
        let names: BTreeSet<&str> = STATES.iter().map(|state| state.name).collect();
        assert_eq!(names.len(), STATES.len());
        for state in STATES {
            assert!(!state.recognised().is_empty() && !state.description.is_empty());
        }
    }
}
