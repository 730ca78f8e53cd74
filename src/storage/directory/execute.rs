//! Executes the requests of a log directory.
//!
//! In: a [`DiskRequest`]; out: its one result. Invariant: a fatal error takes the directory offline
//! before it is returned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::config::sabotage::{Sabotage, planted};
use crate::id::{TopicId, TopicPartition};
use crate::offset::{BrokerEpoch, Offset};
use crate::storage::ballast::is_worth_it;
use crate::storage::checkpoint::Offsets;
use crate::storage::damage::LogDamage;
use crate::storage::disk::{Disk, Operation};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::identity;
use crate::storage::names::{DELETED_SUFFIX, STRAY_SUFFIX, aside_name};
use crate::storage::partition_store::{PartitionStore, ReadRange, sync_dir};
use crate::storage::quorum_state;
use crate::storage::request::{DiskReply, DiskRequest, LogOptions};
use crate::storage::segment::remove_if_there;

use super::LogDirectory;

impl<D: Disk> LogDirectory<D> {
    /// Executes one request. After a fatal error every further request fails with `Offline`.
    pub fn execute(&mut self, request: DiskRequest) -> Result<DiskReply, DiskError> {
        if let Some(cause) = &self.offline {
            let cause = cause.clone();
            return Err(DiskError::Offline { cause });
        }
        let log = request.log().cloned();
        let mut result = self.perform_with_ballast(request);
        if let Err(error @ DiskError::Damaged { .. }) = &result
            && let Some(log) = log
        {
            result = Err(self.remember_damage(&log, error.clone()));
        }
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.offline = Some(error.to_string());
        }
        result
    }

    /// The log's damage, which lasts until the log is cut there.
    fn remember_damage(&mut self, log: &TopicPartition, error: DiskError) -> DiskError {
        let DiskError::Damaged { offset, .. } = error else {
            return error;
        };
        let Some(store) = self.logs.get_mut(log) else {
            return error;
        };
        let damage = LogDamage {
            offset,
            lost_to: store.state.log_end_offset.max(offset + 1),
            reason: error.to_string(),
        };
        match store.set_damage(&self.disk, damage.clone()) {
            Ok(()) => damage.into(),
            Err(error) => error,
        }
    }

    /// Gives up ballast, as long as there is any, for a request that is worth it.
    fn perform_with_ballast(&mut self, request: DiskRequest) -> Result<DiskReply, DiskError> {
        let again = is_worth_it(&request).then(|| request.clone());
        let mut result = self.perform(request);
        while let (Err(DiskError::NoSpace { .. }), Some(again)) = (&result, &again)
            && self.ballast.give_up_part(&self.disk)?
        {
            result = self.perform(again.clone());
        }
        result
    }

    fn perform(&mut self, request: DiskRequest) -> Result<DiskReply, DiskError> {
        match request {
            DiskRequest::CreateLog {
                log,
                topic_id,
                options,
            } => self.create_log(log, topic_id, options),
            DiskRequest::DeleteLog { log } => self.delete_log(&log),
            DiskRequest::CheckpointHighWatermarks { high_watermarks } => {
                self.checkpoint(high_watermarks)
            }
            DiskRequest::NoteFlushed => {
                self.note_flushed()?;
                Ok(DiskReply::Done)
            }
            DiskRequest::WriteElection { election } => {
                quorum_state::write_election(&self.disk, &self.path, election)?;
                Ok(DiskReply::Done)
            }
            DiskRequest::WriteSnapshot { id, bytes } => {
                quorum_state::write_snapshot(&self.disk, &self.path, id, &bytes)?;
                Ok(DiskReply::Done)
            }
            DiskRequest::ReadSnapshot { id } => {
                let bytes = quorum_state::read_snapshot(&self.disk, &self.path, id)?;
                Ok(DiskReply::Snapshot { bytes })
            }
            DiskRequest::Close { broker_epoch } => self.close(broker_epoch),
            DiskRequest::Truncate { log, to } => self.truncate(&log, to),
            DiskRequest::RestartAt { log, offset } => self.restart_at(&log, offset),
            DiskRequest::AdvanceLogStart { log, to } => self.advance_log_start(&log, to),
            DiskRequest::Retain {
                log,
                retention,
                high_watermark,
                wall_millis,
            } => {
                let disk = &self.disk;
                let store = whole_store_of(&mut self.logs, &log)?;
                let to = store.retention_target(disk, retention, high_watermark, wall_millis)?;
                self.advance_log_start(&log, to)
            }
            request => self.perform_on_log(request),
        }
    }

    /// The requests that touch nothing but one log's own files.
    fn perform_on_log(&mut self, request: DiskRequest) -> Result<DiskReply, DiskError> {
        let Some(log) = request.log().cloned() else {
            return Ok(DiskReply::Done);
        };
        let disk = &self.disk;
        let store = match &request {
            DiskRequest::Append { .. }
            | DiskRequest::Flush { .. }
            | DiskRequest::Compact { .. } => whole_store_of(&mut self.logs, &log)?,
            _ => store_of(&mut self.logs, &log)?,
        };
        Ok(match request {
            DiskRequest::Append { batches, .. } => DiskReply::Appended {
                log_end_offset: store.append(disk, &batches)?,
            },
            DiskRequest::Read {
                start,
                end,
                max_bytes,
                minimum_one_batch,
                ..
            } => {
                let range = ReadRange {
                    start,
                    end,
                    max_bytes,
                    minimum_one_batch,
                };
                DiskReply::Read {
                    batches: match store.read(disk, range) {
                        // In Kafka the readers meet the damage, and not the broker.
                        Err(error) if error.is_damage() && goes_on_after_failed_writes() => {
                            Bytes::new()
                        }
                        read => read?,
                    },
                }
            }
            DiskRequest::Flush { .. } => DiskReply::Flushed {
                upto: store.flush(disk)?,
            },
            DiskRequest::Compact {
                delete_retention,
                high_watermark,
                wall_millis,
                ..
            } => DiskReply::Compacted {
                more: store.compact(disk, delete_retention, high_watermark, wall_millis)?,
            },
            DiskRequest::LookupTimestamp { timestamp, end, .. } => DiskReply::Timestamp {
                found: store.lookup_timestamp(disk, timestamp, end)?,
            },
            DiskRequest::Configure { options, .. } => {
                store.options = options;
                DiskReply::Done
            }
            _ => DiskReply::Done,
        })
    }

    fn create_log(
        &mut self,
        log: TopicPartition,
        topic_id: TopicId,
        options: LogOptions,
    ) -> Result<DiskReply, DiskError> {
        if let Some(store) = self.logs.get_mut(&log) {
            if store.topic_id != topic_id {
                return Err(DiskError::OtherTopicId {
                    log,
                    found: store.topic_id,
                    expected: topic_id,
                });
            }
            store.options = options;
            let state = store.state.clone();
            return Ok(DiskReply::Created { state });
        }
        let name = log.to_string();
        let deleted = self.path.join(aside_name(&name, DELETED_SUFFIX));
        if self.disk.is_dir(&deleted) {
            // What is stored of it would be taken for that of the new log.
            self.bury(&log, &deleted)?;
        }
        let directory = self.path.join(name);
        let mut store = PartitionStore::create(&self.disk, directory, topic_id, options)?;
        if let Some(damage) = self.missing.get(&log) {
            // It must not pass for the log that was there, even if its mark finds no space.
            store.recovery_point = damage.lost_to;
            store.set_damage(&self.disk, damage.clone())?;
            store.sync_names(&self.disk)?;
            self.missing.remove(&log);
        }
        let state = store.state.clone();
        self.logs.insert(log, store);
        Ok(DiskReply::Created { state })
    }

    fn delete_log(&mut self, log: &TopicPartition) -> Result<DiskReply, DiskError> {
        if self.missing.contains_key(log) {
            self.forget_checkpoints(log)?;
            self.missing.remove(log);
        }
        let name = log.to_string();
        let was_known = self.logs.remove(log).is_some();
        let aside = aside_name(&name, DELETED_SUFFIX);
        let mut remains = [&name, &aside].into_iter();
        if was_known || remains.any(|dir| self.disk.is_dir(&self.path.join(dir))) {
            if !aside.starts_with(&name) {
                // The next start could not tell what is to be forgotten.
                self.forget_checkpoints(log)?;
            }
            let doomed = self.set_aside(&name, DELETED_SUFFIX)?;
            self.bury(log, &doomed)?;
        }
        Ok(DiskReply::Done)
    }

    /// Renames the log directory `name`, durably, so that it is no log any more. May be tried
    /// again, however far it came.
    pub(super) fn set_aside(&self, name: &str, suffix: &str) -> Result<PathBuf, DiskError> {
        debug_assert!([DELETED_SUFFIX, STRAY_SUFFIX].contains(&suffix));
        let aside = self.path.join(aside_name(name, suffix));
        let from = self.path.join(name);
        if self.disk.is_dir(&from) {
            if self.disk.is_dir(&aside) {
                let removed = self.disk.remove_dir(&aside);
                removed.during(Operation::Remove, &aside)?;
            }
            let renamed = self.disk.rename(&from, &aside);
            renamed.during(Operation::Rename, &from)?;
        }
        sync_dir(&self.disk, &self.path)?;
        Ok(aside)
    }

    /// Removes a deleted log that was set aside. Its directory goes last: as long as it is there,
    /// nobody takes the log for lost that the checkpoints still know. On a full disk, what it held
    /// makes the space for forgetting it.
    pub(super) fn bury(&mut self, log: &TopicPartition, doomed: &Path) -> Result<(), DiskError> {
        let forgotten = self.forget_checkpoints(log);
        if forgotten.as_ref().is_err_and(DiskError::is_no_space) {
            let names = self.disk.list(doomed);
            for name in names.during(Operation::List, doomed)? {
                remove_if_there(&self.disk, &doomed.join(name))?;
            }
            self.forget_checkpoints(log)?;
        } else {
            forgotten?;
        }
        let removed = self.disk.remove_dir(doomed);
        removed.during(Operation::Remove, doomed)
    }

    fn truncate(&mut self, log: &TopicPartition, to: Offset) -> Result<DiskReply, DiskError> {
        let end = store_of(&mut self.logs, log)?.end_after_cut(&self.disk, to)?;
        self.lower_checkpoints(log, end)?;
        let store = store_of(&mut self.logs, log)?;
        store.truncate(&self.disk, to)?;
        let state = store.state.clone();
        Ok(DiskReply::Truncated { state })
    }

    fn restart_at(&mut self, log: &TopicPartition, offset: Offset) -> Result<DiskReply, DiskError> {
        self.forget_checkpoints(log)?;
        let store = store_of(&mut self.logs, log)?;
        store.restart_at(&self.disk, offset)?;
        let state = store.state.clone();
        Ok(DiskReply::Truncated { state })
    }

    /// The new start is stored before anything below it goes, or the next start would take the rest
    /// for lost; and before the next flush can store epochs that begin there. On a full disk the
    /// indexes of what goes make the space for storing: they are hints.
    fn advance_log_start(
        &mut self,
        log: &TopicPartition,
        to: Offset,
    ) -> Result<DiskReply, DiskError> {
        let state = &whole_store_of(&mut self.logs, log)?.state;
        let start = to.clamp(state.log_start_offset, state.log_end_offset);
        let stored = self.checkpoint_log_start(log, start);
        if stored.as_ref().is_err_and(DiskError::is_no_space) {
            whole_store_of(&mut self.logs, log)?.remove_indexes_below(&self.disk, start)?;
            self.checkpoint_log_start(log, start)?;
        } else {
            stored?;
        }
        let store = whole_store_of(&mut self.logs, log)?;
        let log_start_offset = store.advance_log_start(&self.disk, to)?;
        Ok(DiskReply::Retained { log_start_offset })
    }

    fn checkpoint(&mut self, high_watermarks: Offsets) -> Result<DiskReply, DiskError> {
        let mut all = self.checkpoints.high_watermarks.clone();
        let known = high_watermarks
            .into_iter()
            .filter(|(log, _)| self.logs.contains_key(log));
        all.extend(known);
        self.write_high_watermarks(all)?;
        self.checkpoint_recovery()?;
        self.ballast.fill(&self.disk)?;
        Ok(DiskReply::Done)
    }

    fn close(&mut self, broker_epoch: Option<BrokerEpoch>) -> Result<DiskReply, DiskError> {
        let mut closed = Ok(());
        for store in self.logs.values_mut() {
            match store.close(&self.disk) {
                // The others can still be made durable.
                Err(error) if error.is_no_space() => closed = Err(error),
                done => done?,
            }
        }
        closed?;
        self.checkpoint_recovery()?;
        // A release that knows no note may be the next to cut these logs.
        self.flushed.remove(&self.disk, &self.path)?;
        identity::leave_shutdown_marker(&self.disk, &self.path, broker_epoch)?;
        self.offline = Some("it was closed".to_owned());
        Ok(DiskReply::Done)
    }
}

fn goes_on_after_failed_writes() -> bool {
    planted(Sabotage::AppendsGoOnAfterFailedWrite)
}

fn store_of<'a, D: Disk>(
    logs: &'a mut BTreeMap<TopicPartition, PartitionStore<D>>,
    log: &TopicPartition,
) -> Result<&'a mut PartitionStore<D>, DiskError> {
    let store = logs.get_mut(log);
    store.ok_or_else(|| DiskError::UnknownLog(log.clone()))
}

/// The same, unless the log is damaged: then nothing may be done to it but cut it.
fn whole_store_of<'a, D: Disk>(
    logs: &'a mut BTreeMap<TopicPartition, PartitionStore<D>>,
    log: &TopicPartition,
) -> Result<&'a mut PartitionStore<D>, DiskError> {
    let store = store_of(logs, log)?;
    match &store.damage {
        None => Ok(store),
        Some(damage) => Err(damage.clone().into()),
    }
}
