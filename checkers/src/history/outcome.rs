//! Which error of a send is definite: the record is not in the log and never will be.
//!
//! In: the error of the last attempt, and whether an earlier attempt is in doubt. Out: `fail`
//! (definite) or `info` (unknown). A wrong `fail` accuses a correct broker of a phantom, so only
//! what Kafka checks before the append counts as definite, and only for the attempt it answers.
//! Source: Kafka's `Errors`, `UnifiedLog.append`, `ReplicaManager`, KAFKA-13574.

use crate::history::op::OpError;
use Certainty::{Definite, Unknown};

/// What an error proves about a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing was appended, nor will be: completes as `fail`.
    Definite,
    /// It may be in the log, now or later: completes as `info`.
    Unknown,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRow {
    /// Kafka's code; client errors have none.
    pub code: Option<i16>,
    /// Kafka's name, or the client's.
    pub name: &'static str,
    /// What it proves.
    pub certainty: Certainty,
    /// Why.
    pub evidence: &'static str,
}

/// What a send's error proves, given whether any earlier attempt of the same send is in doubt: an
/// attempt that timed out may still be appended, whatever a later attempt is told.
pub fn certainty(error_name: &str, earlier_attempt_in_doubt: bool) -> Certainty {
    match error_named(error_name) {
        Some(row) if !earlier_attempt_in_doubt => row.certainty,
        _ => Unknown,
    }
}

/// The row of Kafka's code.
pub fn error_with_code(code: i16) -> Option<&'static ErrorRow> {
    ERRORS.iter().find(|row| row.code == Some(code))
}

/// The row of Kafka's or the client's name.
pub fn error_named(name: &str) -> Option<&'static ErrorRow> {
    ERRORS.iter().find(|row| row.name == name)
}

/// Whether a recorded `fail` is to be believed: not if the table knows its error as unknown.
pub(crate) fn proves_failure(error: Option<&OpError>) -> bool {
    let row = error.and_then(|error| error_named(&error.code));
    row.is_none_or(|row| row.certainty == Definite)
}

const fn row(
    code: i16,
    name: &'static str,
    certainty: Certainty,
    evidence: &'static str,
) -> ErrorRow {
    ErrorRow {
        code: Some(code),
        name,
        certainty,
        evidence,
    }
}

const fn client(name: &'static str, certainty: Certainty, evidence: &'static str) -> ErrorRow {
    ErrorRow {
        code: None,
        name,
        certainty,
        evidence,
    }
}

const CORRUPT: &str = "the checksum is checked before the append";
const NO_PARTITION: &str = "the broker that answers has no such partition to append to";
const NO_LEADER: &str = "there was no leader to send to";
const SIZE: &str = "the size is checked before the append";
const TOPIC: &str = "the topic is checked before the append";
const MIN_ISR: &str = "the in-sync replicas are counted before the append";
const REQUEST: &str = "the request is refused before it is looked into";
const AUTH: &str = "the right to write is checked before the append";
const RECORD: &str = "the records are validated before the append";
const SEQUENCE: &str = "the sequence is checked before the append; only a retry, whose first \
                        attempt is in doubt, can be told this of an appended batch";
const PRODUCER_EPOCH: &str = "the producer epoch is checked before the append";
const TRANSACTION: &str = "the transaction is checked before the append";
const SERVER: &str = "the broker does not say how far it came";
const LEADER: &str = "also told when leadership is lost after the append (KAFKA-13574)";
const TIMEOUT: &str = "appended by the leader; replication took too long";
const NETWORK: &str = "the connection broke; the request may have arrived";
const AFTER_APPEND: &str = "appended, then too few replicas were in sync; it may commit later";
const DUPLICATE: &str = "an earlier attempt is in the log already";
const STORAGE: &str = "the disk failed during the append, which may be half done";
const ELSEWHERE: &str = "no answer to Produce: it proves nothing about the record";

/// Every error code of Kafka, then the errors of the client.
pub static ERRORS: &[ErrorRow] = &[
    row(-1, "UNKNOWN_SERVER_ERROR", Unknown, SERVER),
    row(0, "NONE", Unknown, ELSEWHERE),
    row(1, "OFFSET_OUT_OF_RANGE", Unknown, ELSEWHERE),
    row(2, "CORRUPT_MESSAGE", Definite, CORRUPT),
    row(3, "UNKNOWN_TOPIC_OR_PARTITION", Definite, NO_PARTITION),
    row(4, "INVALID_FETCH_SIZE", Unknown, ELSEWHERE),
    row(5, "LEADER_NOT_AVAILABLE", Definite, NO_LEADER),
    row(6, "NOT_LEADER_OR_FOLLOWER", Unknown, LEADER),
    row(7, "REQUEST_TIMED_OUT", Unknown, TIMEOUT),
    row(8, "BROKER_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(9, "REPLICA_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(10, "MESSAGE_TOO_LARGE", Definite, SIZE),
    row(11, "STALE_CONTROLLER_EPOCH", Unknown, ELSEWHERE),
    row(12, "OFFSET_METADATA_TOO_LARGE", Unknown, ELSEWHERE),
    row(13, "NETWORK_EXCEPTION", Unknown, NETWORK),
    row(14, "COORDINATOR_LOAD_IN_PROGRESS", Unknown, ELSEWHERE),
    row(15, "COORDINATOR_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(16, "NOT_COORDINATOR", Unknown, ELSEWHERE),
    row(17, "INVALID_TOPIC_EXCEPTION", Definite, TOPIC),
    row(18, "RECORD_LIST_TOO_LARGE", Definite, SIZE),
    row(19, "NOT_ENOUGH_REPLICAS", Definite, MIN_ISR),
    row(
        20,
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        Unknown,
        AFTER_APPEND,
    ),
    row(21, "INVALID_REQUIRED_ACKS", Definite, REQUEST),
    row(22, "ILLEGAL_GENERATION", Unknown, ELSEWHERE),
    row(23, "INCONSISTENT_GROUP_PROTOCOL", Unknown, ELSEWHERE),
    row(24, "INVALID_GROUP_ID", Unknown, ELSEWHERE),
    row(25, "UNKNOWN_MEMBER_ID", Unknown, ELSEWHERE),
    row(26, "INVALID_SESSION_TIMEOUT", Unknown, ELSEWHERE),
    row(27, "REBALANCE_IN_PROGRESS", Unknown, ELSEWHERE),
    row(28, "INVALID_COMMIT_OFFSET_SIZE", Unknown, ELSEWHERE),
    row(29, "TOPIC_AUTHORIZATION_FAILED", Definite, AUTH),
    row(30, "GROUP_AUTHORIZATION_FAILED", Unknown, ELSEWHERE),
    row(31, "CLUSTER_AUTHORIZATION_FAILED", Definite, AUTH),
    row(32, "INVALID_TIMESTAMP", Definite, RECORD),
    row(33, "UNSUPPORTED_SASL_MECHANISM", Definite, REQUEST),
    row(34, "ILLEGAL_SASL_STATE", Definite, REQUEST),
    row(35, "UNSUPPORTED_VERSION", Definite, REQUEST),
    row(36, "TOPIC_ALREADY_EXISTS", Unknown, ELSEWHERE),
    row(37, "INVALID_PARTITIONS", Unknown, ELSEWHERE),
    row(38, "INVALID_REPLICATION_FACTOR", Unknown, ELSEWHERE),
    row(39, "INVALID_REPLICA_ASSIGNMENT", Unknown, ELSEWHERE),
    row(40, "INVALID_CONFIG", Unknown, ELSEWHERE),
    row(41, "NOT_CONTROLLER", Unknown, ELSEWHERE),
    row(42, "INVALID_REQUEST", Definite, REQUEST),
    row(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Definite, REQUEST),
    row(44, "POLICY_VIOLATION", Unknown, ELSEWHERE),
    row(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", Definite, SEQUENCE),
    row(46, "DUPLICATE_SEQUENCE_NUMBER", Unknown, DUPLICATE),
    row(47, "INVALID_PRODUCER_EPOCH", Definite, PRODUCER_EPOCH),
    row(48, "INVALID_TXN_STATE", Definite, TRANSACTION),
    row(49, "INVALID_PRODUCER_ID_MAPPING", Definite, TRANSACTION),
    row(50, "INVALID_TRANSACTION_TIMEOUT", Unknown, ELSEWHERE),
    row(51, "CONCURRENT_TRANSACTIONS", Unknown, ELSEWHERE),
    row(52, "TRANSACTION_COORDINATOR_FENCED", Unknown, ELSEWHERE),
    row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Definite, AUTH),
    row(54, "SECURITY_DISABLED", Unknown, ELSEWHERE),
    row(55, "OPERATION_NOT_ATTEMPTED", Unknown, ELSEWHERE),
    row(56, "KAFKA_STORAGE_ERROR", Unknown, STORAGE),
    row(57, "LOG_DIR_NOT_FOUND", Unknown, ELSEWHERE),
    row(58, "SASL_AUTHENTICATION_FAILED", Definite, AUTH),
    row(59, "UNKNOWN_PRODUCER_ID", Definite, SEQUENCE),
    row(60, "REASSIGNMENT_IN_PROGRESS", Unknown, ELSEWHERE),
    row(61, "DELEGATION_TOKEN_AUTH_DISABLED", Unknown, ELSEWHERE),
    row(62, "DELEGATION_TOKEN_NOT_FOUND", Unknown, ELSEWHERE),
    row(63, "DELEGATION_TOKEN_OWNER_MISMATCH", Unknown, ELSEWHERE),
    row(
        64,
        "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
        Unknown,
        ELSEWHERE,
    ),
    row(
        65,
        "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
        Unknown,
        ELSEWHERE,
    ),
    row(66, "DELEGATION_TOKEN_EXPIRED", Unknown, ELSEWHERE),
    row(67, "INVALID_PRINCIPAL_TYPE", Unknown, ELSEWHERE),
    row(68, "NON_EMPTY_GROUP", Unknown, ELSEWHERE),
    row(69, "GROUP_ID_NOT_FOUND", Unknown, ELSEWHERE),
    row(70, "FETCH_SESSION_ID_NOT_FOUND", Unknown, ELSEWHERE),
    row(71, "INVALID_FETCH_SESSION_EPOCH", Unknown, ELSEWHERE),
    row(72, "LISTENER_NOT_FOUND", Unknown, ELSEWHERE),
    row(73, "TOPIC_DELETION_DISABLED", Unknown, ELSEWHERE),
    row(74, "FENCED_LEADER_EPOCH", Unknown, ELSEWHERE),
    row(75, "UNKNOWN_LEADER_EPOCH", Unknown, ELSEWHERE),
    row(76, "UNSUPPORTED_COMPRESSION_TYPE", Definite, RECORD),
    row(77, "STALE_BROKER_EPOCH", Unknown, ELSEWHERE),
    row(78, "OFFSET_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(79, "MEMBER_ID_REQUIRED", Unknown, ELSEWHERE),
    row(80, "PREFERRED_LEADER_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(81, "GROUP_MAX_SIZE_REACHED", Unknown, ELSEWHERE),
    row(82, "FENCED_INSTANCE_ID", Unknown, ELSEWHERE),
    row(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", Unknown, ELSEWHERE),
    row(84, "ELECTION_NOT_NEEDED", Unknown, ELSEWHERE),
    row(85, "NO_REASSIGNMENT_IN_PROGRESS", Unknown, ELSEWHERE),
    row(86, "GROUP_SUBSCRIBED_TO_TOPIC", Unknown, ELSEWHERE),
    row(87, "INVALID_RECORD", Definite, RECORD),
    row(88, "UNSTABLE_OFFSET_COMMIT", Unknown, ELSEWHERE),
    row(89, "THROTTLING_QUOTA_EXCEEDED", Unknown, ELSEWHERE),
    row(90, "PRODUCER_FENCED", Definite, PRODUCER_EPOCH),
    row(91, "RESOURCE_NOT_FOUND", Unknown, ELSEWHERE),
    row(92, "DUPLICATE_RESOURCE", Unknown, ELSEWHERE),
    row(93, "UNACCEPTABLE_CREDENTIAL", Unknown, ELSEWHERE),
    row(94, "INCONSISTENT_VOTER_SET", Unknown, ELSEWHERE),
    row(95, "INVALID_UPDATE_VERSION", Unknown, ELSEWHERE),
    row(96, "FEATURE_UPDATE_FAILED", Unknown, ELSEWHERE),
    row(97, "PRINCIPAL_DESERIALIZATION_FAILURE", Unknown, ELSEWHERE),
    row(98, "SNAPSHOT_NOT_FOUND", Unknown, ELSEWHERE),
    row(99, "POSITION_OUT_OF_RANGE", Unknown, ELSEWHERE),
    row(100, "UNKNOWN_TOPIC_ID", Definite, NO_PARTITION),
    row(101, "DUPLICATE_BROKER_REGISTRATION", Unknown, ELSEWHERE),
    row(102, "BROKER_ID_NOT_REGISTERED", Unknown, ELSEWHERE),
    row(103, "INCONSISTENT_TOPIC_ID", Definite, NO_PARTITION),
    row(104, "INCONSISTENT_CLUSTER_ID", Unknown, ELSEWHERE),
    row(105, "TRANSACTIONAL_ID_NOT_FOUND", Unknown, ELSEWHERE),
    row(106, "FETCH_SESSION_TOPIC_ID_ERROR", Unknown, ELSEWHERE),
    row(107, "INELIGIBLE_REPLICA", Unknown, ELSEWHERE),
    row(108, "NEW_LEADER_ELECTED", Unknown, ELSEWHERE),
    row(109, "OFFSET_MOVED_TO_TIERED_STORAGE", Unknown, ELSEWHERE),
    row(110, "FENCED_MEMBER_EPOCH", Unknown, ELSEWHERE),
    row(111, "UNRELEASED_INSTANCE_ID", Unknown, ELSEWHERE),
    row(112, "UNSUPPORTED_ASSIGNOR", Unknown, ELSEWHERE),
    row(113, "STALE_MEMBER_EPOCH", Unknown, ELSEWHERE),
    row(114, "MISMATCHED_ENDPOINT_TYPE", Unknown, ELSEWHERE),
    row(115, "UNSUPPORTED_ENDPOINT_TYPE", Unknown, ELSEWHERE),
    row(116, "UNKNOWN_CONTROLLER_ID", Unknown, ELSEWHERE),
    row(117, "UNKNOWN_SUBSCRIPTION_ID", Unknown, ELSEWHERE),
    row(118, "TELEMETRY_TOO_LARGE", Unknown, ELSEWHERE),
    row(119, "INVALID_REGISTRATION", Unknown, ELSEWHERE),
    row(120, "TRANSACTION_ABORTABLE", Unknown, ELSEWHERE),
    row(121, "INVALID_RECORD_STATE", Unknown, ELSEWHERE),
    row(122, "SHARE_SESSION_NOT_FOUND", Unknown, ELSEWHERE),
    row(123, "INVALID_SHARE_SESSION_EPOCH", Unknown, ELSEWHERE),
    row(124, "FENCED_STATE_EPOCH", Unknown, ELSEWHERE),
    row(125, "INVALID_VOTER_KEY", Unknown, ELSEWHERE),
    row(126, "DUPLICATE_VOTER", Unknown, ELSEWHERE),
    row(127, "VOTER_NOT_FOUND", Unknown, ELSEWHERE),
    row(128, "INVALID_REGULAR_EXPRESSION", Unknown, ELSEWHERE),
    row(129, "REBOOTSTRAP_REQUIRED", Unknown, ELSEWHERE),
    row(130, "STREAMS_INVALID_TOPOLOGY", Unknown, ELSEWHERE),
    row(131, "STREAMS_INVALID_TOPOLOGY_EPOCH", Unknown, ELSEWHERE),
    row(132, "STREAMS_TOPOLOGY_FENCED", Unknown, ELSEWHERE),
    row(133, "SHARE_SESSION_LIMIT_REACHED", Unknown, ELSEWHERE),
    client(
        "not-sent",
        Definite,
        "the client refused it before any byte left",
    ),
    client(
        "timeout",
        Unknown,
        "the client stopped waiting; the request may have arrived",
    ),
    client("disconnected", Unknown, NETWORK),
    client(
        "closed",
        Unknown,
        "the client was closed with the request in flight",
    ),
    client(
        "crash",
        Unknown,
        "the client died with the request in flight",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_row_and_one_name() {
        let mut codes: Vec<i16> = ERRORS.iter().filter_map(|row| row.code).collect();
        let first = codes.first().copied();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(
            codes.len(),
            ERRORS.iter().filter(|row| row.code.is_some()).count()
        );
        assert_eq!(first, Some(-1));
        let last = *codes.last().expect("rows");
        for code in (-1..=last).filter(|code| *code != 0) {
            let row = error_with_code(code).unwrap_or_else(|| panic!("no row for code {code}"));
            assert_eq!(error_named(row.name).and_then(|row| row.code), Some(code));
        }
    }

    #[test]
    fn definite_is_exactly_what_is_checked_before_the_append() {
        let definite: Vec<i16> = ERRORS
            .iter()
            .filter(|row| row.certainty == Definite)
            .filter_map(|row| row.code)
            .collect();
        let wanted = [
            2, 3, 5, 10, 17, 18, 19, 21, 29, 31, 32, 33, 34, 35, 42, 43, 45, 47, 48, 49, 53, 58,
            59, 76, 87, 90, 100, 103,
        ];
        assert_eq!(definite, wanted);
        for unknown in [-1, 6, 7, 13, 20, 46, 56] {
            let row = error_with_code(unknown).expect("row");
            assert_eq!(row.certainty, Unknown, "{}: {}", row.name, row.evidence);
        }
    }

    #[test]
    fn an_earlier_attempt_in_doubt_makes_every_error_unknown() {
        for row in ERRORS {
            assert_eq!(certainty(row.name, true), Unknown, "{}", row.name);
            assert_eq!(certainty(row.name, false), row.certainty, "{}", row.name);
        }
        assert_eq!(certainty("NEVER_HEARD_OF", false), Unknown);
    }
}
