//! What kind of file a name of a log directory is.
//!
//! In: a path relative to the log directory. Out: its [`FileKind`]. Source: Kafka's `LogFileUtils`.

use std::io;
use std::path::{Path, PathBuf};

use broker::storage::METADATA_TOPIC;

use crate::nemesis::damage::FileKind;
use crate::nemesis::files::list;

impl FileKind {
    /// The kind of the file at `path`, relative to its log directory; `None` for anything else.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let folder = path.parent().and_then(|folder| folder.to_str());
        let is_metadata = folder == Some(&format!("{METADATA_TOPIC}-0"));
        let is_in_log = folder.is_some_and(|folder| !folder.is_empty());
        if folder.is_some_and(|folder| folder.ends_with("-delete") || folder.ends_with("-stray")) {
            return None;
        }
        Some(match name {
            "leader-epoch-checkpoint" => Self::EpochCheckpoint,
            "replication-offset-checkpoint" => Self::HighWatermarkCheckpoint,
            "recovery-point-offset-checkpoint" => Self::RecoveryPointCheckpoint,
            "flushed-offset-note" => Self::FlushedNote,
            "log-start-offset-checkpoint" => Self::LogStartCheckpoint,
            "partition.metadata" if !is_metadata => Self::PartitionMetadata,
            "meta.properties" => Self::Identity,
            ".kafka_cleanshutdown" => Self::ShutdownMarker,
            "quorum-state" => Self::QuorumState,
            _ => match path.extension()?.to_str()? {
                "log" if is_metadata => Self::MetadataLog,
                "log" if is_in_log => Self::Segment,
                "index" | "timeindex" => Self::Index,
                "snapshot" => Self::ProducerSnapshot,
                "checkpoint" => Self::MetadataSnapshot,
                _ => return None,
            },
        })
    }

    /// The files of this kind below `root`, relative to it, in order.
    pub(super) fn find(self, root: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = list(root)?;
        files.retain(|path| Self::of(path) == Some(self));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_log_directory_has_its_kind() {
        for (path, kind) in [
            ("t-0/00000000000000000000.log", Some(FileKind::Segment)),
            (
                "__consumer_offsets-3/00000000000000000000.log",
                Some(FileKind::Segment),
            ),
            (
                "__cluster_metadata-0/00000000000000000000.log",
                Some(FileKind::MetadataLog),
            ),
            ("t-0/00000000000000000000.timeindex", Some(FileKind::Index)),
            (
                "t-0/00000000000000000007.snapshot",
                Some(FileKind::ProducerSnapshot),
            ),
            (
                "00000000000000000007-0000000001.checkpoint",
                Some(FileKind::MetadataSnapshot),
            ),
            (
                "t-0/leader-epoch-checkpoint",
                Some(FileKind::EpochCheckpoint),
            ),
            (
                "replication-offset-checkpoint",
                Some(FileKind::HighWatermarkCheckpoint),
            ),
            ("flushed-offset-note", Some(FileKind::FlushedNote)),
            ("flushed-offset-note.tmp", None),
            ("t-0/partition.metadata", Some(FileKind::PartitionMetadata)),
            ("__cluster_metadata-0/partition.metadata", None),
            ("meta.properties", Some(FileKind::Identity)),
            ("quorum-state", Some(FileKind::QuorumState)),
            (".kafka_cleanshutdown", Some(FileKind::ShutdownMarker)),
            ("t-0-stray/00000000000000000000.log", None),
            ("node.log", None),
            (".lock", None),
        ] {
            assert_eq!(FileKind::of(Path::new(path)), kind, "{path}");
        }
    }
}
