//! Snapshots: their identity, the chunks a leader cuts, and the download a follower assembles.
//!
//! In: bytes of the composition, or chunks of the leader. Out: chunks, or a complete snapshot.
//! Invariant: a download is complete only if its chunks cover the announced size without gap.
//! Source: KIP-630.

use bytes::{Bytes, BytesMut};

use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::message::SnapshotChunk;

/// Names a snapshot by the log prefix that it replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The end of that prefix, exclusive.
    pub end_offset: Offset,
    /// The epoch of the prefix's last record.
    pub epoch: LeaderEpoch,
}

/// A complete snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it replaces.
    pub id: SnapshotId,
    /// The state, opaque to the quorum.
    pub bytes: Bytes,
}

impl Snapshot {
    /// The chunk that begins at `position`, or nothing if the snapshot is shorter than that.
    pub(super) fn chunk(&self, position: u64, max_bytes: usize) -> Option<SnapshotChunk> {
        let start = usize::try_from(position).ok()?;
        let rest = self.bytes.len().checked_sub(start)?;
        Some(SnapshotChunk {
            snapshot: self.id,
            size: self.bytes.len() as u64,
            position,
            bytes: self.bytes.slice(start..start + rest.min(max_bytes)),
        })
    }
}

/// Why a snapshot was not accepted from the composition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It claims to hold what was not reported committed yet.
    #[error("a snapshot ends at {end_offset}, but batches are committed up to {applied} only")]
    NotCommitted {
        /// The snapshot's end.
        end_offset: Offset,
        /// The end of the batches delivered so far.
        applied: Offset,
    },
    /// It ends inside a batch, or before the log begins.
    #[error("a snapshot ends at {end_offset}, where no batch ends; the log starts at {log_start}")]
    NotABatchEnd {
        /// The snapshot's end.
        end_offset: Offset,
        /// The first offset of the log.
        log_start: Offset,
    },
    /// The node halted.
    #[error("the node halted and takes no snapshots")]
    Halted,
}

/// A snapshot on its way from the leader.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) id: SnapshotId,
    received: BytesMut,
}

impl Download {
    pub(super) fn new(id: SnapshotId) -> Self {
        Self {
            id,
            received: BytesMut::new(),
        }
    }

    /// The byte to ask for next.
    pub(super) fn position(&self) -> u64 {
        self.received.len() as u64
    }

    /// Adds a chunk; a chunk that does not continue the download is ignored. Returns the whole
    /// once it is complete.
    pub(super) fn add(&mut self, chunk: &SnapshotChunk) -> Option<Snapshot> {
        if chunk.snapshot != self.id || chunk.position != self.position() {
            return None;
        }
        self.received.extend_from_slice(&chunk.bytes);
        (self.position() == chunk.size).then(|| Snapshot {
            id: self.id,
            bytes: std::mem::take(&mut self.received).freeze(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SnapshotId = SnapshotId {
        end_offset: 10,
        epoch: 3,
    };

    #[test]
    fn a_download_assembles_its_chunks_and_ignores_duplicates() {
        let snapshot = Snapshot {
            id: ID,
            bytes: Bytes::from_static(b"abcdefg"),
        };
        let mut download = Download::new(ID);
        let first = snapshot.chunk(0, 3).unwrap();
        assert_eq!(download.add(&first), None);
        assert_eq!(
            download.add(&first),
            None,
            "a duplicate must not be added twice"
        );
        assert_eq!(download.position(), 3);
        assert_eq!(download.add(&snapshot.chunk(3, 3).unwrap()), None);
        assert_eq!(download.add(&snapshot.chunk(6, 3).unwrap()), Some(snapshot));
    }

    #[test]
    fn an_empty_snapshot_is_complete_with_its_first_chunk() {
        let snapshot = Snapshot {
            id: ID,
            bytes: Bytes::new(),
        };
        let chunk = snapshot.chunk(0, 3).unwrap();
        assert_eq!(Download::new(ID).add(&chunk), Some(snapshot.clone()));
        assert_eq!(snapshot.chunk(1, 3), None);
    }
}
