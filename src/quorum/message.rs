//! The messages of the quorum, close to Kafka's Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and
//! FetchSnapshot, without topics, listeners and versions.
//!
//! In and out: plain values; the broker converts them to and from the wire. Invariant: every
//! response carries the responder's epoch and the leader it knows of, so that any answer at all
//! brings a node up to date. Source: KIP-595, KIP-630 (snapshots), KIP-996 (pre-vote).

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::log::Batch;
use crate::quorum::snapshot::SnapshotId;

/// A request of one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A candidate asks for a vote, or whether it would get one.
    Vote(VoteRequest),
    /// A leader introduces itself.
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// A leader says good-bye.
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// A follower or observer asks for what comes after its log.
    Fetch(FetchRequest),
    /// A follower or observer asks for a piece of a snapshot.
    FetchSnapshot(FetchSnapshotRequest),
}

/// A response; its variant is that of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers `Request::Vote`.
    Vote(VoteResponse),
    /// Answers `Request::BeginQuorumEpoch`.
    BeginQuorumEpoch(EpochResponse),
    /// Answers `Request::EndQuorumEpoch`.
    EndQuorumEpoch(EpochResponse),
    /// Answers `Request::Fetch`.
    Fetch(FetchResponse),
    /// Answers `Request::FetchSnapshot`.
    FetchSnapshot(FetchSnapshotResponse),
}

impl Response {
    /// What the responder knows of the leadership.
    pub fn leadership(&self) -> Leadership {
        match self {
            Self::Vote(response) => response.leadership,
            Self::BeginQuorumEpoch(response) | Self::EndQuorumEpoch(response) => {
                response.leadership
            }
            Self::Fetch(response) => response.leadership,
            Self::FetchSnapshot(response) => response.leadership,
        }
    }
}

/// An epoch and its leader, as a node knows them (`CurrentLeader` on the wire).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest epoch known.
    pub epoch: LeaderEpoch,
    /// The leader of that epoch, if known and not resigned.
    pub leader: Option<BrokerId>,
}

/// Vote (52), version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// Who asks.
    pub candidate: BrokerId,
    /// The epoch it stands in; for a pre-vote the epoch it is in now.
    pub epoch: LeaderEpoch,
    /// The epoch of the last record of its log.
    pub last_epoch: LeaderEpoch,
    /// The end of its log.
    pub last_offset: Offset,
    /// Whether this only sounds out (KIP-996): nothing is granted for good.
    pub pre_vote: bool,
}

/// The answer to a vote request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    /// Why the request was not considered at all.
    pub error: Option<ErrorCode>,
    /// What the responder knows.
    pub leadership: Leadership,
    /// Whether the vote, or pre-vote, is granted.
    pub vote_granted: bool,
}

/// BeginQuorumEpoch (53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpochRequest {
    /// The elected leader, the sender.
    pub leader: BrokerId,
    /// The epoch it was elected in.
    pub epoch: LeaderEpoch,
}

/// EndQuorumEpoch (54).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpochRequest {
    /// The leader that resigns, the sender.
    pub leader: BrokerId,
    /// The epoch it led.
    pub epoch: LeaderEpoch,
    /// The other voters, the most caught-up first: the first stands for election at once.
    pub preferred_successors: Vec<BrokerId>,
}

/// The answer to BeginQuorumEpoch and EndQuorumEpoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochResponse {
    /// Why the request was refused.
    pub error: Option<ErrorCode>,
    /// What the responder knows.
    pub leadership: Leadership,
}

/// Fetch (1) of the metadata log, version 18 (`high_watermark` is KIP-1166's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who asks.
    pub replica: BrokerId,
    /// The epoch the sender is in; it must be the leader's.
    pub epoch: LeaderEpoch,
    /// The end of the sender's log: everything before it is durable there.
    pub fetch_offset: Offset,
    /// The epoch of the sender's last record; 0 for an empty log.
    pub last_fetched_epoch: LeaderEpoch,
    /// The high watermark the sender knows; a greater one is answered at once.
    pub high_watermark: Offset,
    /// How many milliseconds the answer may wait for news.
    pub max_wait_millis: u32,
}

/// The answer to a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// What the responder knows.
    pub leadership: Leadership,
    /// The outcome.
    pub outcome: Result<Fetched, ErrorCode>,
}

/// What a fetch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The batches that follow the fetch offset, possibly none.
    Batches {
        /// Contiguous batches.
        batches: Vec<Batch>,
        /// The leader's high watermark.
        high_watermark: Offset,
    },
    /// The logs differ: the follower truncates to the end of the largest epoch both know.
    Diverging {
        /// The largest epoch of the leader that is not above the follower's last.
        epoch: LeaderEpoch,
        /// Where that epoch ends in the leader's log.
        end_offset: Offset,
    },
    /// The leader no longer has the records: the follower fetches this snapshot first.
    Snapshot(SnapshotId),
}

/// FetchSnapshot (59).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSnapshotRequest {
    /// Who asks.
    pub replica: BrokerId,
    /// The epoch the sender is in; it must be the leader's.
    pub epoch: LeaderEpoch,
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// From which byte.
    pub position: u64,
}

/// The answer to FetchSnapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotResponse {
    /// What the responder knows.
    pub leadership: Leadership,
    /// The outcome; `SnapshotNotFound` sends the follower back to fetching.
    pub outcome: Result<SnapshotChunk, ErrorCode>,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// The size of the whole in bytes.
    pub size: u64,
    /// Where the piece begins.
    pub position: u64,
    /// The piece.
    pub bytes: Bytes,
}
