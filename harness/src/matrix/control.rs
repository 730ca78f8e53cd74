//! Which cells are controls whose loss or repetition their plan is built to show.
//!
//! In: a column and a row whose contract allows losses or repetitions. Out: whether the plan makes
//! it lose or repeat.
//! Invariant: of a control that lost or repeated nothing the page says that it has proven nothing;
//! of another cell, that its contract allows a loss and nothing in its plan brings one about. Which
//! is which follows from the scenes (`scene`), and is data.

use checkers::history::{Acks, CommitMode};

use crate::cli::Flush;
use crate::matrix::Row;

/// Rows by what makes them lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Losing {
    /// acks=0: whatever is sent to a leader that does not take it is gone.
    Unacknowledged,
    /// acks=1 with followers: what only a leader has is gone when another leads.
    LeaderAlone,
    /// A single copy, not flushed: it is gone with what its node had in memory.
    SingleUnflushed,
    /// Any number of copies, not flushed: all lose their memory at once.
    Unflushed,
    /// acks=0 with followers: the same where a single copy cannot be read any more.
    UnacknowledgedReplicated,
    /// Members that commit what they have not processed: it is skipped when they die.
    CommittedFirst,
}

use Losing::{
    CommittedFirst, LeaderAlone, SingleUnflushed, Unacknowledged, UnacknowledgedReplicated,
    Unflushed,
};

/// For each column the rows that its plans make lose.
const CONTROLS: &[(&str, &[Losing])] = &[
    ("client-kill", &[CommittedFirst]),
    // Who is frozen wakes up and does what it has committed.
    ("group-churn", &[CommittedFirst]),
    (
        "leader-kill",
        &[Unacknowledged, LeaderAlone, CommittedFirst],
    ),
    ("coordinator-kill", &[CommittedFirst]),
    (
        "controller-kill",
        &[Unacknowledged, LeaderAlone, CommittedFirst],
    ),
    ("all-kill", &[Unacknowledged, LeaderAlone, CommittedFirst]),
    ("pause", &[Unacknowledged, LeaderAlone, CommittedFirst]),
    ("partition", &[Unacknowledged, LeaderAlone, CommittedFirst]),
    // An answer that is lost leaves a record that is there.
    ("ack-lost", &[CommittedFirst]),
    ("disk-stall", &[Unacknowledged, LeaderAlone, CommittedFirst]),
    ("disk-error", &[Unacknowledged, LeaderAlone, CommittedFirst]),
    // A leader whose disk is full refuses, and stays the leader.
    ("disk-full", &[Unacknowledged, CommittedFirst]),
    (
        "power-loss-one",
        &[Unacknowledged, LeaderAlone, SingleUnflushed, CommittedFirst],
    ),
    (
        "power-loss-all",
        &[Unacknowledged, LeaderAlone, Unflushed, CommittedFirst],
    ),
    // A broker does not serve a single copy that is damaged: nobody can say what it has lost.
    (
        "corruption",
        &[UnacknowledgedReplicated, LeaderAlone, CommittedFirst],
    ),
    (
        "min-isr-change",
        &[Unacknowledged, LeaderAlone, CommittedFirst],
    ),
];

/// The columns that kill members at their work: what those have processed and not committed is
/// repeated, in every mode that does not commit before.
const REPEATING: &[&str] = &["client-kill", "group-churn"];

/// Whether the plans of `column` are built to make the group of `row` repeat records.
pub fn shows_repetition(column: &str, row: Row) -> bool {
    let may_repeat = matches!(row, Row::Mode(mode) if mode != CommitMode::SyncBefore);
    may_repeat && REPEATING.contains(&column)
}

/// Whether the plans of `column` are built to make `row` lose.
pub fn shows_loss(column: &str, row: Row) -> bool {
    let mut controls = CONTROLS.iter().filter(|(name, _)| *name == column);
    controls.any(|(_, losing)| losing.iter().any(|losing| losing.is(row)))
}

impl Losing {
    fn is(self, row: Row) -> bool {
        match row {
            Row::Mode(mode) => self == CommittedFirst && commits_first(mode),
            Row::Durability {
                acks,
                replication_factor,
                flush,
                ..
            } => match self {
                Unacknowledged => acks == Acks::Zero,
                LeaderAlone => acks == Acks::One && replication_factor > 1,
                SingleUnflushed => replication_factor == 1 && flush == Flush::Never,
                Unflushed => flush == Flush::Never,
                UnacknowledgedReplicated => acks == Acks::Zero && replication_factor > 1,
                CommittedFirst => false,
            },
        }
    }
}

/// Whether members commit what they have not processed.
pub(super) fn commits_first(mode: CommitMode) -> bool {
    matches!(mode, CommitMode::SyncBefore | CommitMode::AutoHandoff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::COLUMNS;

    fn shows(column: &str, row: &str) -> bool {
        shows_loss(column, row.parse().expect("a row"))
    }

    #[test]
    fn every_control_is_of_a_column_and_the_column_without_faults_has_none() {
        for (name, losing) in CONTROLS {
            assert!(COLUMNS.iter().any(|column| column.name == *name), "{name}");
            assert!(!losing.is_empty());
        }
        assert!(Row::all().into_iter().all(|row| !shows_loss("none", row)));
    }

    #[test]
    fn a_repetition_is_expected_where_members_die_before_they_commit() {
        for (column, row, wanted) in [
            ("client-kill", "mode=auto-in-loop", true),
            ("client-kill", "mode=auto-handoff", true),
            ("group-churn", "mode=sync-after", true),
            ("group-churn", "mode=async-after", true),
            ("client-kill", "mode=sync-before", false),
            ("client-pause", "mode=sync-after", false),
            ("none", "mode=auto-in-loop", false),
            ("client-kill", "acks=1 rf=3 min.isr=2 flush=never", false),
        ] {
            let shown = shows_repetition(column, row.parse().expect("a row"));
            assert_eq!(shown, wanted, "{row} under {column}");
        }
        for name in REPEATING {
            assert!(COLUMNS.iter().any(|column| column.name == *name), "{name}");
        }
    }

    #[test]
    fn a_loss_is_expected_where_the_plan_makes_one_and_only_there() {
        for (column, row, wanted) in [
            ("leader-kill", "acks=1 rf=3 min.isr=2 flush=never", true),
            ("leader-kill", "acks=1 rf=1 min.isr=1 flush=never", false),
            ("leader-kill", "acks=0 rf=1 min.isr=1 flush=every", true),
            ("client-kill", "acks=0 rf=3 min.isr=1 flush=never", false),
            ("ack-lost", "acks=1 rf=3 min.isr=1 flush=never", false),
            ("disk-full", "acks=1 rf=3 min.isr=1 flush=never", false),
            (
                "power-loss-one",
                "acks=all rf=1 min.isr=1 flush=never",
                true,
            ),
            (
                "power-loss-one",
                "acks=all rf=1 min.isr=1 flush=every",
                false,
            ),
            (
                "power-loss-all",
                "acks=all rf=3 min.isr=2 flush=never",
                true,
            ),
            ("corruption", "acks=0 rf=1 min.isr=1 flush=every", false),
            ("corruption", "acks=all rf=3 min.isr=1 flush=every", false),
            ("coordinator-kill", "mode=sync-before", true),
            ("coordinator-kill", "mode=sync-after", false),
            ("client-pause", "mode=sync-before", false),
        ] {
            assert_eq!(shows(column, row), wanted, "{row} under {column}");
        }
    }
}
