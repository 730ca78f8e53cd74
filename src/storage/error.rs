//! What can go wrong on disk, as data that crosses threads.
//!
//! Invariant: [`DiskError::is_fatal`] tells the errors after which the directory is poisoned; want
//! of space and damage of one log are none of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::offset::Offset;
use crate::record::PositionedError;

use super::damage::LogDamage;
use super::disk::Operation;

/// Too many open files in the system; the number is the same on every Unix.
const ENFILE: i32 = 23;
/// Too many open files in the process.
const EMFILE: i32 = 24;

/// Why a disk request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// A file operation failed. Fatal: what is on disk is unknown.
    #[error("{operation:?} of {} failed: {message}", path.display())]
    Io {
        /// The operation.
        operation: Operation,
        /// The file or directory.
        path: PathBuf,
        /// The system's message.
        message: String,
    },
    /// There is no space, no quota or no file descriptor for it. Not fatal: nothing of the request
    /// is in the log, and it may be asked for again.
    #[error("{operation:?} of {} found no space: {message}", path.display())]
    NoSpace {
        /// The operation.
        operation: Operation,
        /// The file or directory.
        path: PathBuf,
        /// The system's message.
        message: String,
    },
    /// An earlier request failed; nothing is done in this directory any more.
    #[error("the log directory is offline since an earlier failure: {cause}")]
    Offline {
        /// The first failure.
        cause: String,
    },
    /// The directory has no such log.
    #[error("the log directory has no log of {0}")]
    UnknownLog(TopicPartition),
    /// The log exists and belongs to another incarnation of the topic.
    #[error("the log of {log} belongs to topic id {found}, not {expected}")]
    OtherTopicId {
        /// The log.
        log: TopicPartition,
        /// The id in `partition.metadata`.
        found: TopicId,
        /// The id in the request.
        expected: TopicId,
    },
    /// The offset does not lie in the log.
    #[error("offset {offset} must lie between {log_start_offset} and {log_end_offset}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first offset of the log.
        log_start_offset: Offset,
        /// The end of the log.
        log_end_offset: Offset,
    },
    /// Bytes to append are no sequence of whole batches; nothing was written.
    #[error("cannot append: {0}")]
    InvalidBatch(PositionedError),
    /// Bytes read back are not what was written: the file was damaged. Only this log is affected.
    #[error("{} is damaged at byte {position}, offset {offset}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// The first offset that cannot be read.
        offset: Offset,
        /// What was found.
        message: String,
    },
    /// The log is known to be damaged: see [`LogDamage`].
    #[error(transparent)]
    DamagedLog(#[from] LogDamage),
    /// The content of a snapshot is not what was written.
    #[error("{} is damaged: length or checksum of the snapshot is wrong", path.display())]
    DamagedSnapshot {
        /// The file.
        path: PathBuf,
    },
    /// There is no such snapshot.
    #[error("there is no snapshot {0}")]
    UnknownSnapshot(String),
}

impl DiskError {
    /// Whether the directory is offline after this error.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Offline { .. })
    }

    /// Whether the request failed for want of space, and may be tried again.
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// The same, if going on is impossible without what failed.
    pub(super) fn fatal(self) -> Self {
        match self {
            Self::NoSpace {
                operation,
                path,
                message,
            } => Self::Io {
                operation,
                path,
                message,
            },
            error => error,
        }
    }

    /// Whether just the log that the request was about is damaged.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::DamagedLog(_))
    }
}

/// Why a log directory cannot be opened; the node must not start with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The directory belongs to another cluster.
    #[error(
        "{} belongs to cluster {found}, this node to {expected}: \
         set cluster.id={found} or choose another log.dirs",
        path.display()
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The cluster in its `meta.properties`.
        found: String,
        /// The cluster of this node.
        expected: String,
    },
    /// The directory belongs to another node.
    #[error(
        "{} belongs to node {found}, this is node {expected}: \
         set node.id={found} or choose another log.dirs",
        path.display()
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// The node in its `meta.properties`.
        found: BrokerId,
        /// This node.
        expected: BrokerId,
    },
    /// A small file is malformed that cannot be rebuilt.
    #[error("{} is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, and what would be right.
        message: String,
    },
}

/// Adds the operation and the path to a system error.
pub(super) trait IoContext<T> {
    fn during(self, operation: Operation, path: &Path) -> Result<T, DiskError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn during(self, operation: Operation, path: &Path) -> Result<T, DiskError> {
        self.map_err(|error| {
            let (path, message) = (path.to_owned(), error.to_string());
            if finds_no_space(&error) && (!is_sync(operation) || is_no_descriptor(&error)) {
                DiskError::NoSpace {
                    operation,
                    path,
                    message,
                }
            } else {
                DiskError::Io {
                    operation,
                    path,
                    message,
                }
            }
        })
    }
}

/// Whether there is no space, no quota or no file descriptor.
pub fn finds_no_space(error: &io::Error) -> bool {
    is_no_space(error.kind()) || is_no_descriptor(error)
}

/// ENOSPC and EDQUOT.
const fn is_no_space(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// EMFILE and ENFILE: a file could not be opened, so that nothing was done with it.
fn is_no_descriptor(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// A sync that finds no space has lost what was written before it, which is no refusal.
const fn is_sync(operation: Operation) -> bool {
    matches!(operation, Operation::Sync | Operation::SyncDirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by `file-limit`: the checkpoint of the high watermarks could not be opened, and the
    /// node gave up the whole directory, although nothing had been done to any file.
    #[test]
    fn a_file_that_could_not_be_opened_for_want_of_a_descriptor_poisons_nothing() {
        for (errno, operation, is_fatal) in [
            (EMFILE, Operation::Open, false),
            (ENFILE, Operation::SyncDirectory, false),
            (28, Operation::Write, false),
            (28, Operation::Sync, true),
            (5, Operation::Open, true),
        ] {
            let failed: io::Result<()> = Err(io::Error::from_raw_os_error(errno));
            let error = failed.during(operation, Path::new("f")).unwrap_err();
            assert_eq!(error.is_fatal(), is_fatal, "{error}");
        }
    }
}
