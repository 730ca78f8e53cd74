//! What the broker asks its shell to do, and what answers each.
//!
//! In: decisions of the composed cores. Out: `Effect`s, in order. Invariant: no `Respond` precedes
//! the event that completes what it reports. Source: openraft's `Command` for the shape.

use std::time::Duration;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::config::Endpoint;
use crate::id::BrokerId;
use crate::storage::DiskRequest;

/// Names an incoming request; the shell chooses it and finds the connection by it.
pub type RequestId = u64;

/// Names an outgoing request; the peer's answer, or its absence, brings it back.
pub type Correlation = u64;

/// Names an operation of a log directory; its completion brings it back.
pub type DiskToken = u64;

/// What brokers call themselves in the headers of their requests, before their id.
pub const BROKER_CLIENT_PREFIX: &str = "__verdict-broker-";

/// The index of a log directory in `log.dirs`.
pub type DirectoryIndex = usize;

/// The kind of a connection to a peer. Each kind has its own, so that a parked fetch never blocks
/// a vote, and a slow forwarded request never blocks a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Votes and epochs of the metadata quorum.
    Quorum,
    /// Fetches of the metadata log and its snapshots.
    QuorumFetch,
    /// Fetches of partitions.
    Fetch,
    /// Fetches of partitions that became ready while another fetch waits.
    FetchToo,
    /// Registration and heartbeats to the controller.
    Lifecycle,
    /// AlterPartition and AllocateProducerIds to the controller.
    Control,
    /// Requests of clients that only the controller can answer.
    Forward,
}

/// A request to a peer, with a deadline.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// Comes back with the answer.
    pub correlation: Correlation,
    /// The peer.
    pub to: BrokerId,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The connection to use.
    pub channel: Channel,
    /// The API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// The body.
    pub body: Box<RequestKind>,
    /// How long to wait for the answer before `PeerError` is the answer.
    pub timeout: Duration,
}

/// No answer came from a peer: whether the request had an effect there is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

/// What the shell must do.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request. Unanswered.
    Respond {
        /// Which.
        request: RequestId,
        /// The answer.
        response: Box<ResponseKind>,
    },
    /// Forget a request without an answer: a produce with acks=0 that went well. Unanswered.
    Omit {
        /// Which.
        request: RequestId,
    },
    /// Close the connection of a request that cannot be answered. Unanswered.
    Close {
        /// Which.
        request: RequestId,
        /// Why, for the log.
        reason: String,
    },
    /// Send a request to a peer. Answered by `Broker::handle_peer`, exactly once.
    Send(PeerRequest),
    /// Perform an operation in a log directory, in order. Answered by `Broker::handle_disk`,
    /// exactly once.
    Disk {
        /// The directory.
        directory: DirectoryIndex,
        /// Comes back with the completion.
        token: DiskToken,
        /// The operation.
        request: DiskRequest,
    },
    /// The broker serves: it is registered, unfenced and knows its partitions. Told once.
    Serving,
    /// The broker has finished its shutdown: end the process without delay.
    Stopped,
    /// The broker cannot go on: end the process with this line.
    Halt {
        /// What happened.
        reason: String,
    },
}
