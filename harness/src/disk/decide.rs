//! What happens to one operation: pure, so that every rule is tested without a file system.
//!
//! In: the rules of a disk, the class of an operation and of its file, the time since the disk
//! began. Out: when it is done, and what is done. Invariant: the same rules and the same calls
//! give the same decisions, because chance is drawn from the seed, the rule and its calls.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::disk::RuleId;
use crate::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, RuleEffect,
};

/// When an operation is done and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At once.
    Now,
    /// After this long.
    After(Duration),
    /// When the rule that holds it is lifted.
    Lifted,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// What was asked for.
    AsAsked,
    /// Nothing; it is refused.
    Refuse(DiskErrno),
    /// What fits below this space in use, in bytes; the rest is refused.
    Within {
        /// The space that may be in use.
        limit: u64,
        /// The answer when nothing fits.
        errno: DiskErrno,
    },
    /// A write of its first half.
    Half,
    /// A write of at most so many bytes, and EIO.
    Torn(u32),
    /// An fsync that makes nothing durable.
    Lie,
    /// A read with one flipped bit, drawn from this number.
    Flip(u64),
}

/// What happens to one operation, and by which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// When.
    pub(super) when: When,
    /// The rule that delays it.
    pub(super) holder: Option<RuleId>,
    /// What.
    pub(super) act: Act,
    /// The rule that changes it.
    pub(super) actor: Option<RuleId>,
}

impl Decision {
    /// Nothing special.
    pub(super) const PLAIN: Self = Self {
        when: When::Now,
        holder: None,
        act: Act::AsAsked,
        actor: None,
    };
}

/// An operation, as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Its class.
    pub(super) operation: OperationClass,
    /// The class of its file.
    pub(super) file: FileClass,
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Active {
    rule: DiskRule,
    /// Since when, on the disk's clock.
    since: Duration,
    /// The space that was in use then.
    used: u64,
    chance: ChaCha8Rng,
    /// What it has done.
    pub(super) effect: RuleEffect,
    /// Whether it acts no longer.
    pub(super) is_lifted: bool,
}

impl Active {
    /// `rule` from `since` on, when `used` bytes were in use.
    pub(super) fn new(rule: DiskRule, id: RuleId, seed: u64, since: Duration, used: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        chance.set_stream(id.0);
        Self {
            rule,
            since,
            used,
            chance,
            effect: RuleEffect::default(),
            is_lifted: false,
        }
    }

    /// Whether reads are among what it looks at.
    pub(super) fn looks_at_reads(&self) -> bool {
        self.looks_at(OperationClass::Read)
    }

    /// Whether it looks at files of `class`.
    pub(super) fn looks_at_files(&self, class: FileClass) -> bool {
        self.rule.files.is_empty() || self.rule.files.contains(&class)
    }

    /// The space that may be in use, if it limits that.
    pub(super) fn limit(&self) -> Option<u64> {
        match self.rule.action {
            DiskAction::Full { left_bytes, .. } => Some(self.used.saturating_add(left_bytes)),
            _ => None,
        }
    }

    fn looks_at(&self, operation: OperationClass) -> bool {
        let operations = &self.rule.operations;
        applies(self.rule.action, operation)
            && (operations.is_empty() || operations.contains(&operation))
    }

    /// Counts the call; what it does to it, if it hits it.
    fn hit(&mut self, call: Call, now: Duration) -> Option<(When, Act)> {
        if self.is_lifted || !self.looks_at(call.operation) || !self.looks_at_files(call.file) {
            return None;
        }
        self.effect.matched += 1;
        // Drawn for each call, so that what is drawn does not depend on what was hit.
        let (chance, draw) = (self.chance.random_range(0..1000), self.chance.random());
        let is_picked = match self.rule.pick {
            DiskPick::Every => true,
            DiskPick::Nth(number) => self.effect.matched == number,
            DiskPick::From(number) => self.effect.matched >= number,
            DiskPick::PerMille(share) => chance < share,
        };
        if !is_picked {
            return None;
        }
        let done = match self.rule.action {
            DiskAction::Stall => (When::Lifted, Act::AsAsked),
            DiskAction::OnOff { off_ms, on_ms } => {
                let left = left_of_off(now.saturating_sub(self.since), off_ms, on_ms)?;
                (When::After(left), Act::AsAsked)
            }
            DiskAction::Slow { mean_ms, jitter_ms } => {
                (When::After(spread(mean_ms, jitter_ms, draw)), Act::AsAsked)
            }
            DiskAction::Error { errno } => (When::Now, Act::Refuse(errno)),
            DiskAction::Full { left_bytes, errno } => {
                let limit = self.used.saturating_add(left_bytes);
                (When::Now, Act::Within { limit, errno })
            }
            DiskAction::Short => (When::Now, Act::Half),
            DiskAction::Torn { bytes } => (When::Now, Act::Torn(bytes)),
            DiskAction::Lie => (When::Now, Act::Lie),
            DiskAction::FlipOnRead => (When::Now, Act::Flip(draw)),
        };
        // Only once it is done does it show whether the space was enough, or the write divisible.
        if !matches!(done.1, Act::Within { .. } | Act::Half) {
            self.effect.hits += 1;
        }
        Some(done)
    }
}

/// Whether `action` can be done to an operation of this class.
fn applies(action: DiskAction, operation: OperationClass) -> bool {
    use OperationClass as O;
    match action {
        DiskAction::Stall
        | DiskAction::OnOff { .. }
        | DiskAction::Slow { .. }
        | DiskAction::Error { .. } => true,
        DiskAction::Full { .. } => matches!(operation, O::Write | O::SetLength | O::Create),
        DiskAction::Short | DiskAction::Torn { .. } => operation == O::Write,
        DiskAction::Lie => matches!(operation, O::Sync | O::SyncDirectory),
        DiskAction::FlipOnRead => operation == O::Read,
    }
}

/// How long the disk still is off, if it is.
fn left_of_off(elapsed: Duration, off_ms: u64, on_ms: u64) -> Option<Duration> {
    let (off, on) = (Duration::from_millis(off_ms), Duration::from_millis(on_ms));
    let turn = (off + on).as_nanos().max(1);
    let into = Duration::from_nanos_u128(elapsed.as_nanos() % turn);
    off.checked_sub(into).filter(|left| !left.is_zero())
}

fn spread(mean_ms: u64, jitter_ms: u64, draw: u64) -> Duration {
    let low = mean_ms.saturating_sub(jitter_ms).saturating_mul(1_000);
    let high = mean_ms.saturating_add(jitter_ms).saturating_mul(1_000);
    Duration::from_micros(low + draw % (high - low).saturating_add(1))
}

/// What happens to `call`: the first rule that hits delays it, the first that hits changes it.
///
/// `hit` is called with each rule that hits.
pub(super) fn decide<'a>(
    rules: impl Iterator<Item = (RuleId, &'a mut Active)>,
    call: Call,
    now: Duration,
    mut hit: impl FnMut(&mut Active),
) -> Decision {
    let mut decision = Decision::PLAIN;
    for (id, rule) in rules {
        let Some((when, act)) = rule.hit(call, now) else {
            continue;
        };
        hit(rule);
        if decision.holder.is_none() && when != When::Now {
            (decision.when, decision.holder) = (when, Some(id));
        }
        if decision.actor.is_none() && act != Act::AsAsked {
            (decision.act, decision.actor) = (act, Some(id));
        }
    }
    decision
}

#[cfg(test)]
#[path = "decide_test.rs"]
mod decide_test;
