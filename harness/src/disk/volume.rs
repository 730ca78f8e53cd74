//! One mounted disk: its files, its rules, and what waits.
//!
//! In: operations from the kernel. Out: each is decided on, then done now, later, differently or
//! not at all. Invariant: the thread that serves the kernel never waits for a rule.

use std::ffi::OsStr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::RuleId;
use crate::disk::classify::classify;
use crate::disk::decide::{Act, Decision, When};
use crate::disk::files::space::Limit;
use crate::disk::files::{Answer, Files};
use crate::disk::held::{Ending, Held};
use crate::disk::rule::{DiskErrno, DiskRule, OperationClass, RuleEffect};
use crate::disk::rules::Rules;

/// How long a page with a flipped bit stays: on a busy machine its reader wakes up late.
const SEEN_AFTER: Duration = Duration::from_millis(200);

/// One mounted disk.
pub(super) struct Volume {
    files: Mutex<Files>,
    rules: Arc<Rules>,
    /// What waits.
    pub(super) held: Held,
    fsync: Duration,
    /// Where inodes go whose cached pages are not what a read would give.
    stale: Mutex<Option<SyncSender<u64>>>,
}

impl Volume {
    /// A disk whose fsync takes `fsync`.
    pub(super) fn new(files: Files, rules: Arc<Rules>, fsync: Duration) -> Self {
        Self {
            files: Mutex::new(files),
            held: Held::new(Arc::clone(&rules)),
            rules,
            fsync,
            stale: Mutex::new(None),
        }
    }

    /// From now on inodes whose cached pages must go are sent to `stale`.
    pub(super) fn send_stale_to(&self, stale: SyncSender<u64>) {
        *self.stale() = Some(stale);
    }

    /// Answers everything and sends no more inodes anywhere: the disk ends.
    pub(super) fn close(&self) {
        self.held.close();
        self.stale().take();
    }

    fn stale(&self) -> MutexGuard<'_, Option<SyncSender<u64>>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files.
    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `rule` acts.
    pub(super) fn impose(&self, rule: DiskRule) -> RuleId {
        let used = self.files().space.used;
        let id = self.rules.impose(rule, used);
        self.drop_caches_of(id);
        id
    }

    /// The rule acts no longer; everything that it held is done and answered.
    pub(super) fn lift(&self, rule: RuleId) -> RuleEffect {
        self.rules.lift(rule);
        self.held.lift(rule);
        self.drop_caches_of(rule);
        self.rules.effect(rule)
    }

    /// The least space that may be in use by the rules that act.
    pub(super) fn limit(&self) -> Option<u64> {
        self.rules.limit()
    }

    /// What happens to an operation on a known inode.
    pub(super) fn decide(&self, operation: OperationClass, number: u64) -> Decision {
        if !self.rules.acts() {
            return Decision::PLAIN;
        }
        let files = self.files();
        let path = || files.path(number).display().to_string();
        self.rules.decide(operation, files.class(number), path)
    }

    /// What happens to an operation on a name, which may not exist.
    pub(super) fn decide_name(
        &self,
        operation: OperationClass,
        parent: u64,
        name: &OsStr,
        is_directory: bool,
    ) -> Decision {
        if !self.rules.acts() {
            return Decision::PLAIN;
        }
        let path = self.files().path_in(parent, name);
        let class = classify(&path, is_directory);
        self.rules
            .decide(operation, class, || path.display().to_string())
    }

    /// What happens to an fsync: it takes its time even when nothing is wrong.
    pub(super) fn decide_sync(&self, operation: OperationClass, number: u64) -> Decision {
        let mut decision = self.decide(operation, number);
        decision.when = match decision.when {
            When::Now if self.fsync.is_zero() => When::Now,
            When::Now => When::After(self.fsync),
            When::After(delay) => When::After(delay.saturating_add(self.fsync)),
            When::Lifted => When::Lifted,
        };
        decision
    }

    /// Lets `perform` do and answer an operation when `decision` says.
    pub(super) fn admit(
        self: &Arc<Self>,
        decision: Decision,
        perform: impl FnOnce(&Arc<Self>, Decision) + Send + 'static,
    ) {
        let due = match decision.when {
            When::Now => return perform(self, decision),
            When::After(delay) => Instant::now().checked_add(delay),
            When::Lifted => None,
        };
        let volume = Arc::clone(self);
        let finish = move |ending| match ending {
            Ending::Done => perform(&volume, decision),
            Ending::Refused => perform(
                &volume,
                Decision {
                    act: Act::Refuse(DiskErrno::Eio),
                    actor: None,
                    ..decision
                },
            ),
        };
        self.held.hold(due, decision.holder, Box::new(finish));
    }

    /// Does an operation that takes `bytes` more or less of space, within the decision's limit.
    pub(super) fn within<T>(
        &self,
        decision: Decision,
        bytes: u64,
        perform: impl FnOnce(&mut Files, Option<Limit>) -> Answer<T>,
        missing: impl FnOnce(&T) -> u64,
    ) -> Answer<T> {
        let limit = match decision.act {
            Act::Refuse(error) => {
                self.rules.add_bytes(decision.actor, bytes);
                return Err(crate::disk::files::space::errno(error));
            }
            Act::Within { limit, errno } => Some(Limit {
                bytes: limit,
                errno,
            }),
            _ => None,
        };
        let answer = perform(&mut self.files(), limit);
        let missing = answer.as_ref().map_or(bytes, missing);
        if limit.is_some() && (missing > 0 || answer.is_err()) {
            self.rules.add_hit(decision.actor);
            self.rules.add_bytes(decision.actor, missing);
        }
        answer
    }

    /// The decision changed the operation after all.
    pub(super) fn add_hit(&self, decision: Decision) {
        self.rules.add_hit(decision.actor);
    }

    /// `bytes` were not written, not synced or changed by the decision.
    pub(super) fn add_bytes(&self, decision: Decision, bytes: u64) {
        self.rules.add_bytes(decision.actor, bytes);
    }

    /// The kernel must not answer from the cached pages of an inode any more.
    pub(super) fn forget_pages(&self, number: u64) {
        if let Some(stale) = &*self.stale() {
            // When so many wait that this one does not fit, the lift of the rule still comes.
            let _ = stale.try_send(number);
        }
    }

    /// The same, but whoever has asked for them gets to see them first.
    pub(super) fn forget_pages_soon(self: &Arc<Self>, number: u64) {
        let volume = Arc::clone(self);
        let due = Instant::now() + SEEN_AFTER;
        let finish = move |_| volume.forget_pages(number);
        self.held.hold(Some(due), None, Box::new(finish));
    }

    /// Cached pages would hide a rule about reads, and keep what it returned.
    fn drop_caches_of(&self, rule: RuleId) {
        let files = self.files();
        for number in files.known_files(|class| self.rules.changes_reads_of(rule, class)) {
            self.forget_pages(number);
        }
    }
}
