//! What each checker examined, in counts: a checker that saw nothing has shown nothing.

use checkers::anomaly::Kind;
use checkers::verdict::Counts;

use crate::report::words::count;

/// What the checker of `kind` looked at in a history with these counts.
pub(super) fn examined(kind: Kind, counts: &Counts) -> String {
    let group = &counts.group;
    let parts: &[(u64, &str)] = match kind {
        Kind::LostWrite | Kind::Unseen => &[
            (counts.acknowledged, "acknowledged record"),
            (counts.read, "read record"),
        ],
        Kind::InconsistentOffsets | Kind::Duplicate => &[
            (counts.acknowledged, "acknowledged record"),
            (counts.unknown, "record in doubt"),
            (counts.read, "read record"),
        ],
        Kind::InconsistentReads => &[
            (counts.read, "read record"),
            (counts.end_reads, "read of an end"),
            (counts.partitions, "partition"),
        ],
        Kind::Phantom => &[(counts.read, "read record")],
        Kind::FailedSendRead => &[
            (counts.failed, "failed record"),
            (counts.read, "read record"),
        ],
        Kind::Nonlinearizable => &[
            (counts.acknowledged, "acknowledged record"),
            (counts.read, "read record"),
            (counts.end_reads, "read of an end"),
            (counts.partitions, "partition"),
        ],
        Kind::NonmonotonicSend => &[(counts.acknowledged, "acknowledged record")],
        Kind::PollSkip | Kind::NonmonotonicPoll | Kind::IntPollSkip | Kind::IntNonmonotonicPoll => {
            &[
                (counts.read, "read record"),
                (counts.partitions, "partition"),
            ]
        }
        Kind::Unavailable | Kind::AckedBelowMinIsr => &[
            (counts.acknowledged, "acknowledged record"),
            (counts.partitions, "partition"),
        ],
        Kind::GroupLost | Kind::CommitAhead => &[
            (group.processed, "processed record"),
            (group.commits, "commit"),
            (group.resumes, "position of an owner"),
        ],
        Kind::GroupDuplicate | Kind::UnboundedDuplicate => &[
            (group.processed, "processed record"),
            (group.crashed, "crashed consumer"),
        ],
        Kind::DualOwner | Kind::UnownedPartition | Kind::SurplusOwner => &[
            (group.generations, "generation"),
            (group.rebalances, "call of a listener"),
            (group.consumers, "life of a consumer"),
        ],
        Kind::ZombieCommit | Kind::WronglyFenced => {
            &[(group.commits, "commit"), (group.generations, "generation")]
        }
        Kind::CommitLost | Kind::CommitRegressed | Kind::NonlinearizableCommit => &[
            (group.commits, "acknowledged commit"),
            (group.commits_unknown, "commit in doubt"),
            (group.resumes, "position of an owner"),
        ],
        Kind::ResumeWrong | Kind::ResetWrong => &[(group.resumes, "position of an owner")],
        Kind::StuckGroup => &[(group.processed, "processed record")],
    };
    parts
        .iter()
        .map(|(number, noun)| several(*number, noun))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `3 reads of an end`: the first word of a noun takes the plural, unless it is an adjective.
fn several(number: u64, noun: &str) -> String {
    match noun.split_once(" of ") {
        Some((first, rest)) => {
            format!("{} of {rest}", count(number, first)).replace("lifes", "lives")
        }
        None => match noun.split_once(" in ") {
            Some((first, rest)) => format!("{} in {rest}", count(number, first)),
            None => count(number, noun),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_it_examined_in_plain_words() {
        let mut counts = Counts::default();
        counts.group.consumers = 2;
        counts.end_reads = 2;
        for kind in Kind::ALL {
            let said = examined(kind, &counts);
            assert!(!said.is_empty(), "{kind:?}");
        }
        let said = examined(Kind::Nonlinearizable, &counts);
        assert!(said.ends_with("2 reads of an end, 0 partitions"), "{said}");
        assert!(examined(Kind::DualOwner, &counts).ends_with("2 lives of a consumer"));
    }
}
