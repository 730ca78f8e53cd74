//! One partition's log, logical and pure: which offsets exist, in which epochs, by which producers.
//!
//! `storage` owns the bytes; this module owns what they mean. The same types serve the disk side
//! (recovery folds batch headers into a [`LogState`]) and the replica (which decides from it), so
//! that a recovered log and a replicated log are described by the same rules.

mod batch;
mod batch_summary;
mod epoch_cache;
mod partition_log;
mod producer_state;
mod state;

pub use batch::LogBatch;
pub use batch_summary::BatchSummary;
pub use epoch_cache::{EpochCache, EpochEnd, EpochEntry};
pub use partition_log::PartitionLog;
pub use producer_state::{
    AppendOrigin, DUPLICATE_WINDOW, ProducedBatch, ProducerCheck, ProducerEntry, ProducerState,
};
pub use state::LogState;
