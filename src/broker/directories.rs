//! The log directories of this broker: online, failed, or stalled and perhaps on the way back.
//!
//! In: failures, stalls and returns of directories, images of the metadata. Out: replicas that are
//! offline and online again, heartbeats that say so. Invariants: a directory that failed does
//! nothing before the process ends; one that stalled is used again only when it was opened anew
//! and the controller has taken its leaderships away, so that nobody leads on in an epoch of which
//! he may have lost the end (KIP-966); one that did not open at the start comes in the same way, so
//! the controller hears of it first as one that is offline; without its metadata directory the node
//! ends.
//! Source: KIP-112, KIP-858; that a stalled directory counts as offline is ours.

use std::collections::VecDeque;
use std::sync::Arc;

use tracing::{error, info, warn};
use uuid::Uuid;

use super::effects::{DirectoryIndex, Effect};
use super::handle::HeldProduce;
use super::image_apply::UnclaimedLog;
use super::start::DirectoryStart;
use super::{Broker, is_due};
use crate::id::TopicPartition;
use crate::storage::DiskError;
use crate::time::{Now, Time};

/// Operations under way in one directory, beyond which its producers wait.
const OPERATIONS_MAX: usize = 2048;
/// Bytes under way to one directory, beyond which its producers wait.
const BYTES_MAX: usize = 64 << 20;

/// The logs that a directory held when it was opened anew.
pub(super) type ReopenedLogs = Vec<(TopicPartition, UnclaimedLog)>;

/// One of `log.dirs`.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its id; `None` as long as it could not be opened.
    id: Option<Uuid>,
    state: State,
    /// Until when the controller must know that it is offline.
    report_by: Option<Time>,
    operations: usize,
    bytes: usize,
    /// Produces that wait for room.
    pub(super) held: VecDeque<HeldProduce>,
}

#[derive(Debug)]
enum State {
    Online,
    /// Nothing but a restart of the process brings it back.
    Failed {
        cause: String,
    },
    /// It hangs or waits for space, or did until it was opened and these logs were found.
    Stalled {
        cause: String,
        reopened: Option<ReopenedLogs>,
    },
}

impl Directory {
    pub(super) fn new(start: DirectoryStart) -> Self {
        let (id, state) = match start {
            DirectoryStart::Open(id) => (Some(id), State::Online),
            DirectoryStart::Failed(cause) => (None, State::Failed { cause }),
            DirectoryStart::Late(cause) => {
                let reopened = None;
                (None, State::Stalled { cause, reopened })
            }
        };
        Self {
            id,
            state,
            report_by: None,
            operations: 0,
            bytes: 0,
            held: VecDeque::new(),
        }
    }

    pub(super) fn id(&self) -> Option<Uuid> {
        self.id
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.state, State::Online)
    }

    /// Why nothing can be done there; `None` if something can.
    pub(super) fn refusal(&self) -> Option<DiskError> {
        match &self.state {
            State::Online => None,
            State::Failed { cause } | State::Stalled { cause, .. } => {
                let cause = cause.clone();
                Some(DiskError::Offline { cause })
            }
        }
    }

    /// Whether so much is under way that producers must wait.
    pub(super) fn is_crowded(&self) -> bool {
        self.operations > OPERATIONS_MAX || self.bytes > BYTES_MAX
    }

    pub(super) fn begin(&mut self, bytes: usize) {
        self.operations += 1;
        self.bytes += bytes;
    }

    pub(super) fn end(&mut self, bytes: usize) {
        self.operations -= 1;
        self.bytes -= bytes;
    }
}

impl Broker {
    /// An operation of a directory did not end for too long: the directory counts as offline until
    /// `handle_directory_reopened`. The shell lets its thread do nothing more of what was asked.
    pub fn handle_directory_stalled(&mut self, now: Now, index: DirectoryIndex) {
        let cause = "an operation took longer than log.dir.stall.timeout.ms";
        if self.closing.is_flushing() {
            return self.stalled_while_closing(index);
        }
        let state = State::Stalled {
            cause: cause.to_owned(),
            reopened: None,
        };
        self.lose_directory(now, index, state, cause);
        self.settle(now);
    }

    /// The operation ended after all, and the directory was opened anew, as after a crash.
    pub fn handle_directory_reopened(
        &mut self,
        now: Now,
        index: DirectoryIndex,
        logs: Vec<(TopicPartition, UnclaimedLog)>,
    ) {
        if self.closing.is_flushing() || self.farewell.is_some() {
            return;
        }
        let path = self.directory_path(index);
        if let Some(directory) = self.directories.get_mut(index)
            && let State::Stalled { reopened, .. } = &mut directory.state
        {
            info!(
                directory = path,
                logs = logs.len(),
                "log directory answers again"
            );
            *reopened = Some(logs);
        }
        self.readmit_directories(now);
        self.settle(now);
    }

    /// A directory that did not open at the start is open, or one that stalled and found no space
    /// when it was to be opened anew.
    pub fn handle_directory_opened(
        &mut self,
        now: Now,
        index: DirectoryIndex,
        id: Uuid,
        logs: Vec<(TopicPartition, UnclaimedLog)>,
    ) {
        let others = self.directories.iter().enumerate();
        let is_other = others
            .filter(|(other, _)| *other != index)
            .any(|(_, other)| other.id == Some(id));
        let Some(directory) = self.directories.get_mut(index) else {
            return;
        };
        if is_other || directory.id.is_some_and(|own| own != id) {
            let cause = format!("directory.id={id} in its meta.properties is not its own");
            return self.handle_directory_reopen_failed(index, cause);
        }
        directory.id = Some(id);
        self.lifecycle_directories_changed(now);
        self.handle_directory_reopened(now, index, logs);
    }

    /// The operation ended after all, but the directory cannot be opened.
    pub fn handle_directory_reopen_failed(&mut self, index: DirectoryIndex, cause: String) {
        let path = self.directory_path(index);
        error!(
            directory = path,
            reason = cause,
            "log directory stays offline"
        );
        if let Some(directory) = self.directories.get_mut(index) {
            directory.state = State::Failed { cause };
        }
    }

    /// The first failure of a directory: nothing is done there any more.
    pub(super) fn fail_directory(&mut self, now: Now, index: DirectoryIndex, reason: &str) {
        let cause = reason.to_owned();
        self.lose_directory(now, index, State::Failed { cause }, reason);
    }

    fn lose_directory(&mut self, now: Now, index: DirectoryIndex, state: State, reason: &str) {
        let Some(directory) = self.directories.get_mut(index) else {
            return;
        };
        if !directory.is_online() {
            return;
        }
        directory.state = state;
        self.set_report_deadlines(now);
        let path = self.directory_path(index);
        error!(directory = path, reason, "log directory is offline");
        self.unclaimed_in(index);
        let affected: Vec<_> = self.partitions_in(index);
        for name in affected {
            self.with_replica(now, &name, |replica| replica.handle_storage_failed(now));
        }
        self.abandon_operations(index);
        self.lifecycle_directories_changed(now);
        self.release_produces(now, index);
        if index == self.metadata_directory() {
            let reason = format!("the metadata log directory {path} failed: {reason}");
            self.say_farewell(now, reason);
        }
    }

    /// The node ends: nothing is done in any directory any more.
    pub(super) fn give_up_directories(&mut self, now: Now) {
        for index in 0..self.directories.len() {
            self.fail_directory(now, index, "the node ends");
        }
    }

    fn halt(&mut self, reason: String) {
        self.effects.push(Effect::Halt { reason });
    }

    fn partitions_in(&self, index: DirectoryIndex) -> Vec<TopicPartition> {
        let partitions = self.partitions.iter();
        let affected = partitions.filter(|(_, partition)| partition.directory == index);
        affected.map(|(name, _)| name.clone()).collect()
    }

    /// Forgets the logs of a directory that nobody claimed; says which those were.
    fn unclaimed_in(&mut self, index: DirectoryIndex) -> Vec<TopicPartition> {
        let mut names = Vec::new();
        for (name, logs) in &mut self.unclaimed {
            let before = logs.len();
            logs.retain(|log| log.directory != index);
            if logs.len() < before {
                names.push(name.clone());
            }
        }
        self.unclaimed.retain(|_, logs| !logs.is_empty());
        names
    }

    pub(super) fn directory_path(&self, index: DirectoryIndex) -> String {
        let path = self.settings.log_dirs.get(index);
        path.map_or_else(String::new, |path| path.display().to_string())
    }

    /// The image changed: the controller may have learned of directories that are offline.
    pub(super) fn directories_image_changed(&mut self, now: Now) {
        self.set_report_deadlines(now);
        self.readmit_directories(now);
    }

    /// What is offline and counts as online must become known in time. Until it does, no other
    /// change of the directory makes the image change.
    fn set_report_deadlines(&mut self, now: Now) {
        let own = self.obeyed.brokers().get(self.id);
        let within = self.settings.millis("log.dir.failure.timeout.ms");
        for directory in &mut self.directories {
            let counts_as_online = own
                .zip(directory.id)
                .is_some_and(|(own, id)| own.is_directory_online(id));
            directory.report_by = if directory.is_online() || !counts_as_online {
                None
            } else {
                directory.report_by.or(Some(now.time + within))
            };
        }
    }

    /// Uses the directories again that were opened anew and whose leaderships have moved.
    fn readmit_directories(&mut self, now: Now) {
        let Some(own) = self.obeyed.brokers().get(self.id).cloned() else {
            return;
        };
        for index in 0..self.directories.len() {
            let Some(directory) = self.directories.get_mut(index) else {
                return;
            };
            let id = directory.id.unwrap_or_default();
            if let State::Stalled { reopened, .. } = &mut directory.state
                && own.offline_directories.contains(&id)
                && let Some(logs) = reopened.take()
            {
                directory.state = State::Online;
                self.readmit_directory(now, index, logs);
            }
        }
    }

    fn readmit_directory(&mut self, now: Now, index: DirectoryIndex, logs: ReopenedLogs) {
        let path = self.directory_path(index);
        info!(
            directory = path,
            logs = logs.len(),
            "log directory is online again"
        );
        let mut names = self.partitions_in(index);
        for name in &names {
            self.forget_partition(name);
        }
        names.extend(self.assigned_to(index));
        for (name, log) in logs {
            names.push(name.clone());
            self.unclaimed.entry(name).or_default().push(log);
        }
        for name in names {
            let topic = self.obeyed.topics().named(&name.topic);
            let registration = topic
                .and_then(|topic| topic.partition(name.partition))
                .cloned();
            if let Some(registration) = registration
                && !self.partitions.contains_key(&name)
            {
                self.apply_registration(now, &name, &registration);
            }
        }
        if self.lifecycle.has_served() {
            for name in self.unclaimed_in(index) {
                warn!(partition = %name, directory = path, "removing a stray log");
                self.delete_log(index, &name);
            }
        }
        self.lifecycle_directories_changed(now);
    }

    /// The partitions that are to lie in a directory, be their logs there or not.
    fn assigned_to(&self, index: DirectoryIndex) -> Vec<TopicPartition> {
        let id = self.directories.get(index).and_then(Directory::id);
        let mut names = Vec::new();
        for topic in self.obeyed.topics().iter() {
            for (partition, registration) in topic.partitions() {
                let is_here = registration.replicas.contains(&self.id);
                if is_here && Some(registration.directory_of(self.id)) == id {
                    names.push(TopicPartition::new(Arc::clone(topic.name()), partition));
                }
            }
        }
        names
    }

    pub(super) fn directories_next_timeout(&self) -> Option<Time> {
        let directories = self.directories.iter();
        directories
            .filter_map(|directory| directory.report_by)
            .min()
    }

    /// Ends a node whose controller cannot be told: it would keep leaderships that it cannot
    /// exercise.
    pub(super) fn directories_timeout(&mut self, now: Now) {
        for index in 0..self.directories.len() {
            let Some(directory) = self.directories.get_mut(index) else {
                return;
            };
            if is_due(directory.report_by, now) {
                directory.report_by = None;
                let path = self.directory_path(index);
                self.halt(format!(
                    "log directory {path} is offline and no controller could be told within \
                     log.dir.failure.timeout.ms"
                ));
            }
        }
    }
}
