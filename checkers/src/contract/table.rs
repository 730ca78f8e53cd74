//! The table of promises: for each anomaly, when it breaks the contract and why.
//!
//! In: nothing; it is data. Out: what `Contract::promise` decides by, what the report says and
//! what `docs/contracts.md` shows.
//! Invariant: every anomaly is in one promise, and the last clause of each fits always.
//! Source: Kafka's replication protocol as in KIP-98, KIP-101 and KIP-966; `docs/durability.md`.

use crate::anomaly::Kind;
use crate::contract::clause::{Clause, Given, OTHERWISE, Promised, free, kept};
use crate::history::{Acks, CommitMode, FaultClass};

const UNCLEAN_ELECTION: Given = Given {
    words: "unclean.leader.election.enable=true, and a leader may have moved",
    holds: |s| s.settings().unclean_leader_election && s.was_disturbed(),
};
const SPARED: Given = Given {
    words: "data was damaged, each time with a good copy of everything acknowledged left",
    holds: |s| s.taken().is_empty() && !s.spared().is_empty(),
};
const FLUSHED: Given = Given {
    words: "power was lost, and what was lost with it was not acknowledged",
    holds: |s| s.taken().is_empty() && !s.without_power().is_empty(),
};
const NOTHING_TAKEN: Given = Given {
    words: "no node came back with less than it had stored",
    holds: |s| s.taken().is_empty(),
};
const NOTHING_STRUCK: Given = Given {
    words: "no node lost power or had its data damaged",
    holds: |s| s.taken().is_empty() && s.spared().is_empty() && s.without_power().is_empty(),
};
const TOO_FEW_STRUCK: Given = Given {
    words: "fewer nodes than copies came back with less than they had stored, or stopped uncleanly",
    holds: |s| s.taken().len() + s.unclean().len() < s.copies(),
};
const UNCLEAN_TOO: Given = Given {
    words: "they are as many as copies only with those that stopped uncleanly",
    holds: |s| s.taken().len() < s.copies(),
};
const ACKS_ZERO: Given = Given {
    words: "acks=0",
    holds: |s| s.settings().acks == Acks::Zero,
};
const ACKS_ONE: Given = Given {
    words: "acks=1",
    holds: |s| s.settings().acks == Acks::One,
};
const ACKS_ONE_DISTURBED: Given = Given {
    words: "acks=1, there are followers, and a leader may have moved",
    holds: |s| {
        let settings = s.settings();
        settings.acks == Acks::One && settings.replication_factor > 1 && s.was_disturbed()
    },
};
const COMMITTED_LOST: Given = Given {
    words: "what a reader has seen may be lost",
    holds: |s| !s.committed().forbidden,
};
const ACKNOWLEDGED_KEPT: Given = Given {
    words: "what was acknowledged is kept",
    holds: |s| s.acknowledged().forbidden,
};
const OFFSETS_LOST: Given = Given {
    words: "`__consumer_offsets` may have lost commits that were seen",
    holds: |s| !s.offsets().forbidden,
};
const NOT_IDEMPOTENT: Given = Given {
    words: "enable.idempotence=false",
    holds: |s| !s.settings().idempotence,
};
const OVERTAKING: Given = Given {
    words: "enable.idempotence=false, and several requests may be in flight",
    holds: |s| !s.settings().idempotence && s.settings().max_in_flight > 1,
};
const UNBOUNDED: Given = Given {
    words: "the run has no bound on waiting",
    holds: |s| s.settings().available_within_ms.is_none(),
};
const ONLY_HANGING: Given = Given {
    words: "nothing happened but log directories that hang, and faults of clients",
    holds: |s| s.had_only(&[FaultClass::DiskStall, FaultClass::Client]),
};
const NO_SPARE_COPY: Given = Given {
    words: "min.insync.replicas needs every copy",
    holds: |s| s.tolerated() == 0,
};
const HUNG_TOGETHER: Given = Given {
    words: "log directories of several nodes hung at once, or a node had to be started again",
    holds: |s| s.hung_together().is_some(),
};
const WITHIN_TOLERANCE: Given = Given {
    words: "nothing happened but that brokers were down, no more than are tolerated",
    holds: |s| {
        let only = [
            FaultClass::Stop,
            FaultClass::ProcessCrash,
            FaultClass::Client,
        ];
        s.had_only(&only) && s.down().len() as u32 <= s.tolerated()
    },
};
const SILENCED: Given = Given {
    words: "as many copies as were needed may be damaged",
    holds: |s| s.silenced().is_some(),
};
const AUTO_IN_LOOP: Given = Given {
    words: "mode auto-in-loop",
    holds: |s| s.mode() == CommitMode::AutoInLoop,
};
const AUTO_HANDOFF: Given = Given {
    words: "mode auto-handoff",
    holds: |s| s.mode() == CommitMode::AutoHandoff,
};
const COMMIT_AFTER: Given = Given {
    words: "mode sync-after or async-after",
    holds: |s| matches!(s.mode(), CommitMode::SyncAfter | CommitMode::AsyncAfter),
};
const SYNC_BEFORE: Given = Given {
    words: "mode sync-before",
    holds: |s| s.mode() == CommitMode::SyncBefore,
};

/// What some reader has seen.
pub(super) const COMMITTED: &[Clause] = &[
    free(
        UNCLEAN_ELECTION,
        "unclean.leader.election.enable=true lets a replica lead that lacks records",
        "Kafka: unclean.leader.election.enable",
    ),
    kept(
        SPARED,
        "{spared} had stored data damaged, and a good copy of everything acknowledged was left",
        "KIP-966",
    ),
    kept(
        FLUSHED,
        "{without power} lost power, and flush.messages=1 acknowledges only what is flushed on \
         {copies} nodes",
        "Kafka: flush.messages",
    ),
    kept(
        NOTHING_TAKEN,
        "a record that a reader may see is on every in-sync replica",
        "KIP-101",
    ),
    kept(
        TOO_FEW_STRUCK,
        "{taken}, and every committed record was on {copies} nodes",
        "KIP-966",
    ),
    free(
        UNCLEAN_TOO,
        "{taken}, and {unclean} stopped uncleanly and may not lead before (KIP-966), and \
         {enough copies} to acknowledge",
        "KIP-966",
    ),
    free(
        OTHERWISE,
        "{taken}, and {enough copies} to acknowledge",
        "KIP-966; Kafka acknowledges before it fsyncs",
    ),
];

/// What was acknowledged.
pub(super) const ACKNOWLEDGED: &[Clause] = &[
    free(
        ACKS_ZERO,
        "acks=0 does not wait for any broker",
        "Kafka: acks",
    ),
    free(COMMITTED_LOST, "{committed}", "as above"),
    free(
        ACKS_ONE_DISTURBED,
        "acks=1 does not wait for the followers, and leaders were disturbed",
        "Kafka: acks",
    ),
    kept(
        ACKS_ONE,
        "no leader with an acknowledged record was replaced",
        "Kafka: acks",
    ),
    kept(
        NOTHING_STRUCK,
        "acks=all waits for all in-sync replicas, at least {copies} of {replication.factor}",
        "Kafka: acks, min.insync.replicas",
    ),
    kept(OTHERWISE, "{committed}", "as above"),
];

/// Whether every partition must serve again once all faults are healed.
pub(super) const AVAILABLE_AFTER_HEAL: &[Clause] = &[
    free(
        SILENCED,
        "{damaged}, and a damaged replica must not lead",
        "KIP-966",
    ),
    kept(
        OTHERWISE,
        "all faults are healed and every copy can be in sync again",
        "KIP-966",
    ),
];

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

/// A promise that stands and falls with what was acknowledged.
macro_rules! given_acknowledged {
    ($kept:literal, $lost:literal) => {
        &[
            kept(
                ACKNOWLEDGED_KEPT,
                concat!($kept, " ({acknowledged})"),
                "as acknowledged records",
            ),
            free(
                OTHERWISE,
                concat!($lost, " ({acknowledged})"),
                "as acknowledged records",
            ),
        ]
    };
}

const PROTOCOL: &str = "Kafka's group protocol";

/// Every promise.
pub(super) const PROMISES: &[Promised] = &[
    Promised {
        words: "What a reader has seen stays",
        kinds: &[Kind::PollSkip, Kind::NonmonotonicPoll],
        clauses: COMMITTED,
    },
    Promised {
        words: "What was acknowledged stays",
        kinds: &[Kind::LostWrite],
        clauses: ACKNOWLEDGED,
    },
    Promised {
        words: "Nothing is acknowledged below min.insync.replicas",
        kinds: &[Kind::AckedBelowMinIsr],
        clauses: &[
            free(
                ACKS_ZERO,
                "acks=0 does not wait for any broker",
                "Kafka: acks",
            ),
            free(
                ACKS_ONE,
                "acks=1 does not wait for the followers",
                "Kafka: acks",
            ),
            kept(
                OTHERWISE,
                "acks=all waits for {copies} replicas or is refused, whoever is down",
                "Kafka: min.insync.replicas; KIP-966",
            ),
        ],
    },
    Promised {
        words: "An offset keeps its record",
        kinds: &[Kind::InconsistentOffsets],
        clauses: given_acknowledged!(
            "an offset keeps its record",
            "the offset of a lost record is given to another"
        ),
    },
    Promised {
        words: "A log is linearizable",
        kinds: &[Kind::Nonlinearizable],
        clauses: given_acknowledged!(
            "a log without loss is linearizable",
            "a log that loses records goes back in time"
        ),
    },
    Promised {
        words: "Everything acknowledged can be read in the end",
        kinds: &[Kind::Unseen],
        clauses: given_acknowledged!(
            "all faults were healed, so the final readers must reach every record",
            "the record may be lost"
        ),
    },
    Promised {
        words: "A record is appended once",
        kinds: &[Kind::Duplicate],
        clauses: &[
            free(
                NOT_IDEMPOTENT,
                "without enable.idempotence a retry may append a record again",
                "KIP-98",
            ),
            free(
                COMMITTED_LOST,
                "the retry of a record that was read and is lost appends it again ({committed})",
                "KIP-98",
            ),
            kept(
                OTHERWISE,
                "enable.idempotence=true makes retries harmless",
                "KIP-98",
            ),
        ],
    },
    Promised {
        words: "A producer's records keep their order",
        kinds: &[Kind::NonmonotonicSend],
        clauses: &[
            free(
                OVERTAKING,
                "without enable.idempotence a retry may overtake {in flight} requests",
                "Kafka: max.in.flight.requests.per.connection",
            ),
            kept(
                ACKNOWLEDGED_KEPT,
                "a producer's records keep their order ({acknowledged})",
                "as acknowledged records",
            ),
            free(
                OTHERWISE,
                "offsets are given again ({acknowledged})",
                "as acknowledged records",
            ),
        ],
    },
    Promised {
        words: "Clients go on while faults act",
        kinds: &[Kind::Unavailable],
        clauses: &[
            free(
                UNBOUNDED,
                "nothing is promised about the time while faults act",
                "Kafka",
            ),
            free(
                NO_SPARE_COPY,
                "no broker may be missing: {replication.factor} replicas, and \
                 min.insync.replicas needs all of them",
                "Kafka: min.insync.replicas",
            ),
            free(
                HUNG_TOGETHER,
                "{hung together}",
                "Kafka: min.insync.replicas",
            ),
            kept(
                ONLY_HANGING,
                "a log directory that hangs is given up and another leads, within {within} ms",
                "log.dir.stall.timeout.ms, beyond what Kafka promises",
            ),
            kept(
                WITHIN_TOLERANCE,
                "of {replication.factor} replicas {tolerated} may be down (replication factor ≥ \
                 min.insync.replicas + tolerated broker failures), so without {down} \
                 another leads within {within} ms",
                "Kafka: min.insync.replicas",
            ),
            free(
                OTHERWISE,
                "more happened than log directories that hang, or more brokers were down than \
                 {tolerated}",
                "Kafka: min.insync.replicas",
            ),
        ],
    },
    Promised {
        words: "A log invents nothing",
        kinds: &[Kind::Phantom],
        clauses: &[kept(
            OTHERWISE,
            "no setting lets a log invent records",
            "KIP-98",
        )],
    },
    Promised {
        words: "What was refused is not in the log",
        kinds: &[Kind::FailedSendRead],
        clauses: &[kept(
            OTHERWISE,
            "the producer was told that the record was not appended",
            "Kafka: NOT_ENOUGH_REPLICAS and its kind",
        )],
    },
    Promised {
        words: "A poll returns consecutive records",
        kinds: &[Kind::IntPollSkip, Kind::IntNonmonotonicPoll],
        clauses: &[kept(
            OTHERWISE,
            "one poll returns consecutive records, whatever happens",
            "Kafka's fetch protocol",
        )],
    },
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
                "what was processed since the last auto commit, every {auto.commit.interval.ms} \
                 ms, is repeated",
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
        words: "A partition has one owner",
        kinds: &[Kind::DualOwner],
        clauses: while_logs_keep!(kept(
            OTHERWISE,
            "a partition has one owner in a generation",
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
        clauses: &[kept(
            OTHERWISE,
            "an assignment gives every partition to somebody",
            PROTOCOL,
        )],
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
