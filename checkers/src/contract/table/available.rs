//! What is promised of being served, and of being refused.
//!
//! In: nothing; it is data. Out: clauses for `decide`.
//! Invariant: the last clause of each promise fits always.
//! Source: Kafka's min.insync.replicas; KIP-966.

use crate::anomaly::Kind;
use crate::contract::clause::{Clause, OTHERWISE, Promised, free, kept};
use crate::contract::table::given::{
    ACKS_ONE, ACKS_ZERO, HUNG_TOGETHER, NO_CONTROLLER, NO_SPARE_COPY, ONLY_FULL, ONLY_HANGING,
    SILENCED, UNBOUNDED, WITHIN_TOLERANCE,
};

/// Whether every partition must serve again once all faults are healed.
pub(in crate::contract) const AVAILABLE_AFTER_HEAL: &[Clause] = &[
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

/// Every promise of being served.
pub(super) const PROMISES: &[Promised] = &[
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
                NO_CONTROLLER,
                "of {controllers} nodes that vote for the controller fewer than half may be \
                 missing: without a majority nobody names another leader",
                "KIP-595",
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
                ONLY_FULL,
                "a log directory without space is waited for, and serves by itself once it has \
                 some: nobody waits longer than {within} ms, the fault's length and 5 s",
                "beyond what Kafka promises",
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
];
