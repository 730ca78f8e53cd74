//! The rules of one disk, and what they have done.
//!
//! In: rules from the nemesis, operations from the file system. Out: decisions and counters.
//! Invariant: rules outlive a loss of power, as faults of different kinds may overlap; what a rule
//! did can be asked for after it was lifted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::RuleId;
use crate::disk::decide::{Active, Call, Decision, decide};
use crate::disk::rule::{DiskRule, FileClass, OperationClass, RuleEffect};

/// All rules that were ever imposed on a disk.
#[derive(Debug)]
pub(super) struct Rules {
    seed: u64,
    begin: Instant,
    /// Whether any rule acts: most of the time none does, and no lock is taken.
    acts: AtomicBool,
    all: Mutex<BTreeMap<RuleId, Ruled>>,
}

#[derive(Debug)]
struct Ruled {
    active: Active,
    /// Since when it holds what, by the numbers of the held operations.
    holding: BTreeMap<u64, Instant>,
}

impl Rules {
    /// No rules; chance will be drawn from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            begin: Instant::now(),
            acts: AtomicBool::new(false),
            all: Mutex::default(),
        }
    }

    /// Whether any rule acts.
    pub(super) fn acts(&self) -> bool {
        self.acts.load(Ordering::Acquire)
    }

    /// From now on `rule` acts; `used` bytes are in use.
    pub(super) fn impose(&self, rule: DiskRule, used: u64) -> RuleId {
        let mut rules = self.lock();
        let id = RuleId(rules.len() as u64);
        let active = Active::new(rule, id, self.seed, self.begin.elapsed(), used);
        let holding = BTreeMap::new();
        rules.insert(id, Ruled { active, holding });
        self.acts.store(true, Ordering::Release);
        id
    }

    /// The rule hits nothing any more. What it holds is for the caller to answer.
    pub(super) fn lift(&self, id: RuleId) {
        let mut rules = self.lock();
        if let Some(rule) = rules.get_mut(&id) {
            rule.active.is_lifted = true;
        }
        let acts = rules.values().any(|rule| !rule.active.is_lifted);
        self.acts.store(acts, Ordering::Release);
    }

    /// The rules that act.
    pub(super) fn acting(&self) -> Vec<RuleId> {
        let rules = self.lock();
        let acting = rules.iter().filter(|(_, rule)| !rule.active.is_lifted);
        acting.map(|(id, _)| *id).collect()
    }

    /// What happens to an operation on a file of class `file`; `path` is for its first hit.
    pub(super) fn decide(
        &self,
        operation: OperationClass,
        file: FileClass,
        path: impl Fn() -> String,
    ) -> Decision {
        let mut rules = self.lock();
        let rules = rules.iter_mut().map(|(id, rule)| (*id, &mut rule.active));
        let call = Call { operation, file };
        decide(rules, call, self.begin.elapsed(), |hit| {
            if hit.effect.first.is_none() {
                hit.effect.first = Some(format!("{} of {}", word(operation), path()));
            }
        })
    }

    /// `rule` hit an operation after all.
    pub(super) fn add_hit(&self, rule: Option<RuleId>) {
        self.change(rule, |rule| rule.active.effect.hits += 1);
    }

    /// `bytes` were not written, not synced or changed because of `rule`.
    pub(super) fn add_bytes(&self, rule: Option<RuleId>, bytes: u64) {
        self.change(rule, |rule| rule.active.effect.bytes += bytes);
    }

    /// `rule` holds operation `number` now; whether it still acts.
    pub(super) fn hold(&self, rule: Option<RuleId>, number: u64) -> bool {
        let mut acts = false;
        self.change(rule, |rule| {
            rule.holding.insert(number, Instant::now());
            acts = !rule.active.is_lifted;
        });
        acts
    }

    /// `rule` holds operation `number` no longer.
    pub(super) fn let_go(&self, rule: Option<RuleId>, number: u64) {
        self.change(rule, |rule| {
            if let Some(since) = rule.holding.remove(&number) {
                let longest = &mut rule.active.effect.held_ms_max;
                *longest = (*longest).max(millis(since.elapsed()));
            }
        });
    }

    /// What `rule` has done so far.
    pub(super) fn effect(&self, rule: RuleId) -> RuleEffect {
        let rules = self.lock();
        let Some(rule) = rules.get(&rule) else {
            return RuleEffect::default();
        };
        let longest = rule.holding.values().map(Instant::elapsed).max();
        let mut effect = rule.active.effect.clone();
        effect.held = rule.holding.len() as u64;
        effect.held_ms_max = effect.held_ms_max.max(longest.map_or(0, millis));
        effect
    }

    /// Whether `rule` is about reads of files of `class`.
    pub(super) fn changes_reads_of(&self, rule: RuleId, class: FileClass) -> bool {
        let is_so =
            |rule: &Ruled| rule.active.looks_at_reads() && rule.active.looks_at_files(class);
        self.lock().get(&rule).is_some_and(is_so)
    }

    /// The least space that may be in use by the rules that act.
    pub(super) fn limit(&self) -> Option<u64> {
        if !self.acts() {
            return None;
        }
        let rules = self.lock();
        let acting = rules.values().filter(|rule| !rule.active.is_lifted);
        acting.filter_map(|rule| rule.active.limit()).min()
    }

    fn change(&self, rule: Option<RuleId>, change: impl FnOnce(&mut Ruled)) {
        let Some(rule) = rule else { return };
        if let Some(rule) = self.lock().get_mut(&rule) {
            change(rule);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RuleId, Ruled>> {
        // Counters stay true enough to clean up after a panic elsewhere.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn word(operation: OperationClass) -> &'static str {
    match operation {
        OperationClass::Open => "open",
        OperationClass::Read => "read",
        OperationClass::Write => "write",
        OperationClass::SetLength => "set-length",
        OperationClass::Sync => "sync",
        OperationClass::SyncDirectory => "sync-directory",
        OperationClass::Create => "create",
        OperationClass::Rename => "rename",
        OperationClass::Remove => "remove",
        OperationClass::GetAttributes => "get-attributes",
        OperationClass::SetAttributes => "set-attributes",
        OperationClass::ListDirectory => "list-directory",
    }
}
