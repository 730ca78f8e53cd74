//! Consumer groups: how long a rebalance takes, and how many commits a coordinator takes in.
//!
//! | benchmark | promise |
//! |---|---|
//! | `rebalance` | an eighth member of a group with 64 partitions joins in less than a second |
//! | `coordinator` | one core: 20,000 commits a second, request to answer, without a disk |
//! | `wire` | the same over a socket, through one node and its log |

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark uses sockets and clocks, and fails by panicking"
)]

use criterion::{criterion_group, criterion_main};

mod coordinator;
mod nodes;
mod rebalance;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(all, coordinator::benches, wire::benches, rebalance::benches);
criterion_main!(all);
