//! The checkers of one partition's log: one file for each anomaly.
//!
//! Each reads a `Log` (rows and version order) and reports to `Findings`. All are linear in the
//! rows, or n log n where offsets are sparse, and none depends on another having found nothing.

mod duplicate;
mod failed_send_read;
mod findings;
mod inconsistent_offsets;
mod inconsistent_reads;
mod int_nonmonotonic_poll;
mod int_poll_skip;
mod linearizable;
mod lost_write;
mod nonlinearizable;
mod nonmonotonic_poll;
mod nonmonotonic_send;
mod phantom;
mod poll_skip;
mod slots;
mod unread;
mod unseen;
mod version_order;

use std::cell::OnceCell;

use crate::anomaly::Kind;
use crate::history::columns::{FOREIGN, Partition};

pub(crate) use findings::{Finding, Findings, Seen};
pub(crate) use linearizable::{Rules, existing_end};
use unread::Unread;
use version_order::VersionOrder;

/// One partition, ready to be checked.
pub(crate) struct Log<'a> {
    pub(crate) rows: &'a Partition,
    pub(crate) order: VersionOrder,
    pub(crate) rules: Rules,
    foreign: &'a [Box<str>],
    unread: OnceCell<Vec<Unread>>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(rows: &'a Partition, foreign: &'a [Box<str>], rules: Rules) -> Self {
        let order = VersionOrder::build(rows);
        Self {
            rows,
            order,
            rules,
            foreign,
            unread: OnceCell::new(),
        }
    }

    /// A value as a person writes it.
    fn value(&self, value: u64) -> String {
        let text = value
            .checked_sub(FOREIGN)
            .and_then(|i| self.foreign.get(i as usize));
        text.map_or_else(|| value.to_string(), ToString::to_string)
    }

    /// The value of a slot as a person writes it.
    pub(crate) fn value_at(&self, slot: usize) -> String {
        self.order
            .value(slot)
            .map_or_else(String::new, |value| self.value(value))
    }

    /// Acknowledged sends that no poll returned.
    fn unread(&self) -> &[Unread] {
        self.unread.get_or_init(|| unread::unread(self))
    }
}

/// A checker: a pure function of one log.
pub(crate) type Check = fn(&Log<'_>, &mut Findings);

/// The checker of an anomaly of logs.
pub(crate) fn check_of(kind: Kind) -> Option<Check> {
    Some(match kind {
        Kind::LostWrite => lost_write::check,
        Kind::InconsistentOffsets => inconsistent_offsets::check,
        Kind::InconsistentReads => inconsistent_reads::check,
        Kind::Duplicate => duplicate::check,
        Kind::Phantom => phantom::check,
        Kind::FailedSendRead => failed_send_read::check,
        Kind::Nonlinearizable => nonlinearizable::check,
        Kind::NonmonotonicSend => nonmonotonic_send::check,
        Kind::PollSkip => poll_skip::check,
        Kind::NonmonotonicPoll => nonmonotonic_poll::check,
        Kind::IntPollSkip => int_poll_skip::check,
        Kind::IntNonmonotonicPoll => int_nonmonotonic_poll::check,
        Kind::Unseen => unseen::check,
        _ => return None,
    })
}

/// Whether a partition's log is linearizable.
pub(crate) fn is_linearizable(rows: &Partition, rules: Rules) -> bool {
    linearizable::violation(rows, &VersionOrder::build(rows), rules).is_none()
}
