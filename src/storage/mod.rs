//! Partition logs on disk: segments, indexes, checkpoints, recovery. Blocking code over [`Disk`].
//!
//! In: [`DiskRequest`]s, executed in order by the [`LogDirectory`] that owns the files. Out:
//! [`DiskReply`]s. Invariants: what a flush was answered for survives a loss of power; recovery
//! keeps a prefix of what was appended, never half a batch; after the first I/O error a directory
//! answers nothing but [`DiskError::Offline`]. Formats and the atomicity argument of each file:
//! `docs/log-format.md`. Source: Kafka's `UnifiedLog`, `LogManager`, `ProducerStateManager`.

mod atomic_file;
mod ballast;
mod checkpoint;
mod damage;
mod directory;
mod disk;
mod error;
mod flushed_note;
mod identity;
mod memory_disk;
mod names;
mod offset_index;
mod partition_store;
mod producer_snapshot;
mod quorum_state;
mod recovery;
mod request;
mod scanner;
mod sealed_text;
mod segment;
mod time_index;

pub use damage::LogDamage;
pub use directory::{LogDirectory, RecoveredDirectory, RecoveredLog};
pub use disk::{Disk, DiskFile, Operation};
pub use error::{DiskError, OpenError, finds_no_space};
pub use identity::DirectoryIdentity;
pub use memory_disk::{MemoryDisk, Survival};
pub use names::{METADATA_TOPIC, METADATA_TOPIC_ID, metadata_partition};
pub use partition_store::PlainFlush;
pub use quorum_state::{QuorumElection, SnapshotId};
pub use request::{DiskReply, DiskRequest, LogOptions, Retention, TimestampOffset};
