//! The wire: frames, the table of served API versions, and the codec around `kafka-protocol`.
//!
//! In: bytes of a connection. Out: decoded requests and responses, or an error that closes the
//! connection. Invariant: no input panics, and no allocation is sized by an unchecked number
//! (the array lengths inside a frame excepted: see `codec`).

pub mod codec;
pub mod frame;
pub mod versions;

pub use codec::{CodecError, Request, RequestHeader};
pub use frame::FrameError;
