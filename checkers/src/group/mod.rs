//! The checkers of consumer groups: one file for each anomaly.
//!
//! Each reads a `Share`, one partition of one group, and reports to `Findings`. They are linear in
//! the rows, or n log n, and none depends on another having found nothing, save that
//! `nonlinearizable-commit` reports only what no other one names.

mod build;
mod commit_ahead;
mod commit_lost;
mod commit_regressed;
mod dual_owner;
mod group_duplicate;
mod group_lost;
mod next;
mod nonlinearizable_commit;
mod register;
mod reset_wrong;
mod resume_wrong;
pub(crate) mod rows;
mod share;
mod stuck_group;
mod surplus_owner;
mod unbounded_duplicate;
mod unowned_partition;
mod wrongly_fenced;
mod zombie_commit;

use crate::anomaly::Kind;
use crate::log::Findings;

pub(crate) use rows::Groups;
pub(crate) use share::{Context, Share};

/// A checker: a pure function of one partition of one group.
pub(crate) type Check = fn(&Share<'_>, &mut Findings);

/// The checker of an anomaly of groups.
pub(crate) fn check_of(kind: Kind) -> Option<Check> {
    Some(match kind {
        Kind::GroupLost => group_lost::check,
        Kind::GroupDuplicate => group_duplicate::check,
        Kind::UnboundedDuplicate => unbounded_duplicate::check,
        Kind::DualOwner => dual_owner::check,
        Kind::UnownedPartition => unowned_partition::check,
        Kind::SurplusOwner => surplus_owner::check,
        Kind::ZombieCommit => zombie_commit::check,
        Kind::CommitLost => commit_lost::check,
        Kind::CommitRegressed => commit_regressed::check,
        Kind::CommitAhead => commit_ahead::check,
        Kind::ResumeWrong => resume_wrong::check,
        Kind::ResetWrong => reset_wrong::check,
        Kind::StuckGroup => stuck_group::check,
        Kind::NonlinearizableCommit => nonlinearizable_commit::check,
        Kind::WronglyFenced => wrongly_fenced::check,
        _ => return None,
    })
}
