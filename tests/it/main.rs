//! Integration tests in one process: real nodes on 127.0.0.1, real sockets, real files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and these tests are about sockets and time"
)]

mod bad_input;
mod batches;
mod clients;
mod cluster;
mod compacted;
mod decoder;
mod group_admin;
mod group_requests;
mod group_wire;
mod groups;
mod groups_moved;
mod many_partitions;
mod mutate;
mod process;
mod replicated;
mod requests;
mod single;
mod snapshot;
mod wire;

/// The allocator of the binaries: it turns absurd reservations into address space.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
