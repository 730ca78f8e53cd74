//! Which produce errors prove that nothing was appended.
//!
//! Every other answer leaves the record in doubt: it may be in the log already, or enter it later.
//! Source: Kafka's produce path, and Jepsen's error classification (KAFKA-13574 for
//! NOT_LEADER_OR_FOLLOWER: a leader that steps down after its append answers with it).

use crate::error::ErrorCode;

/// Codes with which a broker refuses a batch before it appends anything.
const NOT_APPENDED: &[ErrorCode] = &[
    ErrorCode::CorruptMessage,
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::LeaderNotAvailable,
    ErrorCode::MessageTooLarge,
    ErrorCode::InvalidTopicException,
    ErrorCode::RecordListTooLarge,
    ErrorCode::NotEnoughReplicas,
    ErrorCode::InvalidRequiredAcks,
    ErrorCode::TopicAuthorizationFailed,
    ErrorCode::ClusterAuthorizationFailed,
    ErrorCode::InvalidTimestamp,
    ErrorCode::UnsupportedVersion,
    ErrorCode::UnsupportedForMessageFormat,
    ErrorCode::PolicyViolation,
    ErrorCode::OutOfOrderSequenceNumber,
    ErrorCode::InvalidProducerEpoch,
    ErrorCode::UnsupportedCompressionType,
    ErrorCode::InvalidRecord,
    ErrorCode::UnknownProducerId,
    ErrorCode::ProducerFenced,
    ErrorCode::UnknownTopicId,
];

/// Whether `code`, as the answer to a produce request, proves that *this attempt* appended
/// nothing. An earlier attempt of the same batch may still be in doubt.
pub fn proves_not_appended(code: ErrorCode) -> bool {
    NOT_APPENDED.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_append_errors_leave_the_outcome_unknown() {
        for code in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::KafkaStorageError,
            ErrorCode::UnknownServerError,
        ] {
            assert!(!proves_not_appended(code), "{code:?} may follow an append");
        }
        assert!(proves_not_appended(ErrorCode::NotEnoughReplicas));
    }
}
