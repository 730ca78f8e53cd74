//! What an operation does and sees: `f` and `value`, in the shapes of Jepsen's kafka workload.
//!
//! | f | value of the invocation | value of the `ok` completion |
//! |---|---|---|
//! | `send` | `[["send", "t-0", 17]]` | `[["send", "t-0", [42, 17]]]` (acks=0: `[null, 17]`) |
//! | `poll` | `[["poll"]]` | `[["poll", {"t-0": [[42, 17], [43, 9]]}]]` |
//! | `list-offsets` | `[["end", "t-0"]]` | `[["end", "t-0", 44]]` |
//! | `assign` | `["t-0", "t-1"]` | the same |
//! | `seek` | `{"t-0": "beginning", "t-1": 17}` | the same |
//! | `subscribe`, `leave`, `process`, `commit` | objects, see `group` | the same |
//! | `committed`, `delete-offsets` | objects, see `group` | with the answers; the same |
//! | `rebalance`, `resume` | objects, see `group` | never invoked: an `ok` of its own |
//! | `crash` | `null` or a reason | never `ok`: the process ends |
//! | `admin`, `nemesis` | free, see `NemesisEvent` | free |
//!
//! A completion that is not `ok` repeats the value of its invocation, or what is known of it.

use std::collections::BTreeMap;

use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::history::group::{
    Commit, Committed, DeleteOffsets, Leave, Process, Rebalance, Resume, Subscribe,
};
use crate::history::key::Key;
use crate::history::micro_op::{Bounded, OneOrTwo, PollTag, SendTag, Sent};
use crate::history::nemesis::NemesisEvent;
use crate::history::record::Record;

/// `f` and `value` of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "f", content = "value", rename_all = "kebab-case")]
pub enum Action {
    /// A producer sends records, in this order.
    Send(Vec<Send>),
    /// A consumer asks for the next records of its assignment.
    Poll(Poll),
    /// The bounds of partitions are read.
    ListOffsets(Vec<ListOffset>),
    /// A consumer takes exactly these partitions; positions of others are forgotten, and those of
    /// newly taken partitions are unknown until a seek.
    Assign(Vec<Key>),
    /// A consumer moves to these positions.
    Seek(BTreeMap<Key, Position>),
    /// A consumer joins a group.
    Subscribe(Box<Subscribe>),
    /// A consumer leaves its group.
    Leave(Box<Leave>),
    /// A consumer is told of a change of its partitions; never paired.
    Rebalance(Box<Rebalance>),
    /// A consumer is told where a partition starts; never paired.
    Resume(Box<Resume>),
    /// Records take their effect on the outside world.
    Process(Box<Process>),
    /// A member commits.
    Commit(Box<Commit>),
    /// The committed offsets of a group are read.
    Committed(Box<Committed>),
    /// The committed offsets of a group are deleted.
    DeleteOffsets(Box<DeleteOffsets>),
    /// The client process dies; its successor has another process number.
    Crash(Option<String>),
    /// A change or question to the cluster, for the reader of the report.
    Admin(serde_json::Value),
    /// An event of a fault.
    Nemesis(Box<NemesisEvent>),
}

impl Action {
    /// The text of `f`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Poll(_) => "poll",
            Self::ListOffsets(_) => "list-offsets",
            Self::Assign(_) => "assign",
            Self::Seek(_) => "seek",
            Self::Subscribe(_) => "subscribe",
            Self::Leave(_) => "leave",
            Self::Rebalance(_) => "rebalance",
            Self::Resume(_) => "resume",
            Self::Process(_) => "process",
            Self::Commit(_) => "commit",
            Self::Committed(_) => "committed",
            Self::DeleteOffsets(_) => "delete-offsets",
            Self::Crash(_) => "crash",
            Self::Admin(_) => "admin",
            Self::Nemesis(_) => "nemesis",
        }
    }

    /// Whether it is one of consumer groups.
    pub fn is_of_groups(&self) -> bool {
        matches!(
            self,
            Self::Subscribe(_)
                | Self::Leave(_)
                | Self::Rebalance(_)
                | Self::Resume(_)
                | Self::Process(_)
                | Self::Commit(_)
                | Self::Committed(_)
                | Self::DeleteOffsets(_)
        )
    }

    /// Whether it stands alone, neither invoked nor completed.
    pub fn is_event(&self) -> bool {
        matches!(
            self,
            Self::Nemesis(_) | Self::Rebalance(_) | Self::Resume(_)
        )
    }
}

/// One record of a send: `["send", key, value]`, acknowledged `["send", key, [offset, value]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Where it goes.
    pub key: Key,
    /// The value, unique in the run.
    pub value: u64,
    /// The offset of the acknowledgement, if one came.
    pub offset: Option<i64>,
}

impl Serialize for Send {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.offset {
            None => ("send", &self.key, self.value).serialize(serializer),
            Some(offset) => ("send", &self.key, (offset, self.value)).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Send {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (_, key, sent) = <(SendTag, Key, Sent)>::deserialize(deserializer)?;
        let Sent { offset, value } = sent;
        Ok(Self { key, value, offset })
    }
}

/// The one micro-operation of a poll: `[["poll"]]`, answered `[["poll", {key: records}]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// What came back, in the order in which the client delivered it; empty before an answer.
    pub records: BTreeMap<Key, Vec<Record>>,
}

impl Serialize for Poll {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_tuple(1)?;
        if self.records.is_empty() {
            list.serialize_element(&("poll",))?;
        } else {
            list.serialize_element(&("poll", &self.records))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Poll {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (poll,) =
            <(OneOrTwo<PollTag, BTreeMap<Key, Vec<Record>>>,)>::deserialize(deserializer)?;
        Ok(Self {
            records: poll.1.unwrap_or_default(),
        })
    }
}

/// One bound of one partition: `["end", key]`, answered `["end", key, offset]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffset {
    /// Which bound.
    pub bound: Bound,
    /// Of which partition.
    pub key: Key,
    /// The answer, if one came: the offset of the next record (end) or of the first one (start).
    pub offset: Option<i64>,
}

/// A bound of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// `log_start_offset`.
    Start,
    /// `high_watermark`: what a consumer may read ends here, exclusive.
    End,
}

impl Serialize for ListOffset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.offset {
            None => (self.bound, &self.key).serialize(serializer),
            Some(offset) => (self.bound, &self.key, offset).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ListOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Bounded(bound, key, offset) = Bounded::deserialize(deserializer)?;
        Ok(Self { bound, key, offset })
    }
}

/// Where a seek goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// The first record that is still there.
    Beginning,
    /// Behind the last record.
    End,
    /// This offset.
    #[serde(untagged)]
    Offset(i64),
}
