//! Which requests wait while a disk is full, and which must not overtake them.
//!
//! In: a request that found no space, or one that comes after it. Out: whether it waits.
//! Invariants: a write that nobody would ask for again waits until there is space; nothing that
//! changes the same log, or the quorum's files, is done before it; reads never wait. An append to a
//! partition does not wait: it is refused, and the replica takes it back.

use crate::id::TopicPartition;
use crate::storage::{DiskRequest, METADATA_TOPIC, metadata_partition};

/// What a request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// One log. Election state and snapshots go with the metadata log: their order counts.
    Log(TopicPartition),
    /// Nothing that a later request builds upon.
    Nothing,
}

/// What `request` changes.
pub(super) fn subject(request: &DiskRequest) -> Subject {
    match request {
        DiskRequest::Read { .. }
        | DiskRequest::LookupTimestamp { .. }
        | DiskRequest::ReadSnapshot { .. }
        | DiskRequest::CheckpointHighWatermarks { .. }
        | DiskRequest::NoteFlushed
        | DiskRequest::Close { .. } => Subject::Nothing,
        DiskRequest::WriteElection { .. } | DiskRequest::WriteSnapshot { .. } => {
            Subject::Log(metadata_partition())
        }
        request => request
            .log()
            .cloned()
            .map_or(Subject::Nothing, Subject::Log),
    }
}

/// Whether `request` waits for space rather than fail.
pub(super) fn waits(request: &DiskRequest) -> bool {
    match request {
        DiskRequest::Append { log, .. } => &*log.topic == METADATA_TOPIC,
        // They come again by themselves.
        DiskRequest::Retain { .. } | DiskRequest::Compact { .. } => false,
        request => subject(request) != Subject::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::QuorumElection;

    fn append(topic: &str) -> DiskRequest {
        DiskRequest::Append {
            log: TopicPartition::new(topic, 0),
            batches: Bytes::new(),
        }
    }

    #[test]
    fn the_quorum_waits_in_order_and_producers_are_refused() {
        let vote = DiskRequest::WriteElection {
            election: QuorumElection::default(),
        };
        let checkpoint = DiskRequest::CheckpointHighWatermarks {
            high_watermarks: std::collections::BTreeMap::new(),
        };
        let cut = DiskRequest::Truncate {
            log: TopicPartition::new("t", 0),
            to: 0,
        };
        assert!(waits(&vote) && waits(&append(METADATA_TOPIC)) && waits(&cut));
        assert!(!waits(&append("t")) && !waits(&checkpoint));
        assert_eq!(subject(&vote), subject(&append(METADATA_TOPIC)));
        assert_eq!(subject(&cut), subject(&append("t")));
        assert_eq!(subject(&checkpoint), Subject::Nothing);
    }
}
