//! A replicated log broker and client that speak the Kafka wire protocol.
//!
//! Modules are ranked; a module names only modules of lower rank (`tests/tidy.rs` checks it).
//! Ranks 0 to 6 are deterministic cores: they never read a clock, spawn, open a socket or a file,
//! or draw randomness. `shell` performs their effects.

pub mod error;
pub mod id;
pub mod offset;
pub mod time;

pub mod config;
pub mod record;

pub mod protocol;

pub mod log;
pub mod storage;

pub mod quorum;
pub mod replica;

pub mod group;
pub mod metadata;

pub mod broker;

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a client for applications lives on tokio"
)]
pub mod client;
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is the only I/O of the server"
)]
pub mod shell;
