//! The start from every combination of log and snapshot that a crash can leave.

use bytes::Bytes;

use super::recovery::{StartError, recover};
use crate::quorum::{Batch, BatchBody, ElectionState, Recovered, Snapshot, SnapshotId};

/// Batches of one record each, from `base_offset` on, of these epochs.
fn batches(base_offset: i64, epochs: &[i32]) -> Vec<Batch> {
    let batch = |(base_offset, &epoch)| Batch {
        base_offset,
        record_count: 1,
        epoch,
        body: BatchBody::Records(Bytes::new()),
    };
    (base_offset..).zip(epochs).map(batch).collect()
}

fn found(snapshot: Option<(i64, i32)>, batches: Vec<Batch>) -> Recovered {
    Recovered {
        state: ElectionState {
            epoch: 9,
            voted_for: None,
        },
        snapshot: snapshot.map(|(end_offset, epoch)| Snapshot {
            id: SnapshotId { end_offset, epoch },
            bytes: Bytes::new(),
        }),
        batches,
    }
}

#[test]
fn kip630_log_and_snapshot_are_joined_or_the_log_goes() {
    let cases = [
        ("nothing", found(None, vec![]), (0, 0, false)),
        ("a log", found(None, batches(0, &[1, 2])), (0, 2, false)),
        (
            "a prefix not yet dropped",
            found(Some((2, 1)), batches(0, &[1, 1, 2])),
            (2, 3, false),
        ),
        (
            "a log that continues",
            found(Some((2, 1)), batches(2, &[2, 2])),
            (2, 4, false),
        ),
        (
            "a log that ends there",
            found(Some((2, 1)), batches(0, &[1, 1])),
            (2, 2, false),
        ),
        (
            "a snapshot ahead of the log",
            found(Some((5, 2)), batches(0, &[1, 1])),
            (5, 5, true),
        ),
        (
            "a snapshot of another history",
            found(Some((2, 2)), batches(0, &[1, 1, 1])),
            (2, 2, true),
        ),
        (
            "a snapshot alone",
            found(Some((5, 2)), vec![]),
            (5, 5, true),
        ),
    ];
    for (name, recovered, (start, end, restarts)) in cases {
        let recovered = recover(&recovered).unwrap();
        let log = &recovered.log;
        assert_eq!(log.start().end_offset, start, "{name}");
        assert_eq!(log.end().offset, end, "{name}");
        assert_eq!(log.flushed_end(), end, "{name}");
        assert_eq!(recovered.restarts, restarts, "{name}");
    }
}

#[test]
fn what_no_crash_can_leave_is_refused() {
    let error = recover(&found(None, batches(3, &[1]))).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::LogGap {
                expected: 0,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
    let error = recover(&found(Some((2, 1)), batches(3, &[1]))).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::LogGap {
                expected: 2,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
    let mut gap = batches(0, &[1, 1]);
    gap.extend(batches(3, &[1]));
    let error = recover(&found(None, gap)).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::LogGap {
                expected: 2,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
    let error = recover(&found(None, batches(0, &[2, 1]))).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::LogGap {
                expected: 1,
                epoch: 1,
                ..
            }
        ),
        "{error}"
    );
    let error = recover(&found(None, batches(0, &[10]))).unwrap_err();
    assert_eq!(error, StartError::StateBehindLog { state: 9, log: 10 });
}
