//! What is promised of the work of consumer groups.
//!
//! In: nothing; it is data. Out: clauses for `decide`.
//! Invariant: the last clause of each promise fits always; what stands on a log is promised only
//! while that log keeps what was seen. Source: Kafka's group protocol; KIP-345.

use crate::anomaly::Kind;
use crate::contract::clause::{Clause, OTHERWISE, Promised, free, kept};
use crate::contract::table::given::{
    AUTO_HANDOFF, AUTO_IN_LOOP, COMMIT_AFTER, COMMITTED_LOST, OFFSETS_LOST, SILENCED, SYNC_BEFORE,
};

const PROTOCOL: &str = "Kafka's group protocol";

const AUTO_INTERVAL: &str =
    "Kafka: auto.commit.interval.ms, ConsumerCoordinator.maybeAutoCommitOffsetsAsync";
const COMMITTED_WHEN_DUE: &str = "the first poll that is {auto.commit.interval.ms} ms later sends \
                                  a commit of all that was given out before it";

const NO_COMMITS_KEPT: Clause = free(
    OFFSETS_LOST,
    "the offsets topic may have lost commits ({offsets})",
    "as what a reader has seen, of `__consumer_offsets`",
);
const NO_RECORDS_KEPT: Clause = free(
    COMMITTED_LOST,
    "the log may have lost records that were processed ({committed})",
    "as what a reader has seen",
);

/// A promise that holds while neither the log of the records nor that of the commits loses
/// anything that was seen.
macro_rules! while_logs_keep {
    ($($clause:expr),+ $(,)?) => { &[NO_COMMITS_KEPT, NO_RECORDS_KEPT, $($clause),+] };
}

/// Every promise of a group.
pub(super) const PROMISES: &[Promised] = &[
    Promised {
        words: "A group processes every record",
        kinds: &[Kind::GroupLost],
        clauses: &[
            free(
                AUTO_HANDOFF,
                "auto commit does not wait for the task that processes: what was handed to it is \
                 lost with its consumer",
                "Kafka: enable.auto.commit",
            ),
            free(
                SYNC_BEFORE,
                "at most once: what was committed and not yet processed is lost with its consumer",
                "Kafka: commitSync",
            ),
            NO_COMMITS_KEPT,
            NO_RECORDS_KEPT,
            kept(
                AUTO_IN_LOOP,
                "at least once: auto commit follows the next poll, when the loop has processed all",
                "Kafka: enable.auto.commit",
            ),
            kept(
                OTHERWISE,
                "at least once: an offset is committed after its records",
                "Kafka: commitSync, commitAsync",
            ),
        ],
    },
    Promised {
        words: "A group processes a record once",
        kinds: &[Kind::GroupDuplicate],
        clauses: &[
            free(
                AUTO_IN_LOOP,
                "what was processed since the last auto commit is repeated: at most since the last \
                 poll that was {auto.commit.interval.ms} ms later (`unbounded-duplicate`)",
                "Kafka: auto.commit.interval.ms",
            ),
            free(
                AUTO_HANDOFF,
                "what was processed since the last auto commit is repeated",
                "Kafka: auto.commit.interval.ms",
            ),
            free(
                COMMIT_AFTER,
                "at least once: what was processed and not committed is repeated",
                "Kafka: commitSync, commitAsync",
            ),
            NO_COMMITS_KEPT,
            NO_RECORDS_KEPT,
            kept(
                OTHERWISE,
                "at most once: nothing is processed before its commit is known",
                "Kafka: commitSync",
            ),
        ],
    },
    Promised {
        words: "What auto commit lets a group repeat is bounded",
        kinds: &[Kind::UnboundedDuplicate],
        clauses: &[
            NO_RECORDS_KEPT,
            kept(AUTO_IN_LOOP, COMMITTED_WHEN_DUE, AUTO_INTERVAL),
            kept(AUTO_HANDOFF, COMMITTED_WHEN_DUE, AUTO_INTERVAL),
            kept(
                OTHERWISE,
                "the client commits nothing by itself, so no poll is due to",
                "Kafka: enable.auto.commit",
            ),
        ],
    },
    Promised {
        words: "A partition has one owner",
        kinds: &[Kind::DualOwner],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a partition has one owner in a generation, and nobody else is given its records",
            PROTOCOL
        )),
    },
    Promised {
        words: "A member of the past commits nothing",
        kinds: &[Kind::ZombieCommit],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a coordinator refuses the commits of earlier generations",
            PROTOCOL
        )),
    },
    Promised {
        words: "A static member keeps its place",
        kinds: &[Kind::WronglyFenced],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a static member is fenced by the next life of its instance only",
            "KIP-345"
        )),
    },
    Promised {
        words: "An acknowledged commit stays",
        kinds: &[Kind::CommitLost],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a commit is acknowledged once it is on every in-sync replica of the coordinator",
            PROTOCOL
        )),
    },
    Promised {
        words: "The committed offset goes back by commits only",
        kinds: &[Kind::CommitRegressed],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "only a commit moves the committed offset back",
            PROTOCOL
        )),
    },
    Promised {
        words: "The committed offset is a register",
        kinds: &[Kind::NonlinearizableCommit],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "the committed offset of a partition is one register",
            PROTOCOL
        )),
    },
    Promised {
        words: "A new owner goes on where the group is",
        kinds: &[Kind::ResumeWrong],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a new owner starts where the group's committed offset is",
            PROTOCOL
        )),
    },
    Promised {
        words: "A reset is for groups without an offset",
        kinds: &[Kind::ResetWrong],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "auto.offset.reset is for groups without a committed offset",
            "Kafka: auto.offset.reset"
        )),
    },
    Promised {
        words: "A commit covers what its mode says",
        kinds: &[Kind::CommitAhead],
        clauses: while_logs_keep!(
            kept(
                AUTO_IN_LOOP,
                "auto commit covers what earlier polls returned, and the loop processed that",
                "Kafka: enable.auto.commit"
            ),
            kept(
                AUTO_HANDOFF,
                "auto commit covers what earlier polls returned",
                "Kafka: enable.auto.commit"
            ),
            kept(
                COMMIT_AFTER,
                "the application commits what it has processed",
                "Kafka: commitSync, commitAsync"
            ),
            kept(
                OTHERWISE,
                "the application commits what it has received",
                "Kafka: commitSync"
            ),
        ),
    },
    Promised {
        words: "Every partition has an owner",
        kinds: &[Kind::UnownedPartition],
        clauses: &[
            free(
                SILENCED,
                "{damaged}, and a damaged replica must not lead",
                "KIP-966",
            ),
            kept(
                OTHERWISE,
                "an assignment gives every partition to somebody",
                PROTOCOL,
            ),
        ],
    },
    Promised {
        words: "A member owns what it should",
        kinds: &[Kind::SurplusOwner],
        clauses: &[kept(
            OTHERWISE,
            "a member owns what it subscribed to, and no more than an even share",
            PROTOCOL,
        )],
    },
    Promised {
        words: "A group gets to the end",
        kinds: &[Kind::StuckGroup],
        clauses: &[
            free(
                SILENCED,
                "{damaged}, and a damaged replica must not lead",
                "KIP-966",
            ),
            kept(
                OTHERWISE,
                "all faults are healed, so the group must get to the end",
                PROTOCOL,
            ),
        ],
    },
];
