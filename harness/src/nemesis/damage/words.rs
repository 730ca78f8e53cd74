//! The words of damage at rest: which files of a stopped node change, and how.
//!
//! In: parts of a plan. Out: values that the fault `damage` carries out between stop and restart.
//! Invariant: plain data; the same damage, files and draw change the same bytes.
//! Source: `faults.md` §1.3, D12 and D16 to D18; §1.1, P10 and P11.

use serde::{Deserialize, Serialize};

/// What happens to the files of a node that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "do",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case",
    deny_unknown_fields
)]
pub enum Damage {
    /// Single bits are flipped.
    FlipBits {
        /// In which files.
        files: FileKind,
        /// How many of them, drawn; all if there are fewer.
        files_max: u32,
        /// How many bits of each, drawn.
        bits: u32,
        /// Where.
        #[serde(default)]
        place: Place,
    },
    /// Files lose their last bytes.
    Truncate {
        /// Which files.
        files: FileKind,
        /// How many of them, drawn; all if there are fewer.
        files_max: u32,
        /// How many bytes, at most.
        bytes: u64,
    },
    /// The last bytes of files become zeroes.
    ZeroTail {
        /// Which files.
        files: FileKind,
        /// How many of them, drawn; all if there are fewer.
        files_max: u32,
        /// How many bytes, at most.
        bytes: u64,
    },
    /// Files are gone.
    Delete {
        /// Which files; all of them.
        files: FileKind,
    },
    /// Files are as they were some time ago.
    RollBack {
        /// Which files; all of them.
        files: FileKind,
        /// How long the node runs between the copy and its stop, in milliseconds. The fault takes
        /// the copy when it fires.
        age_ms: u64,
    },
    /// The directory is empty: the machine got a new disk.
    Wipe,
    /// The directory is a copy of that of another node, which runs on: whose, is drawn.
    Swap {
        /// Whether `meta.properties` stays the node's own, so that nothing tells it whose the rest
        /// is.
        keep_identity: bool,
    },
    /// The directory is what it was some time ago.
    Backup {
        /// How long the node runs between the copy and its stop, in milliseconds. The fault takes
        /// the copy when it fires.
        age_ms: u64,
        /// Whether the node was stopped in order while the copy was taken. If not, files were
        /// copied one after the other from a node that wrote on: each is as it was at some moment,
        /// but no two at the same.
        at_rest: bool,
    },
}

/// Where in a file bits are flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Anywhere.
    #[default]
    Anywhere,
    /// In a batch that whole batches follow, so that it is no torn tail; segments only. Nothing if
    /// the file has fewer than two batches.
    Middle,
    /// In the last batch, which could be a torn tail; segments only.
    LastBatch,
    /// Below this share of the file, in hundredths.
    Below(u8),
    /// Above this share of the file, in hundredths.
    Above(u8),
}

/// A kind of file of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// `*.log` of a topic: the records.
    Segment,
    /// `*.index` and `*.timeindex`.
    Index,
    /// `*.snapshot` of a topic: producer state.
    ProducerSnapshot,
    /// `leader-epoch-checkpoint`.
    EpochCheckpoint,
    /// `replication-offset-checkpoint`.
    HighWatermarkCheckpoint,
    /// `recovery-point-offset-checkpoint`.
    RecoveryPointCheckpoint,
    /// `flushed-offset-note`; only there if the node was not stopped in order.
    FlushedNote,
    /// `log-start-offset-checkpoint`.
    LogStartCheckpoint,
    /// `partition.metadata` of a topic.
    PartitionMetadata,
    /// `meta.properties`.
    Identity,
    /// `.kafka_cleanshutdown`; only there if the node was stopped in order.
    ShutdownMarker,
    /// `*.log` of `__cluster_metadata-0`.
    MetadataLog,
    /// `*.checkpoint` of the directory: snapshots of the metadata.
    MetadataSnapshot,
    /// `quorum-state`: epoch and vote.
    QuorumState,
}

impl Damage {
    /// The files that it is about; `None` if about whole directories.
    pub fn files(&self) -> Option<FileKind> {
        match self {
            Self::FlipBits { files, .. }
            | Self::Truncate { files, .. }
            | Self::ZeroTail { files, .. }
            | Self::Delete { files }
            | Self::RollBack { files, .. } => Some(*files),
            Self::Wipe | Self::Swap { .. } | Self::Backup { .. } => None,
        }
    }

    /// How long before the stop a copy is taken, in milliseconds; 0 if none is.
    pub fn age_ms(&self) -> u64 {
        match self {
            Self::RollBack { age_ms, .. } | Self::Backup { age_ms, .. } => *age_ms,
            _ => 0,
        }
    }

    /// Whether a whole directory is lost, exchanged or old.
    pub fn is_of_directory(&self) -> bool {
        self.files().is_none()
    }

    /// Whether it may take copies of records. What can be made again from the records, or whose
    /// loss is noticed, is none: indexes, producer snapshots, checkpoints, the shutdown marker.
    pub fn takes_copies(&self) -> bool {
        self.files().is_none_or(|files| {
            use FileKind::{Identity, PartitionMetadata, Segment};
            matches!(files, Segment | PartitionMetadata | Identity)
        })
    }

    /// Whether it may take a vote, or what the node knows of the metadata.
    pub fn takes_votes(&self) -> bool {
        self.files().is_none_or(|files| {
            use FileKind::{MetadataLog, MetadataSnapshot, QuorumState};
            matches!(files, MetadataLog | MetadataSnapshot | QuorumState)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_reads_back_as_printed_and_refuses_what_it_does_not_know() {
        let flips = Damage::FlipBits {
            files: FileKind::Segment,
            files_max: 1,
            bits: 3,
            place: Place::Below(50),
        };
        let backup = Damage::Backup {
            age_ms: 500,
            at_rest: true,
        };
        for (damage, word) in [
            (flips, r#""below":50"#),
            (Damage::Wipe, "wipe"),
            (backup, r#""at_rest":true"#),
        ] {
            let text = serde_json::to_string(&damage).unwrap();
            assert!(text.contains(word), "{text}");
            assert_eq!(serde_json::from_str::<Damage>(&text).unwrap(), damage);
        }
        let misspelt = r#"{"do":"delete","files":"segment","age_ms":1}"#;
        assert!(serde_json::from_str::<Damage>(misspelt).is_err());
    }
}
