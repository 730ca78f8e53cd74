//! The client process under test, and the line protocol that drives it.
//!
//! A worker is a separate process that the harness drives over stdin and stdout (`protocol`), so
//! that a client in any language can be put under test, killed and paused. `role` is the worker
//! that uses this project's own client; `driver` is the harness's end of the pipes.

pub mod client;
pub mod driver;
pub mod events;
pub mod member;
pub mod payload;
pub mod protocol;
pub mod role;

#[cfg(test)]
mod driver_test;
#[cfg(test)]
mod protocol_test;
