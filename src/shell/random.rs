//! Randomness from the system: the seeds of the cores and the ids that must never repeat.

use std::fs::File;
use std::io::{self, Read};

use uuid::Uuid;

/// Random bytes.
pub(super) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random id (version 4).
pub(super) fn uuid() -> io::Result<Uuid> {
    bytes().map(|bytes| uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// A random seed.
pub(super) fn seed() -> io::Result<u64> {
    bytes().map(u64::from_be_bytes)
}
