//! Wire error codes as values.
//!
//! The codes are Kafka's, from the protocol crate; a rejected request is an answer that carries a
//! code, not a Rust error.

pub use kafka_protocol::ResponseError as ErrorCode;
