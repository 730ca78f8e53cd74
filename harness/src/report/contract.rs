//! The contract of the run in words, and what came of each of its promises.
//!
//! In: the verdict, whose promises were decided from settings and faults. Out: a sentence of what
//! was configured and what happened, and one row for each family of promises.
//! Invariant: a row is as bad as the worst of its checks, and gives the reason of that one.

use checkers::anomaly::Kind;
use checkers::history::{Acks, FaultClass, Settings};
use checkers::verdict::{Check, Verdict};

use crate::report::words::{count, shortened};
use crate::report::{checks, rows};
use crate::run::summary::{Liveness, Summary};

/// One family of promises.
pub(super) struct Row {
    pub(super) about: &'static str,
    pub(super) says: &'static str,
    pub(super) because: String,
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) found: String,
}

/// What people ask a log and a group for, and the anomalies that would break it.
const FAMILIES: &[(&str, &[Kind])] = &[
    ("An acknowledged record stays", &[Kind::LostWrite]),
    ("An offset holds one record", &[Kind::InconsistentOffsets]),
    (
        "Readers see the same, whatever was acknowledged",
        &[Kind::InconsistentReads],
    ),
    ("A record is there once", &[Kind::Duplicate]),
    (
        "Nothing is read that was not sent",
        &[Kind::Phantom, Kind::FailedSendRead],
    ),
    (
        "The log grows in the order of time",
        &[Kind::Nonlinearizable, Kind::NonmonotonicSend],
    ),
    (
        "Readers go forward without gaps",
        &[
            Kind::PollSkip,
            Kind::NonmonotonicPoll,
            Kind::IntPollSkip,
            Kind::IntNonmonotonicPoll,
        ],
    ),
    ("In the end everything is readable", &[Kind::Unseen]),
    (
        "Nothing is acknowledged below min.insync.replicas",
        &[Kind::AckedBelowMinIsr],
    ),
    (
        "Nobody waits too long for an acknowledgement",
        &[Kind::Unavailable],
    ),
    ("The group skips no record", &[Kind::GroupLost]),
    (
        "The group processes no record twice",
        &[Kind::GroupDuplicate],
    ),
    (
        "Auto commit bounds what is repeated",
        &[Kind::UnboundedDuplicate],
    ),
    (
        "Every partition has one owner",
        &[Kind::DualOwner, Kind::UnownedPartition, Kind::SurplusOwner],
    ),
    (
        "Commits are kept, and only those of members count",
        &[
            Kind::CommitLost,
            Kind::CommitRegressed,
            Kind::CommitAhead,
            Kind::ZombieCommit,
            Kind::NonlinearizableCommit,
        ],
    ),
    (
        "A new owner starts at the right place",
        &[Kind::ResumeWrong, Kind::ResetWrong],
    ),
    (
        "The group goes on after healing",
        &[Kind::StuckGroup, Kind::WronglyFenced],
    ),
];

/// The rows: those of the checkers, then whether the cluster served again.
pub(super) fn rows(summary: &Summary) -> Vec<Row> {
    let of_checks = FAMILIES.iter().filter_map(|(about, kinds)| {
        let checks = summary.verdict.checks.iter();
        let family: Vec<&Check> = checks
            .filter(|check| kinds.contains(&check.anomaly))
            .collect();
        row(about, &family, &summary.verdict)
    });
    of_checks.chain([available(summary)]).collect()
}

fn row(about: &'static str, family: &[&Check], verdict: &Verdict) -> Option<Row> {
    // As the verdict orders them: broken, not decided, seen, and what was kept.
    let badness = |check: &&&Check| match (&check.problem, check.promise.forbidden, check.count) {
        (_, true, 1..) => 4,
        (Some(_), _, _) => 3,
        (None, false, 1..) => 2,
        (None, false, 0) => 1,
        (None, true, 0) => 0,
    };
    // The first of the worst is the one that the family is named after.
    let worst = family.iter().rev().max_by_key(badness)?;
    let (mark, state, tone) = if worst.is_broken() {
        ("✗", "broken", "broken")
    } else {
        checks::state(worst, verdict.nothing_ran())
    };
    let found = family.iter().filter(|check| check.count > 0);
    let found: Vec<String> = found
        .map(|check| format!("{} {}", check.count, check.anomaly.name()))
        .collect();
    Some(Row {
        about,
        says: if worst.promise.forbidden {
            "promised"
        } else {
            "not promised"
        },
        because: shortened(
            worst.problem.as_ref().unwrap_or(&worst.promise.because),
            400,
        ),
        mark,
        state,
        tone,
        found: if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        },
    })
}

fn available(summary: &Summary) -> Row {
    let may_stay_silent = summary.verdict.may_stay_silent();
    let promise = summary.verdict.available_after_heal.as_ref();
    let (mark, state, tone, found) = match (&summary.liveness, may_stay_silent) {
        (Liveness::Recovered { after_ms }, _) => (
            "✓",
            "kept",
            "kept",
            format!("{:.1} s after healing", *after_ms as f64 / 1e3),
        ),
        (Liveness::NotRecovered { reason }, None) => ("✗", "broken", "broken", reason.clone()),
        (Liveness::NotRecovered { reason }, Some(_)) => {
            ("◐", "allowed, seen", "open", reason.clone())
        }
        (Liveness::NotReached { reason }, _) => ("?", "not decided", "open", reason.clone()),
    };
    Row {
        about: "After healing everything serves again",
        says: if may_stay_silent.is_some() {
            "not promised"
        } else {
            "promised"
        },
        because: promise
            .map(|promise| promise.because.clone())
            .unwrap_or_default(),
        mark,
        state,
        tone,
        found: shortened(&found, 300),
    }
}

/// What was configured and what happened to it: the conditions of the promises.
pub(super) fn conditions(summary: &Summary) -> String {
    let faults: Vec<&str> = summary
        .verdict
        .faults
        .iter()
        .map(|class| class_words(*class))
        .collect();
    let happened = match faults.as_slice() {
        [] => "no fault happened".to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    };
    let configured = if rows::has_several(summary) {
        let rows = count(summary.rows.len() as u64, "row");
        format!("{rows} of the matrix, each on a topic of its own; this is their sum")
    } else {
        settings(&summary.verdict.settings)
    };
    format!("{configured}. What happened to it: {happened}.")
}

fn settings(settings: &Settings) -> String {
    let acks = match settings.acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    };
    let group = match &settings.group {
        Some(group) => format!("; the consumers are a group, mode {}", group.mode.name()),
        None => String::new(),
    };
    format!(
        "acks={acks}, {}, min.insync.replicas={}, idempotence {}, unclean leader election {}, \
         {}{group}",
        match settings.replication_factor {
            1 => "one copy of each partition".to_owned(),
            copies => format!("{copies} copies of each partition"),
        },
        settings.min_insync_replicas,
        on_off(settings.idempotence),
        on_off(settings.unclean_leader_election),
        if settings.flush_every_message {
            "every record fsynced before it is acknowledged"
        } else {
            "nothing fsynced before it is acknowledged"
        }
    )
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn class_words(class: FaultClass) -> &'static str {
    match class {
        FaultClass::Stop => "clean stops",
        FaultClass::ProcessCrash => "crashes of processes",
        FaultClass::Pause => "pauses of nodes",
        FaultClass::Network => "broken links",
        FaultClass::Disk => "failing disks",
        FaultClass::DiskStall => "hanging disks",
        FaultClass::DiskFull => "full disks",
        FaultClass::LyingDisk => "disks that lie about fsync",
        FaultClass::PowerLoss => "losses of power",
        FaultClass::Corruption => "changed bytes",
        FaultClass::Wipe => "wiped or replaced disks",
        FaultClass::Resource => "scarce resources",
        FaultClass::Client => "crashes or pauses of clients",
        FaultClass::Membership => "changes of membership",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_anomaly_belongs_to_one_promise() {
        for kind in Kind::ALL {
            let families = FAMILIES.iter().filter(|(_, kinds)| kinds.contains(&kind));
            assert_eq!(families.count(), 1, "{kind:?}");
        }
    }
}
