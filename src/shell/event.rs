//! What reaches the core's thread, and what it answers to a connection.

use bytes::Bytes;
use kafka_protocol::messages::ResponseKind;

use super::post::Recipient;
use crate::broker::effects::{Correlation, PeerError};
use crate::protocol::Request;

/// One event for the core's thread. The queue is bounded; whoever sends into it waits.
#[derive(Debug)]
pub(super) enum Event {
    /// A request of a connection.
    Request {
        /// The request.
        request: Box<Request>,
        /// Who gets the answer.
        answer: Recipient,
    },
    /// The answer of a peer, or its absence.
    Peer {
        /// Which request.
        correlation: Correlation,
        /// The answer.
        result: Result<Box<ResponseKind>, PeerError>,
    },
}

/// What a connection does for one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// Encode and write this.
    Response(Box<ResponseKind>),
    /// Write these bytes.
    Encoded(Bytes),
    /// Write nothing.
    Nothing,
    /// Close the connection.
    Close(String),
}
