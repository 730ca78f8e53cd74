//! From a worker's error to the type of the completion: failed for certain, or unknown.
//!
//! Invariant: only an operation that certainly had no effect, now or later, becomes `fail`.
//! Reads have no effect, so their errors always are. For sends the table of the checkers decides;
//! what it does not name is unknown.

use checkers::history::outcome::{Certainty, certainty};
use checkers::history::{OpError, OpType};

use crate::worker::driver::CallError;
use crate::worker::protocol::{WorkerError, WorkerErrorKind};

/// What a send that ended with `error` became.
pub fn send_error(error: &WorkerError) -> OpType {
    let in_doubt = error.kind == WorkerErrorKind::UnknownOutcome;
    match certainty(name(error), in_doubt) {
        Certainty::Definite => OpType::Fail,
        Certainty::Unknown => OpType::Info,
    }
}

/// The history's words for a worker's error.
pub fn op_error(error: &WorkerError) -> OpError {
    OpError {
        code: name(error).into(),
        message: error.message.as_str().into(),
    }
}

/// The history's words for a call without a reply.
pub fn call_error(error: &CallError) -> OpError {
    let code = match error {
        CallError::Gone(_) => "crash",
        CallError::Deadline(_) => "timeout",
    };
    OpError {
        code: code.into(),
        message: error.to_string().into(),
    }
}

/// The name in the table of the checkers: the broker's code, or what the client's class means.
pub fn name(error: &WorkerError) -> &str {
    match (&error.code, error.kind) {
        (Some(code), _) => code,
        (None, WorkerErrorKind::UnknownOutcome) => "timeout",
        (None, WorkerErrorKind::Closed) => "closed",
        (None, WorkerErrorKind::Retriable | WorkerErrorKind::Fenced | WorkerErrorKind::Invalid) => {
            "not-sent"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certain_failures_fail() {
        use WorkerErrorKind::{Closed, Invalid, Retriable, UnknownOutcome};
        for (kind, code, wanted) in [
            (Retriable, Some("NOT_ENOUGH_REPLICAS"), OpType::Fail),
            (
                Retriable,
                Some("NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
                OpType::Info,
            ),
            (Retriable, Some("A_CODE_OF_THE_FUTURE"), OpType::Info),
            (Retriable, None, OpType::Fail),
            (UnknownOutcome, Some("NOT_ENOUGH_REPLICAS"), OpType::Info),
            (UnknownOutcome, None, OpType::Info),
            (Closed, None, OpType::Info),
            (Invalid, Some("MESSAGE_TOO_LARGE"), OpType::Fail),
        ] {
            let code = code.map(str::to_owned);
            let error = WorkerError {
                kind,
                code,
                message: String::new(),
            };
            assert_eq!(send_error(&error), wanted, "{error:?}");
        }
    }
}
