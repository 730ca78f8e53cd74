//! What consumers of a group do and see: the values of `subscribe`, `leave`, `rebalance`,
//! `resume`, `process`, `commit`, `committed` and `delete-offsets`.
//!
//! A member needs several processes (one polls, others work and commit); `consumer`, the name of
//! one life of one client such as `c4.2`, joins them. What was recorded as owned was owned: see
//! the rules of `docs/history.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::action::Action;
use crate::history::header::Settings;
use crate::history::key::Key;
use crate::history::record::Record;

/// A consumer joins a group. The process that subscribes is the one that polls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
    /// What it wants to read.
    pub topics: Vec<String>,
    /// What it does with what it reads.
    pub mode: CommitMode,
    /// `group.instance.id` of a static member.
    pub instance: Option<Box<str>>,
}

/// A consumer leaves its group: close or unsubscribe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
}

/// What the rebalance listener of a consumer was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebalance {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
    /// What happened to the partitions.
    pub event: RebalanceEvent,
    /// The broker's id of the member.
    pub member: Box<str>,
    /// The generation in which it was told.
    pub generation: i32,
    /// Those that change hands; a cooperative member keeps the others.
    pub partitions: Vec<Key>,
}

/// What happened to partitions of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebalanceEvent {
    /// They are its own from now on.
    Assigned,
    /// It gives them up in order.
    Revoked,
    /// They were taken from it before it knew.
    Lost,
}

/// Where a newly assigned partition starts, before its first record is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
    /// The generation of the assignment.
    pub generation: i32,
    /// The partition.
    pub key: Key,
    /// The offset of the first record that it will read.
    pub offset: i64,
    /// Who says so.
    pub source: ResumeSource,
}

/// What a position comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResumeSource {
    /// The group's committed offset.
    Committed,
    /// `auto.offset.reset`, because there was none.
    Reset,
}

/// The effect of records on the outside world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// What is processed, in this order within a partition.
    pub records: BTreeMap<Key, Vec<Record>>,
}

/// A member commits offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Which life of which client.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
    /// How the application asked.
    pub mode: CommitCall,
    /// The broker's id of the member; empty for who is no member.
    pub member: Box<str>,
    /// The generation that the request carries; negative for who is no member.
    pub generation: i32,
    /// For each partition the offset to read next.
    pub offsets: BTreeMap<Key, i64>,
}

/// How a commit was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitCall {
    /// `commit_sync`: retried until known.
    Sync,
    /// `commit_async`: tried once.
    Async,
    /// By the client itself, `enable.auto.commit`.
    Auto,
}

/// Somebody asks for the committed offsets of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// The group.
    pub group: Box<str>,
    /// The answers; `null` where there is none, and in the invocation.
    pub offsets: BTreeMap<Key, Option<i64>>,
}

/// Somebody deletes the committed offsets of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteOffsets {
    /// The group.
    pub group: Box<str>,
    /// The partitions.
    pub keys: Vec<Key>,
}

/// What an application does with what it reads, and when it commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitMode {
    /// Poll, process all, poll; the client commits what it gave out before.
    #[default]
    AutoInLoop,
    /// Poll, hand the records to another task, poll at once.
    AutoHandoff,
    /// Poll, process, `commit_sync`.
    SyncAfter,
    /// Poll, process, `commit_async`.
    AsyncAfter,
    /// Poll, `commit_sync`, and process only what is known to be committed.
    SyncBefore,
}

impl CommitMode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::AutoInLoop,
        Self::AutoHandoff,
        Self::SyncAfter,
        Self::AsyncAfter,
        Self::SyncBefore,
    ];

    /// What a member does, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Self::AutoInLoop => {
                "poll, process all, poll; the client commits what it gave out before"
            }
            Self::AutoHandoff => "poll, hand the records to another task, poll; the client commits",
            Self::SyncAfter => "poll, process, commitSync",
            Self::AsyncAfter => "poll, process, commitAsync",
            Self::SyncBefore => "poll, commitSync, and process only what is known to be committed",
        }
    }

    /// The name in histories and plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::AutoInLoop => "auto-in-loop",
            Self::AutoHandoff => "auto-handoff",
            Self::SyncAfter => "sync-after",
            Self::AsyncAfter => "async-after",
            Self::SyncBefore => "sync-before",
        }
    }
}

/// What is wrong with an action of a group beyond its form, and what would be right.
pub(crate) fn fault(action: &Action, settings: &Settings) -> Option<(String, &'static str)> {
    let offset = "an offset is the number of the record to read next, 0 or more";
    let bad = |o: &i64| *o < 0;
    match action {
        action if settings.group.is_none() && action.is_of_groups() => Some((
            format!("{} in a run without groups", action.name()),
            "the settings in the header need \"group\": see docs/history.md",
        )),
        Action::Resume(resume) if bad(&resume.offset) => Some((
            format!("{} resumes at {}", resume.key, resume.offset),
            offset,
        )),
        Action::Commit(commit) => commit
            .offsets
            .iter()
            .find(|(_, o)| bad(o))
            .map(|(key, o)| (format!("{key} is committed at {o}"), offset)),
        Action::Committed(committed) => committed
            .offsets
            .iter()
            .find_map(|(key, o)| o.filter(bad).map(|o| (key, o)))
            .map(|(key, o)| {
                let remedy = "a partition without a committed offset is null";
                (format!("{key} is committed at {o}"), remedy)
            }),
        _ => None,
    }
}
