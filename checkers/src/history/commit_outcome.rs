//! Which error of a commit is definite: the offsets are not committed and never will be.
//!
//! In: the error of the last attempt, and whether an earlier attempt is in doubt. Out: `fail`
//! (definite) or `info` (unknown). A coordinator checks a commit, appends it to the log of
//! `__consumer_offsets`, and answers when the high watermark covers it; only what it checks before
//! the append is definite.
//! Source: Kafka's `OffsetMetadataManager.validateOffsetCommit`, `ClassicGroup`,
//! `CoordinatorOperationExceptionHelper` (how errors of the append are renamed).

use crate::history::op::OpError;
use crate::history::outcome::Certainty::{self, Definite, Unknown};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct CommitError {
    /// Kafka's name, or the client's.
    pub name: &'static str,
    /// What it proves.
    pub certainty: Certainty,
    /// Why.
    pub evidence: &'static str,
}

/// What a commit's error proves, given whether an earlier attempt of the same commit is in doubt.
/// What the table does not name proves nothing.
pub fn certainty(error_name: &str, earlier_attempt_in_doubt: bool) -> Certainty {
    match named(error_name) {
        Some(row) if !earlier_attempt_in_doubt => row.certainty,
        _ => Unknown,
    }
}

/// The row of an error.
pub fn named(name: &str) -> Option<&'static CommitError> {
    COMMIT_ERRORS.iter().find(|row| row.name == name)
}

/// Whether a recorded `fail` is to be believed: not if the table knows its error as unknown.
pub(crate) fn proves_failure(error: Option<&OpError>) -> bool {
    let row = error.and_then(|error| named(&error.code));
    row.is_none_or(|row| row.certainty == Definite)
}

const fn row(name: &'static str, certainty: Certainty, evidence: &'static str) -> CommitError {
    CommitError {
        name,
        certainty,
        evidence,
    }
}

const MEMBER: &str = "the member is checked before the append";
const GROUP: &str = "the group is looked up before the append";
const REQUEST: &str = "the request is refused before it is looked into";
const RIGHTS: &str = "the rights are checked before the append";
const PARTITION: &str = "the partition is looked up before the append; the same error of the \
                         append itself is renamed to COORDINATOR_NOT_AVAILABLE";
const NETWORK: &str = "the request may have arrived";

/// What OffsetCommit answers, then the errors of the client.
pub static COMMIT_ERRORS: &[CommitError] = &[
    row("UNKNOWN_TOPIC_OR_PARTITION", Definite, PARTITION),
    row("UNKNOWN_TOPIC_ID", Definite, PARTITION),
    row(
        "OFFSET_METADATA_TOO_LARGE",
        Definite,
        "the size of the metadata is checked before the append",
    ),
    row(
        "COORDINATOR_LOAD_IN_PROGRESS",
        Definite,
        "told while the coordinator reads its log: it appends nothing yet",
    ),
    row("ILLEGAL_GENERATION", Definite, MEMBER),
    row("UNKNOWN_MEMBER_ID", Definite, MEMBER),
    row("FENCED_INSTANCE_ID", Definite, MEMBER),
    row("FENCED_MEMBER_EPOCH", Definite, MEMBER),
    row("STALE_MEMBER_EPOCH", Definite, MEMBER),
    row(
        "REBALANCE_IN_PROGRESS",
        Definite,
        "the state of the group is checked before the append",
    ),
    row("INVALID_GROUP_ID", Definite, GROUP),
    row("GROUP_ID_NOT_FOUND", Definite, GROUP),
    row("GROUP_AUTHORIZATION_FAILED", Definite, RIGHTS),
    row("TOPIC_AUTHORIZATION_FAILED", Definite, RIGHTS),
    row("INVALID_REQUEST", Definite, REQUEST),
    row("UNSUPPORTED_VERSION", Definite, REQUEST),
    row(
        "COORDINATOR_NOT_AVAILABLE",
        Unknown,
        "also the new name of REQUEST_TIMED_OUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND: appended, \
         not replicated yet",
    ),
    row(
        "NOT_COORDINATOR",
        Unknown,
        "also told to commits whose coordinator was deposed after the append",
    ),
    row(
        "INVALID_COMMIT_OFFSET_SIZE",
        Unknown,
        "older brokers tell it for several errors of the append",
    ),
    row(
        "UNKNOWN_SERVER_ERROR",
        Unknown,
        "the broker does not say how far it came",
    ),
    row("REQUEST_TIMED_OUT", Unknown, "appended, not replicated yet"),
    row("NETWORK_EXCEPTION", Unknown, NETWORK),
    row(
        "not-sent",
        Definite,
        "the client refused it before any byte left",
    ),
    row("timeout", Unknown, NETWORK),
    row("disconnected", Unknown, NETWORK),
    row("closed", Unknown, NETWORK),
    row("crash", Unknown, NETWORK),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::outcome::error_named;

    #[test]
    fn every_row_is_one_of_kafkas_errors_and_stands_once() {
        for (number, row) in COMMIT_ERRORS.iter().enumerate() {
            assert!(error_named(row.name).is_some(), "{}", row.name);
            let first = COMMIT_ERRORS
                .iter()
                .position(|other| other.name == row.name);
            assert_eq!(first, Some(number), "{}", row.name);
        }
    }

    #[test]
    fn errors_of_the_append_and_earlier_attempts_leave_doubt() {
        for unknown in [
            "COORDINATOR_NOT_AVAILABLE",
            "NOT_COORDINATOR",
            "timeout",
            "A_NEW_ONE",
        ] {
            assert_eq!(certainty(unknown, false), Unknown, "{unknown}");
        }
        assert_eq!(certainty("ILLEGAL_GENERATION", false), Definite);
        assert_eq!(certainty("ILLEGAL_GENERATION", true), Unknown);
    }
}
