//! The client's error: coarse and prescriptive, so that a caller cannot mistake an unknown outcome
//! for a failure.
//!
//! Source: SlateDB RFC-0007 (one opaque error, a small number of kinds that say what to do).

use std::fmt;

use crate::error::ErrorCode;

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Nothing happened; the same call may succeed later.
    Retriable,
    /// The call may have happened, may still happen, or may never happen. It must not be counted
    /// as a failure, and repeating it may do it twice.
    UnknownOutcome,
    /// A newer instance has taken this client's place; stop.
    Fenced,
    /// Nothing happened, and the same call will fail again; the message says what would be right.
    Invalid,
    /// The client was closed.
    Closed,
}

/// An error of the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", suffix(*.code))]
pub struct ClientError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The broker's error code, if a broker answered.
    pub code: Option<ErrorCode>,
    /// What happened, with the values; lower case, no full stop.
    pub message: String,
}

fn suffix(code: Option<ErrorCode>) -> String {
    code.map(|code| format!(" (error code {})", code.code()))
        .unwrap_or_default()
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            code: None,
            message: message.to_string(),
        }
    }

    pub(crate) fn retriable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Retriable, message)
    }

    pub(crate) fn unknown(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::UnknownOutcome, message)
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the client is closed")
    }

    /// The error of a read-only call that a broker answered with `code`: nothing can have changed,
    /// so it is either worth another try or not.
    pub(crate) fn from_code(code: ErrorCode, what: impl fmt::Display) -> Self {
        let kind = if code.is_retriable() {
            ErrorKind::Retriable
        } else {
            ErrorKind::Invalid
        };
        Self {
            kind,
            code: Some(code),
            message: format!("{what}: {code}"),
        }
    }

    /// The same error with its outcome marked as unknown: an earlier attempt is in doubt.
    pub(crate) fn in_doubt(mut self) -> Self {
        self.kind = ErrorKind::UnknownOutcome;
        self
    }

    /// Whether nothing happened and the same call may succeed later.
    pub(crate) fn is_retriable(&self) -> bool {
        self.kind == ErrorKind::Retriable
    }

    /// Whether the call may have happened.
    pub fn is_unknown_outcome(&self) -> bool {
        self.kind == ErrorKind::UnknownOutcome
    }
}
