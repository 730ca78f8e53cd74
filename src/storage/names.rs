//! The names of files and directories in a log directory.
//!
//! Invariant: names parse back to what they were made of; anything else is not ours and is left
//! alone. Source: Kafka's `LogFileUtils`, `UnifiedLog#parseTopicPartitionName`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::id::{TopicId, TopicPartition};
use crate::offset::Offset;

use super::quorum_state::SnapshotId;

/// The topic whose only partition is the metadata log.
pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// The id of that topic.
pub const METADATA_TOPIC_ID: TopicId = TopicId(Uuid::from_u128(1));

pub(super) const LOG: &str = "log";
pub(super) const OFFSET_INDEX: &str = "index";
pub(super) const TIME_INDEX: &str = "timeindex";
pub(super) const PRODUCERS: &str = "snapshot";
pub(super) const METADATA_SNAPSHOT: &str = "checkpoint";
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
pub(super) const DELETED_SUFFIX: &str = "-delete";
pub(super) const STRAY_SUFFIX: &str = "-stray";
/// Bytes that a file system allows a name.
const NAME_BYTES_MAX: usize = 255;
pub(super) const PARTITION_METADATA: &str = "partition.metadata";
pub(super) const BALLAST: &str = "ballast";
pub(super) const EPOCHS: &str = "leader-epoch-checkpoint";

/// The partition that holds the metadata log.
pub fn metadata_partition() -> TopicPartition {
    TopicPartition::new(METADATA_TOPIC, 0)
}

/// The file of `kind` that belongs to the segment or snapshot at `offset`.
pub(super) fn offset_file(directory: &Path, offset: Offset, kind: &str) -> PathBuf {
    directory.join(format!("{offset:020}.{kind}"))
}

/// The offset in the name of a file of `kind`.
pub(super) fn parse_offset_file(name: &str, kind: &str) -> Option<Offset> {
    let digits = name.strip_suffix(kind)?.strip_suffix('.')?;
    parse_digits(digits, 20)
}

/// The file of the metadata snapshot `id`.
pub(super) fn snapshot_file(directory: &Path, id: SnapshotId) -> PathBuf {
    directory.join(format!("{id}.{METADATA_SNAPSHOT}"))
}

/// The metadata snapshot that a file name names.
pub(super) fn parse_snapshot_file(name: &str) -> Option<SnapshotId> {
    let id = name.strip_suffix(METADATA_SNAPSHOT)?.strip_suffix('.')?;
    let (end_offset, epoch) = id.split_once('-')?;
    Some(SnapshotId {
        end_offset: parse_digits(end_offset, 20)?,
        epoch: i32::try_from(parse_digits(epoch, 10)?).ok()?,
    })
}

/// The partition whose log the directory `name` holds.
pub(super) fn parse_partition_dir(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let canonical = partition == "0" || !partition.starts_with(['0', '+', '-']);
    let partition = partition.parse().ok().filter(|_| canonical)?;
    (!topic.is_empty()).then(|| TopicPartition::new(topic, partition))
}

/// The name of the log directory `name` once it is set aside. Where the suffix does not fit, it is
/// a short one that tells no more whose log it was.
pub(super) fn aside_name(name: &str, suffix: &str) -> String {
    let whole = format!("{name}{suffix}");
    if whole.len() <= NAME_BYTES_MAX {
        return whole;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{:016x}{suffix}", hasher.finish())
}

fn parse_digits(digits: &str, count: usize) -> Option<i64> {
    let plain = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        let path = offset_file(Path::new("d"), 42, LOG);
        assert_eq!(path, Path::new("d/00000000000000000042.log"));
        assert_eq!(parse_offset_file("00000000000000000042.log", LOG), Some(42));
        let id = SnapshotId {
            end_offset: 7,
            epoch: 3,
        };
        let path = snapshot_file(Path::new(""), id);
        assert_eq!(parse_snapshot_file(path.to_str().unwrap()), Some(id));
        let partition = TopicPartition::new("a-b-1", 12);
        assert_eq!(parse_partition_dir(&partition.to_string()), Some(partition));
    }

    #[test]
    fn foreign_names_are_left_alone() {
        for name in [
            "lost+found",
            "t-",
            "-1",
            "t-01",
            "t-+1",
            "t-99999999999",
            "t-0-delete",
        ] {
            assert_eq!(parse_partition_dir(name), None, "{name}");
        }
        for name in [
            "42.log",
            "00000000000000000042.index",
            "99999999999999999999.log",
            "x.log",
        ] {
            assert_eq!(parse_offset_file(name, LOG), None, "{name}");
        }
    }
}
