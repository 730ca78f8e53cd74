//! Operations of log directories, and the way of their completions back to who asked.
//!
//! In: requests with a purpose, completions with a token. Out: `Effect::Disk`. Invariants: each
//! operation is dispatched once, with its completion or with the failure of its directory,
//! whichever comes first; no operation is asked of a directory that is offline.

use tracing::{error, warn};

use super::Broker;
use super::directories::Directory;
use super::effects::{DirectoryIndex, DiskToken, Effect};
use super::groups::LoadRead;
use super::partition::PartitionKey;
use crate::error::ErrorCode;
use crate::quorum;
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::Now;

/// An operation that is under way.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    directory: DirectoryIndex,
    purpose: DiskPurpose,
    /// The replica whose log it is about.
    replica: Option<PartitionKey>,
    bytes: usize,
    changes_note: bool,
}

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
        let Some(operation) = self.operations.remove(&token) else {
            return;
        };
        self.count_end(&operation);
        if self.closing.is_flushing() {
            // What else was under way concerns nobody any more, least of all its failure behind
            // the last operation of a directory.
            if matches!(operation.purpose, DiskPurpose::Close) {
                self.handle_closed(result);
            }
            return;
        }
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.fail_directory(now, directory, &error.to_string());
        }
        if operation.changes_note {
            self.plan_note(now, directory);
        }
        self.dispatch_operation(now, operation, result);
        self.release_produces(now, directory);
        self.settle(now);
    }

    fn count_end(&mut self, operation: &Operation) {
        if let Some(directory) = self.directories.get_mut(operation.directory) {
            directory.end(operation.bytes);
        }
    }

    /// A directory is offline: what is under way there counts as failed.
    pub(super) fn abandon_operations(&mut self, index: DirectoryIndex) {
        let refusal = self.directories.get(index).and_then(Directory::refusal);
        let Some(refusal) = refusal else {
            return;
        };
        let under_way = self.operations.iter();
        let mut tokens: Vec<_> = under_way
            .filter(|(_, operation)| operation.directory == index)
            .map(|(token, _)| *token)
            .collect();
        tokens.sort_unstable();
        for token in tokens {
            if let Some(operation) = self.operations.remove(&token) {
                self.count_end(&operation);
                self.refused_operations
                    .push_back((operation, refusal.clone()));
            }
        }
    }

    /// Tells whoever asked that his directory is offline. Whether there was anyone.
    pub(super) fn dispatch_refused_operations(&mut self, now: Now) -> bool {
        let mut acted = false;
        while let Some((operation, refusal)) = self.refused_operations.pop_front() {
            self.dispatch_operation(now, operation, Err(refusal));
            acted = true;
        }
        acted
    }

    /// A directory stalls during the shutdown: it is not closed cleanly.
    pub(super) fn stalled_while_closing(&mut self, index: DirectoryIndex) {
        let closes = |operation: &Operation| {
            operation.directory == index && matches!(operation.purpose, DiskPurpose::Close)
        };
        let closing = self.operations.iter().find(|(_, o)| closes(o));
        if let Some(token) = closing.map(|(token, _)| *token) {
            self.operations.remove(&token);
            let cause = "it stalls".to_owned();
            self.handle_closed(Err(DiskError::Offline { cause }));
        }
    }

    /// Asks for the flushes that are due: one for all that a log got in this turn.
    pub(super) fn ask_for_due_flushes(&mut self) {
        for (log, (directory, key)) in std::mem::take(&mut self.due_flushes) {
            let place = self.directories.get(directory);
            // What an offline directory was to flush was answered for when it failed.
            if place.is_some_and(|place| place.refusal().is_none()) {
                let request = DiskRequest::Flush { log };
                self.disk(directory, request, DiskPurpose::Flush(key));
            }
        }
    }

    pub(super) fn disk(
        &mut self,
        directory: DirectoryIndex,
        request: DiskRequest,
        purpose: DiskPurpose,
    ) {
        if !matches!(
            request,
            DiskRequest::Append { .. } | DiskRequest::Read { .. }
        ) {
            self.ask_for_due_flushes();
        }
        let bytes = match &request {
            DiskRequest::Append { batches, .. } => batches.len(),
            _ => 0,
        };
        let changes_note = changes_note(&request);
        let replica = request.log().and_then(|name| {
            let partition = self.partitions.get(name)?;
            Some(partition.key(name))
        });
        let operation = Operation {
            directory,
            purpose,
            replica,
            bytes,
            changes_note,
        };
        let Some(place) = self.directories.get_mut(directory) else {
            return;
        };
        if let Some(refusal) = place.refusal() {
            self.refused_operations.push_back((operation, refusal));
            return;
        }
        place.begin(bytes);
        let token = self.fresh_id();
        self.operations.insert(token, operation);
        self.effects.push(Effect::Disk {
            directory,
            token,
            request,
        });
    }

    fn dispatch_operation(
        &mut self,
        now: Now,
        operation: Operation,
        result: Result<DiskReply, DiskError>,
    ) {
        if let (Some(replica), Err(DiskError::DamagedLog(damage))) = (&operation.replica, &result) {
            self.lose_replica(now, replica, damage.clone());
        }
        match (operation.purpose, result) {
            (DiskPurpose::Quorum(token), Ok(_)) => self.quorum.handle_persisted(now, token),
            (DiskPurpose::Append(key), Ok(DiskReply::Appended { log_end_offset })) => {
                self.with_keyed_replica(now, &key, |replica| {
                    replica.handle_append_completed(now, log_end_offset);
                });
            }
            (DiskPurpose::Append(key), Err(error @ DiskError::NoSpace { .. })) => {
                self.note_full_disk(now, &error);
                self.with_keyed_replica(now, &key, |replica| replica.handle_append_refused(now));
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
                if !matches!(error, DiskError::Offline { .. }) {
                    warn!(partition = %key.name, %error, "a replica's log failed");
                }
                self.with_keyed_replica(now, &key, |replica| replica.handle_storage_failed(now));
            }
            (DiskPurpose::Quorum(_) | DiskPurpose::QuorumStep, Err(error)) => {
                error!(%error, "a write of the metadata quorum failed");
                self.quorum.handle_storage_failed(now);
            }
            (DiskPurpose::Close, Err(error)) => self.handle_closed(Err(error)),
            (_, Ok(_) | Err(DiskError::Offline { .. })) => {}
            (_, Err(error)) => warn!(%error, "a disk operation failed"),
        }
    }
}

/// Whether it may flush a log, or take away what is noted of all logs of its directory.
const fn changes_note(request: &DiskRequest) -> bool {
    matches!(
        request,
        DiskRequest::Flush { .. }
            | DiskRequest::Truncate { .. }
            | DiskRequest::RestartAt { .. }
            | DiskRequest::DeleteLog { .. }
            | DiskRequest::Compact { .. }
    )
}

/// The answer to a reader whose read failed.
pub(super) fn read_error(error: &DiskError) -> ErrorCode {
    match error {
        DiskError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DiskError::UnknownLog(_) | DiskError::OtherTopicId { .. } => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use uuid::Uuid;

    use super::super::broker_test::{NOW, Rig};
    use super::*;
    use crate::id::{TopicId, TopicPartition};
    use crate::record::{BatchBuilder, Compression};
    use crate::storage::{Disk, LogOptions};

    fn ask(rig: &mut Rig, request: DiskRequest) {
        rig.broker.disk(0, request, DiskPurpose::Step);
        rig.perform();
    }

    fn pass(rig: &mut Rig, millis: u64) {
        let time = NOW.time + Duration::from_millis(millis);
        rig.broker.handle_timeout(Now { time, ..NOW });
        rig.perform();
    }

    fn is_noted(rig: &Rig) -> bool {
        let path = Path::new("/d/flushed-offset-note");
        rig.disks[0].open(path).is_ok()
    }

    #[test]
    fn what_a_cut_of_one_log_takes_from_the_note_of_the_others_is_soon_noted_again() {
        let mut rig = Rig::start();
        let logs = [0, 1, 2, 3].map(|partition| TopicPartition::new("t", partition));
        for log in &logs {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(0, None, Some(b"v"), &[]);
            for request in [
                DiskRequest::CreateLog {
                    log: log.clone(),
                    topic_id: TopicId(Uuid::from_u128(7)),
                    options: LogOptions::default(),
                },
                DiskRequest::Append {
                    log: log.clone(),
                    batches: builder.build(),
                },
                DiskRequest::Flush { log: log.clone() },
            ] {
                ask(&mut rig, request);
            }
        }
        pass(&mut rig, 200);
        let [cut, restarted, deleted, _] = logs;
        for (nth, request) in (1..).zip([
            DiskRequest::Truncate { log: cut, to: 0 },
            DiskRequest::RestartAt {
                log: restarted,
                offset: 3,
            },
            DiskRequest::DeleteLog { log: deleted },
        ]) {
            let name = format!("{request:?}");
            ask(&mut rig, request);
            assert!(!is_noted(&rig), "{name}");
            pass(&mut rig, 200 + 200 * nth);
            assert!(is_noted(&rig), "{name}");
        }
    }
}
