//! The start of a member from what its disk holds.
//!
//! In: quorum state, snapshot and log as recovered. Out: a log that continues the snapshot.
//! Invariant: the log handed over is contiguous, its epochs never decrease, and none is above the
//! persisted epoch. Source: KIP-630 (a snapshot may be newer than the log), `KafkaRaftClient`.

use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::config::ConfigError;
use crate::quorum::effects::Recovered;
use crate::quorum::log::QuorumLog;
use crate::quorum::snapshot::SnapshotId;

/// Why a member cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The settings cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Batches are missing.
    #[error(
        "the metadata log has a batch at offset {found} of epoch {epoch} where one at {expected} \
         was due: remove the data directory of this node, and it will copy the log from the others"
    )]
    LogGap {
        /// Where a batch was due.
        expected: Offset,
        /// Where the next one is.
        found: Offset,
        /// The epoch of that one.
        epoch: LeaderEpoch,
    },
    /// The vote of an epoch that this node took part in is gone: voting again could elect two.
    #[error(
        "the quorum-state file knows epoch {state} but the metadata log has epoch {log}: the file \
         was lost or rolled back, and this node may have voted since"
    )]
    StateBehindLog {
        /// The epoch of the quorum-state file.
        state: LeaderEpoch,
        /// The last epoch of log or snapshot.
        log: LeaderEpoch,
    },
}

/// A log to start with.
#[derive(Debug)]
pub(super) struct RecoveredLog {
    pub(super) log: QuorumLog,
    /// Whether the log on disk does not continue the snapshot and must be dropped.
    pub(super) restarts: bool,
}

/// Joins snapshot and log.
pub(super) fn recover(recovered: &Recovered) -> Result<RecoveredLog, StartError> {
    let snapshot = recovered.snapshot.as_ref().map(|snapshot| snapshot.id);
    let start = snapshot.unwrap_or_default();
    let whole = whole_log(recovered, start)?;
    let last_epoch = whole.end().epoch.max(start.epoch);
    if last_epoch > recovered.state.epoch {
        return Err(StartError::StateBehindLog {
            state: recovered.state.epoch,
            log: last_epoch,
        });
    }
    let continues = whole.prefix(start.end_offset) == Some(start);
    let mut log = whole;
    if continues {
        log.drop_prefix(start);
    } else {
        log.restart(start);
    }
    log.all_persisted();
    Ok(RecoveredLog {
        log,
        restarts: !continues,
    })
}

/// The log on disk, from wherever it begins.
fn whole_log(recovered: &Recovered, snapshot: SnapshotId) -> Result<QuorumLog, StartError> {
    let begins = recovered
        .batches
        .first()
        .map_or(0, |first| first.base_offset);
    let before = if begins == snapshot.end_offset {
        snapshot
    } else {
        SnapshotId {
            end_offset: begins,
            epoch: 0,
        }
    };
    let mut log = QuorumLog::starting_at(before);
    if begins > snapshot.end_offset || begins < 0 {
        return Err(gap(snapshot.end_offset, recovered, 0));
    }
    for (index, batch) in recovered.batches.iter().enumerate() {
        if !log.continues(batch) {
            return Err(gap(log.end().offset, recovered, index));
        }
        log.append(batch.clone());
    }
    Ok(log)
}

fn gap(expected: Offset, recovered: &Recovered, index: usize) -> StartError {
    let batch = recovered.batches.get(index);
    StartError::LogGap {
        expected,
        found: batch.map_or(0, |batch| batch.base_offset),
        epoch: batch.map_or(0, |batch| batch.epoch),
    }
}
