//! Which flushes may wait for a later one.
//!
//! In: the requests that are queued, in order. Out: for a flush, whether a later flush of the same
//! log answers it too. Invariant: between the two nothing but appends and reads touches the log, so
//! the later flush covers all that the earlier one would; and nothing that belongs to no log is
//! done, for a write of the quorum's state tells that all writes before it are durable.

use crate::storage::DiskRequest;

/// Whether `request` is a flush that one among `later` covers.
pub(super) fn is_covered<'a>(
    request: &DiskRequest,
    later: impl Iterator<Item = &'a DiskRequest>,
) -> bool {
    let DiskRequest::Flush { log } = request else {
        return false;
    };
    for next in later {
        match next {
            DiskRequest::Flush { log: other } if other == log => return true,
            DiskRequest::Append { .. } | DiskRequest::Read { .. } => {}
            other if other.log().is_none_or(|other| other == log) => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::TopicPartition;
    use crate::storage::QuorumElection;

    fn flush(partition: i32) -> DiskRequest {
        DiskRequest::Flush {
            log: TopicPartition::new("t", partition),
        }
    }

    fn append(partition: i32) -> DiskRequest {
        DiskRequest::Append {
            log: TopicPartition::new("t", partition),
            batches: Bytes::new(),
        }
    }

    fn truncate(partition: i32) -> DiskRequest {
        DiskRequest::Truncate {
            log: TopicPartition::new("t", partition),
            to: 0,
        }
    }

    fn vote() -> DiskRequest {
        let election = QuorumElection::default();
        DiskRequest::WriteElection { election }
    }

    #[test]
    fn only_flushes_of_the_same_log_cover_each_other() {
        let cases = [
            (vec![flush(0)], true),
            (vec![append(0), append(1), flush(0)], true),
            (vec![flush(1), truncate(1), flush(0)], true),
            (vec![], false),
            (vec![append(0)], false),
            (vec![flush(1)], false),
            (vec![truncate(0), flush(0)], false),
            (vec![vote(), flush(0)], false),
            (
                vec![DiskRequest::Close { broker_epoch: None }, flush(0)],
                false,
            ),
        ];
        for (later, covered) in cases {
            assert_eq!(is_covered(&flush(0), later.iter()), covered, "{later:?}");
            assert!(!is_covered(&append(0), later.iter()));
        }
    }
}
