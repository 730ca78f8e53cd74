//! What kind of file a name of a log directory is.
//!
//! In: a path within the log directory. Out: its class. Invariant: a file that is written under a
//! temporary name and then renamed has one class all along. Source: Kafka's `LogFileUtils` and
//! checkpoint names, `broker::storage::names`.

use std::ffi::OsStr;
use std::path::Path;

use crate::disk::rule::FileClass;

/// The directory of the metadata log.
const METADATA_LOG: &str = "__cluster_metadata-0";
/// What is appended to names of files that are not yet, or no longer, what they will be or were.
const SUFFIXES: [&str; 4] = [".tmp", ".swap", ".cleaned", ".deleted"];
/// The checkpoints of a log directory.
const CHECKPOINTS: [&str; 5] = [
    "replication-offset-checkpoint",
    "recovery-point-offset-checkpoint",
    "flushed-offset-note",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
];

/// The class of the file at `path`, relative to the log directory.
pub(super) fn classify(path: &Path, is_directory: bool) -> FileClass {
    if is_directory {
        return FileClass::Directory;
    }
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = SUFFIXES
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    if name == "quorum-state" {
        return FileClass::QuorumState;
    }
    if path.starts_with(METADATA_LOG) {
        return FileClass::MetadataLog;
    }
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    match (name, extension) {
        ("meta.properties", _) => FileClass::Identity,
        (".kafka_cleanshutdown", _) => FileClass::ShutdownMarker,
        ("leader-epoch-checkpoint", _) => FileClass::EpochCheckpoint,
        ("partition.metadata", _) => FileClass::PartitionMetadata,
        (_, Some("log")) => FileClass::Segment,
        (_, Some("index" | "timeindex")) => FileClass::Index,
        (_, Some("snapshot")) => FileClass::ProducerSnapshot,
        _ if CHECKPOINTS.contains(&name) => FileClass::Checkpoint,
        _ => FileClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_broker_has_its_class() {
        for (path, class) in [
            ("t-0/00000000000000000000.log", FileClass::Segment),
            ("t-0/00000000000000000000.log.cleaned", FileClass::Segment),
            ("t-0/00000000000000000000.index", FileClass::Index),
            ("t-0/00000000000000000000.timeindex", FileClass::Index),
            (
                "t-0/00000000000000000007.snapshot",
                FileClass::ProducerSnapshot,
            ),
            (
                "t-0/00000000000000000007.snapshot.tmp",
                FileClass::ProducerSnapshot,
            ),
            ("t-0/leader-epoch-checkpoint", FileClass::EpochCheckpoint),
            (
                "t-0/leader-epoch-checkpoint.tmp",
                FileClass::EpochCheckpoint,
            ),
            ("t-0/partition.metadata", FileClass::PartitionMetadata),
            ("replication-offset-checkpoint.tmp", FileClass::Checkpoint),
            ("recovery-point-offset-checkpoint", FileClass::Checkpoint),
            ("meta.properties", FileClass::Identity),
            (".kafka_cleanshutdown", FileClass::ShutdownMarker),
            (
                "__cluster_metadata-0/00000000000000000000.log",
                FileClass::MetadataLog,
            ),
            (
                "__cluster_metadata-0/leader-epoch-checkpoint",
                FileClass::MetadataLog,
            ),
            ("__cluster_metadata-0/quorum-state", FileClass::QuorumState),
            (
                "__cluster_metadata-0/quorum-state.tmp",
                FileClass::QuorumState,
            ),
            (".lock", FileClass::Other),
        ] {
            assert_eq!(classify(Path::new(path), false), class, "{path}");
        }
        assert_eq!(classify(Path::new("t-0"), true), FileClass::Directory);
    }
}
