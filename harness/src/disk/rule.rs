//! The words of disk faults: which operations on which files are hit, and what happens to them.
//!
//! In: parts of a plan. Out: values that the file system of a log directory asks at every call.
//! Invariant: a rule is plain data; the same rule and the same calls hit the same calls, because
//! chance is drawn from the seed and the number of the call. Source: `faults.md` §1.3.

use serde::{Deserialize, Serialize};

/// One log directory of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskId {
    /// The broker's id.
    pub node: i32,
    /// The position in `log.dirs`; 0 also holds the metadata log.
    pub directory: u32,
}

/// What happens to some operations on some files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRule {
    /// Which operations; all if empty.
    #[serde(default)]
    pub operations: Vec<OperationClass>,
    /// Which files; all if empty.
    #[serde(default)]
    pub files: Vec<FileClass>,
    /// Which of the operations that match.
    pub pick: DiskPick,
    /// What happens to them.
    pub action: DiskAction,
}

/// A kind of file operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationClass {
    /// Open or look up.
    Open,
    /// Read.
    Read,
    /// Write, at the end or inside.
    Write,
    /// Cut, extend, allocate.
    SetLength,
    /// fsync or fdatasync of a file.
    Sync,
    /// fsync of a directory.
    SyncDirectory,
    /// Create a file or a directory, link.
    Create,
    /// Rename.
    Rename,
    /// Remove a file or a directory.
    Remove,
    /// Ask what a file or the disk is like: attributes, also extended ones, where a symbolic link
    /// leads, where a hole begins. The kernel answers by itself what it remembers.
    GetAttributes,
    /// Change permissions, owner, times or an extended attribute.
    SetAttributes,
    /// List a directory, part by part.
    ListDirectory,
}

/// A kind of file of a log directory, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileClass {
    /// `*.log` of a topic.
    Segment,
    /// `*.index` and `*.timeindex`.
    Index,
    /// `*.snapshot` of a topic: producer state.
    ProducerSnapshot,
    /// `leader-epoch-checkpoint`.
    EpochCheckpoint,
    /// The checkpoints of the directory: high watermarks, recovery points, log starts.
    Checkpoint,
    /// `partition.metadata`.
    PartitionMetadata,
    /// `meta.properties`.
    Identity,
    /// The mark of a clean shutdown.
    ShutdownMarker,
    /// Everything of `__cluster_metadata-0`: the metadata log and its snapshots.
    MetadataLog,
    /// `quorum-state`: epoch and vote.
    QuorumState,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Which of the operations that match a rule are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskPick {
    /// Each.
    Every,
    /// The nth since the rule was imposed, counted from 1, and no other.
    Nth(u64),
    /// The nth and all after it.
    From(u64),
    /// Each with this chance, in thousandths.
    PerMille(u16),
}

/// What happens to an operation that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum DiskAction {
    /// It is not answered until the rule is lifted or the node is dead.
    Stall,
    /// It is not answered while the disk is off; the disk goes off and on by turns, off first.
    OnOff {
        /// How long it is off, in milliseconds.
        off_ms: u64,
        /// How long it is on, in milliseconds.
        on_ms: u64,
    },
    /// It takes longer.
    Slow {
        /// On average, in milliseconds.
        mean_ms: u64,
        /// Evenly up to this much more or less, in milliseconds.
        jitter_ms: u64,
    },
    /// It is refused and nothing happens. A failed fsync makes nothing durable, and what it would
    /// have made durable counts as clean afterwards, as on Linux: no later fsync writes it. Names
    /// are no pages: those of a directory whose fsync failed are made durable by a later one.
    Error {
        /// The system's answer.
        errno: DiskErrno,
    },
    /// Space runs out: writes and creations are refused with ENOSPC once this many more bytes are
    /// written; the write that reaches the end is a short one.
    Full {
        /// The space that is left, in bytes.
        left_bytes: u64,
        /// ENOSPC or EDQUOT.
        errno: DiskErrno,
    },
    /// A write writes its first half and says so.
    Short,
    /// A write writes its first bytes and fails with EIO.
    Torn {
        /// How many bytes arrive, at most.
        bytes: u32,
    },
    /// An fsync succeeds and makes nothing durable.
    Lie,
    /// A read returns one flipped bit; what is stored is right.
    FlipOnRead,
}

/// The system's answer to a refused operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DiskErrno {
    /// Input/output error.
    Eio,
    /// No space left on device.
    Enospc,
    /// Disk quota exceeded.
    Edquot,
    /// Read-only file system.
    Erofs,
}

/// What survives of the writes and names that were not made durable before the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// Nothing.
    None,
    /// Everything up to a drawn operation: the default of most disks.
    Prefix,
    /// Each operation with this chance, in thousandths: holes, which are allowed to happen.
    Subset(u16),
    /// Everything up to a drawn write, mostly of a file that a broker misses if there is any, of
    /// which only some sectors of 512 bytes arrive.
    Torn,
}

/// What a rule has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEffect {
    /// Operations that it looked at and that matched operation and file.
    pub matched: u64,
    /// Operations that were hit.
    pub hits: u64,
    /// Bytes that were not written, not synced or changed.
    pub bytes: u64,
    /// Operations that it holds right now.
    pub held: u64,
    /// The longest time that an operation was held, in milliseconds.
    pub held_ms_max: u64,
    /// The first hit, as `write of topic-0/00000000000000000000.log`.
    pub first: Option<String>,
}

/// What a loss of power took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerLossEffect {
    /// Operations that were not durable when the power went: writes, cuts, names.
    pub unsynced: u64,
    /// Those of them that are gone.
    pub lost: u64,
    /// Those of these that a broker misses: not those of files that it makes anew or does without.
    #[serde(default)]
    pub missed: u64,
    /// Writes among them of which some sectors arrived.
    #[serde(default)]
    pub torn: u64,
    /// Bytes of writes that are gone.
    pub lost_bytes: u64,
    /// Files and directories whose last state is gone, as paths within the log directory; at most
    /// a hundred.
    pub files: Vec<String>,
}
