//! Which names a topic may have.
//!
//! In: a name as a client wrote it, and the names that exist. Out: a refusal, or nothing.
//! Invariant: the directory of a partition, `name-index`, is a plain file name.
//! Source: Kafka's `org.apache.kafka.common.internals.Topic`.

use std::sync::Arc;

use super::ApiError;
use crate::error::ErrorCode;
use crate::metadata::image::TopicsImage;

/// The longest name, in bytes: with the index it has to fit a file name.
const NAME_BYTES_MAX: usize = 249;

/// The topic whose log is the metadata itself.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Checks a new topic's name.
///
/// # Errors
/// `INVALID_TOPIC_EXCEPTION`, `TOPIC_ALREADY_EXISTS`.
pub(super) fn check_new_name(name: &str, topics: &TopicsImage) -> Result<(), ApiError> {
    let invalid = |reason: &str| {
        let message = format!("topic name {name:?} is invalid: {reason}");
        Err(ApiError::new(ErrorCode::InvalidTopicException, message))
    };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." {
        return invalid("it is empty, . or ..");
    }
    if name.len() > NAME_BYTES_MAX {
        return invalid("it is longer than 249 bytes");
    }
    if !name.chars().all(is_legal) {
        return invalid("only a-z, A-Z, 0-9, '.', '_' and '-' are allowed");
    }
    if name == METADATA_TOPIC {
        return invalid("it names the metadata log");
    }
    if topics.named(name).is_some() {
        let message = format!("topic {name} exists already");
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
    }
    match colliding(name, topics) {
        Some(other) => invalid(&format!("it differs from {other} only in '.' and '_'")),
        None => Ok(()),
    }
}

/// A topic whose name differs only in dots and underscores, which metrics cannot tell apart.
fn colliding(name: &str, topics: &TopicsImage) -> Option<Arc<str>> {
    if !name.contains(['.', '_']) {
        return None;
    }
    let unified = |name: &str| name.replace('.', "_");
    let wanted = unified(name);
    let mut names = topics.iter().map(|topic| topic.name());
    names.find(|other| unified(other) == wanted).cloned()
}
