//! Integration tests in one process: real nodes on 127.0.0.1, real sockets, real files.

mod cluster;
mod replicated;
mod single;
mod wire;

/// The allocator of the binaries: it turns absurd reservations into address space.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
