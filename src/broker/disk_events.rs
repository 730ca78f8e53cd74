//! Operations of log directories, and the way of their completions back to who asked.
//!
//! In: requests with a purpose, completions with a token. Out: `Effect::Disk`. Invariants: each
//! completion is dispatched once; after the first failure of a directory its replicas are offline
//! and answer KAFKA_STORAGE_ERROR, and the process ends: the controller cannot move single
//! directories' leaderships yet, and a broker that keeps them would make them unavailable.

use tracing::{error, warn};

use super::Broker;
use super::effects::{DirectoryIndex, DiskToken, Effect};
use super::groups::LoadRead;
use super::partition::PartitionKey;
use crate::error::ErrorCode;
use crate::quorum;
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::Now;

/// Why an operation was asked for.
#[derive(Clone, Debug)]
pub(super) enum DiskPurpose {
    /// The write of the quorum is durable when this one is done.
    Quorum(quorum::Token),
    /// A step before one with a token: its failure must not be covered up by the other's success.
    QuorumStep,
    /// A step that nothing depends on.
    Step,
    Append(PartitionKey),
    Flush(PartitionKey),
    Truncate(PartitionKey),
    /// Done for a replica, which does not wait for it.
    Unwatched(PartitionKey),
    Retained(PartitionKey),
    Compacted(PartitionKey),
    /// A part of a fetch.
    Read {
        fetch: u64,
        item: usize,
    },
    /// A part of a ListOffsets request.
    Lookup {
        lookup: u64,
        item: usize,
    },
    /// A part of the log of a partition of `__consumer_offsets`.
    LoadGroups(Box<LoadRead>),
    Checkpoint,
    /// The last operation of a directory.
    Close,
}

impl Broker {
    /// The completion of an `Effect::Disk`.
    pub fn handle_disk(
        &mut self,
        now: Now,
        directory: DirectoryIndex,
        token: DiskToken,
        result: Result<DiskReply, DiskError>,
    ) {
        let Some(purpose) = self.disk_purposes.remove(&token) else {
            return;
        };
        if self.closing.is_flushing() {
            // What else was under way concerns nobody any more, least of all its failure behind
            // the last operation of a directory.
            if matches!(purpose, DiskPurpose::Close) {
                self.handle_closed(result);
            }
            return;
        }
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.fail_directory(now, directory, &error.to_string());
        }
        self.dispatch_completion(now, purpose, result);
        self.settle(now);
    }

    /// A directory did not answer for too long: it counts as failed.
    pub fn handle_directory_stalled(&mut self, now: Now, directory: DirectoryIndex) {
        self.fail_directory(
            now,
            directory,
            "an operation took longer than log.dir.stall.timeout.ms",
        );
        self.settle(now);
    }

    pub(super) fn disk(
        &mut self,
        directory: DirectoryIndex,
        request: DiskRequest,
        purpose: DiskPurpose,
    ) {
        let token = self.fresh_id();
        self.disk_purposes.insert(token, purpose);
        self.effects.push(Effect::Disk {
            directory,
            token,
            request,
        });
    }

    fn dispatch_completion(
        &mut self,
        now: Now,
        purpose: DiskPurpose,
        result: Result<DiskReply, DiskError>,
    ) {
        match (purpose, result) {
            (DiskPurpose::Quorum(token), Ok(_)) => self.quorum.handle_persisted(now, token),
            (DiskPurpose::Append(key), Ok(DiskReply::Appended { log_end_offset })) => {
                self.with_keyed_replica(now, &key, |replica| {
                    replica.handle_append_completed(now, log_end_offset);
                });
            }
            (DiskPurpose::Flush(key), Ok(DiskReply::Flushed { upto })) => {
                self.with_keyed_replica(now, &key, |replica| replica.handle_flushed(now, upto));
            }
            (DiskPurpose::Truncate(key), Ok(DiskReply::Truncated { state })) => {
                self.with_keyed_replica(now, &key, |replica| replica.handle_truncated(now, state));
            }
            (DiskPurpose::Retained(key), Ok(DiskReply::Retained { log_start_offset })) => {
                let expiration = self.settings.millis("producer.id.expiration.ms");
                self.with_keyed_replica(now, &key, |replica| {
                    replica.handle_log_start_advanced(now, log_start_offset);
                    replica.handle_producer_expiration(now, expiration);
                });
            }
            (DiskPurpose::Compacted(key), Ok(DiskReply::Compacted { more: true })) => {
                self.compact(now, &key);
            }
            (DiskPurpose::Read { fetch, item }, result) => {
                self.handle_read(now, fetch, item, result);
            }
            (DiskPurpose::LoadGroups(read), result) => self.handle_load_read(now, *read, result),
            (DiskPurpose::Lookup { lookup, item }, result) => {
                self.handle_lookup(lookup, item, result);
            }
            (
                DiskPurpose::Append(key)
                | DiskPurpose::Flush(key)
                | DiskPurpose::Truncate(key)
                | DiskPurpose::Unwatched(key),
                Err(error),
            ) => {
                warn!(partition = %key.name, %error, "a replica's log failed");
                self.with_keyed_replica(now, &key, |replica| replica.handle_storage_failed(now));
            }
            (DiskPurpose::Quorum(_) | DiskPurpose::QuorumStep, Err(error)) => {
                error!(%error, "a write of the metadata quorum failed");
                self.quorum.handle_storage_failed(now);
            }
            (_, Err(error)) => warn!(%error, "a disk operation failed"),
            (_, Ok(_)) => {}
        }
    }

    fn fail_directory(&mut self, now: Now, directory: DirectoryIndex, reason: &str) {
        let Some(state) = self.directories.get_mut(directory) else {
            return;
        };
        if !std::mem::replace(&mut state.is_online, false) {
            return;
        }
        let path = self
            .settings
            .log_dirs
            .get(directory)
            .cloned()
            .unwrap_or_default();
        error!(directory = %path.display(), reason, "log directory is offline");
        let affected: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.directory == directory)
            .map(|(name, _)| name.clone())
            .collect();
        for name in affected {
            self.with_replica(now, &name, |replica| replica.handle_storage_failed(now));
        }
        self.quorum.handle_storage_failed(now);
        let reason = format!("log directory {} failed: {reason}", path.display());
        self.effects.push(Effect::Halt { reason });
    }
}

/// The answer to a reader whose read failed.
pub(super) fn read_error(error: &DiskError) -> ErrorCode {
    match error {
        DiskError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DiskError::UnknownLog(_) | DiskError::OtherTopicId { .. } => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::KafkaStorageError,
    }
}
