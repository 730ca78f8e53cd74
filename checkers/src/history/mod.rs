//! Histories: what clients did, in the order in which the recorder saw it.
//!
//! One JSON object a line, keys as in Jepsen (`index time process type f value error`), after one
//! header line. See `docs/history.md` for every form of `value`.

mod action;
pub(crate) mod columns;
pub mod commit_outcome;
mod decode;
mod group;
mod header;
mod key;
mod micro_op;
mod nemesis;
mod op;
pub mod outcome;
mod read;
mod record;

pub use action::{Action, Bound, ListOffset, Poll, Position, Send};
pub use group::{
    Commit, CommitCall, CommitMode, Committed, DeleteOffsets, Leave, Process, Rebalance,
    RebalanceEvent, Resume, ResumeSource, Subscribe,
};
pub use header::{
    Acks, FINAL_READS, FORMAT_VERSION, GROUP_DRAIN, GroupSettings, Header, OffsetReset,
    OffsetsTopic, Settings,
};
pub use key::Key;
pub use nemesis::{FaultClass, NemesisEvent, Phase};
pub use op::{Op, OpError, OpType};
pub use read::{FinalReads, History, ReadError, Reader};
pub use record::{Record, RecordValue};
