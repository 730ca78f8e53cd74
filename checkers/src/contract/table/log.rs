//! What is promised of the log of a partition, whoever writes and reads it.
//!
//! In: nothing; it is data. Out: clauses for `decide`.
//! Invariant: the last clause of each promise fits always.
//! Source: Kafka's replication protocol as in KIP-98, KIP-101 and KIP-966; `docs/durability.md`.

use crate::anomaly::Kind;
use crate::contract::clause::{Clause, OTHERWISE, Promised, free, kept};
use crate::contract::table::given::{
    ACKNOWLEDGED_KEPT, ACKS_ONE, ACKS_ONE_DISTURBED, ACKS_ZERO, COMMITTED_LOST, FLUSHED,
    LAST_STANDING, NOT_IDEMPOTENT, NOTHING_STRUCK, NOTHING_TAKEN, OVERTAKING, SPARED,
    TOO_FEW_STRUCK, UNCLEAN_ELECTION, UNCLEAN_TOO,
};

/// What some reader has seen: it was below the high watermark, whatever acks it was sent with.
pub(in crate::contract) const COMMITTED: &[Clause] = &[
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
        "{without power} lost power, and flush.messages=1 commits only what is flushed on {copies} \
         nodes",
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
        LAST_STANDING,
        "{taken}, and one copy was enough: the last replica standing commits alone",
        "KIP-966; Kafka acknowledges before it fsyncs",
    ),
    free(
        UNCLEAN_TOO,
        "{taken}, and {unclean} stopped uncleanly and may not lead before (KIP-966), and \
         {copies} copies were enough to commit",
        "KIP-966",
    ),
    free(
        OTHERWISE,
        "{taken}, and {copies} copies were enough to commit",
        "KIP-966; Kafka acknowledges before it fsyncs",
    ),
];

/// What was acknowledged.
pub(in crate::contract) const ACKNOWLEDGED: &[Clause] = &[
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

/// Every promise of a log.
pub(super) const PROMISES: &[Promised] = &[
    Promised {
        words: "What a reader has seen stays",
        kinds: &[
            Kind::PollSkip,
            Kind::NonmonotonicPoll,
            Kind::InconsistentReads,
        ],
        clauses: COMMITTED,
    },
    Promised {
        words: "What was acknowledged stays",
        kinds: &[Kind::LostWrite],
        clauses: ACKNOWLEDGED,
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
];
