//! What the metadata quorum keeps beside its log: the election state and snapshots.
//!
//! Files: `quorum-state` (text, strict) and `<end offset>-<epoch>.checkpoint` in the metadata
//! log's directory: 8 bytes length, 4 bytes CRC-32C, the content. Invariant: both are replaced
//! atomically and durable when `write_*` returns; a damaged election state stops the start, for a
//! forgotten vote could elect two leaders. Source: Kafka's `FileQuorumStateStore` and `Snapshots`.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::config::sabotage::{Sabotage, planted};
use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};

use super::atomic_file;
use super::disk::{Disk, Operation};
use super::error::{DiskError, IoContext, OpenError};
use super::names::{parse_snapshot_file, snapshot_file};
use super::sealed_text::{seal, unseal};

pub(super) const QUORUM_STATE: &str = "quorum-state";
const SNAPSHOT_HEADER_BYTES: usize = 12;
/// The newest one may be in use by a reader when a newer one appears.
const SNAPSHOTS_KEPT: usize = 2;

/// What a voter must not forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumElection {
    /// The newest epoch this node has seen.
    pub epoch: LeaderEpoch,
    /// Whom it voted for in that epoch.
    pub voted_for: Option<BrokerId>,
}

/// The name of a metadata snapshot: the log prefix that it replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The end of the prefix, exclusive.
    pub end_offset: Offset,
    /// The epoch of the prefix's last record.
    pub epoch: LeaderEpoch,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset, self.epoch)
    }
}

pub(super) fn write_election(
    disk: &impl Disk,
    directory: &Path,
    election: QuorumElection,
) -> Result<(), DiskError> {
    let voted = election.voted_for.map_or(-1, |voter| voter.0);
    let text = seal(&format!(
        "version=1\nepoch={}\nvoted.id={voted}\n",
        election.epoch
    ));
    let path = directory.join(QUORUM_STATE);
    if planted(Sabotage::VoteNotFsynced) {
        return atomic_file::replace_without_any_sync(disk, &path, text.as_bytes());
    }
    atomic_file::replace(disk, &path, text.as_bytes())
}

/// The stored election state; that of a new node if there is none.
pub(super) fn read_election(
    disk: &impl Disk,
    directory: &Path,
) -> Result<QuorumElection, OpenError> {
    let path = directory.join(QUORUM_STATE);
    let Some(content) = atomic_file::read(disk, &path)? else {
        return Ok(QuorumElection::default());
    };
    if content.is_empty() && planted(Sabotage::VoteNotFsynced) {
        return Ok(QuorumElection::default());
    }
    parse_election(&content).ok_or_else(|| OpenError::Damaged {
        message: format!(
            "{:?} must be version=1, epoch=, voted.id=, crc32c=, one a line, and the checksum \
             that of the rest; this node may have voted: \
             remove the whole data directory to join again as a new node",
            String::from_utf8_lossy(&content)
        ),
        path,
    })
}

fn parse_election(content: &[u8]) -> Option<QuorumElection> {
    let text = unseal(content).ok()?.strip_suffix('\n')?;
    let mut lines = text.split('\n');
    if lines.next() != Some("version=1") {
        return None;
    }
    let epoch: i32 = lines.next()?.strip_prefix("epoch=")?.parse().ok()?;
    let voted: i32 = lines.next()?.strip_prefix("voted.id=")?.parse().ok()?;
    (lines.next().is_none() && epoch >= 0 && voted >= -1).then(|| QuorumElection {
        epoch,
        voted_for: (voted >= 0).then_some(BrokerId(voted)),
    })
}

/// Writes a snapshot and removes those that are too old.
pub(super) fn write_snapshot(
    disk: &impl Disk,
    directory: &Path,
    id: SnapshotId,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let mut content = Vec::with_capacity(SNAPSHOT_HEADER_BYTES + bytes.len());
    content.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    content.extend_from_slice(&crc32c::crc32c(bytes).to_be_bytes());
    content.extend_from_slice(bytes);
    atomic_file::replace(disk, &snapshot_file(directory, id), &content)?;
    let ids = list_snapshots(disk, directory)?;
    let old = ids.len().saturating_sub(SNAPSHOTS_KEPT);
    for id in ids.into_iter().take(old) {
        let path = snapshot_file(directory, id);
        disk.remove_file(&path).during(Operation::Remove, &path)?;
    }
    Ok(())
}

/// The content of a snapshot.
pub(super) fn read_snapshot(
    disk: &impl Disk,
    directory: &Path,
    id: SnapshotId,
) -> Result<Bytes, DiskError> {
    let path = snapshot_file(directory, id);
    let content = atomic_file::read(disk, &path)?;
    let content = content.ok_or_else(|| DiskError::UnknownSnapshot(id.to_string()))?;
    check_snapshot(path, Bytes::from(content))
}

/// The newest snapshot that is whole, with its content.
pub(super) fn newest_snapshot(
    disk: &impl Disk,
    directory: &Path,
) -> Result<Option<(SnapshotId, Bytes)>, DiskError> {
    for id in list_snapshots(disk, directory)?.into_iter().rev() {
        match read_snapshot(disk, directory, id) {
            Ok(bytes) => return Ok(Some((id, bytes))),
            Err(error) if error.is_fatal() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

fn check_snapshot(path: PathBuf, content: Bytes) -> Result<Bytes, DiskError> {
    let whole = || {
        let (length, rest) = content.split_first_chunk::<8>()?;
        let (crc, bytes) = rest.split_first_chunk::<4>()?;
        let length_fits = u64::from_be_bytes(*length) == bytes.len() as u64;
        (length_fits && u32::from_be_bytes(*crc) == crc32c::crc32c(bytes)).then_some(())
    };
    if whole().is_none() {
        return Err(DiskError::DamagedSnapshot { path });
    }
    Ok(content.slice(SNAPSHOT_HEADER_BYTES..))
}

fn list_snapshots(disk: &impl Disk, directory: &Path) -> Result<Vec<SnapshotId>, DiskError> {
    let names = disk.list(directory).during(Operation::List, directory)?;
    let mut ids: Vec<_> = names
        .iter()
        .filter_map(|name| parse_snapshot_file(name))
        .collect();
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::DiskFile;
    use crate::storage::memory_disk::MemoryDisk;

    const DIRECTORY: &str = "__cluster_metadata-0";

    fn disk() -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.create_dir(Path::new(DIRECTORY)).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk
    }

    #[test]
    fn a_vote_survives_a_crash() {
        let disk = disk();
        let directory = Path::new(DIRECTORY);
        for voted_for in [None, Some(BrokerId(3))] {
            let election = QuorumElection {
                epoch: 4,
                voted_for,
            };
            write_election(&disk, directory, election).unwrap();
            disk.crash();
            assert_eq!(read_election(&disk, directory), Ok(election));
        }
    }

    #[test]
    fn a_damaged_vote_stops_the_start() {
        let disk = disk();
        let directory = Path::new(DIRECTORY);
        for text in [
            "",
            "version=1\n",
            "version=1\nepoch=1\nvoted.id=2",
            "version=2\nepoch=1\n",
        ] {
            let text = seal(text);
            atomic_file::replace(&disk, &directory.join(QUORUM_STATE), text.as_bytes()).unwrap();
            let error = read_election(&disk, directory).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn the_newest_whole_snapshot_is_found() {
        let disk = disk();
        let directory = Path::new(DIRECTORY);
        let id = |end_offset| SnapshotId {
            end_offset,
            epoch: 1,
        };
        assert_eq!(newest_snapshot(&disk, directory), Ok(None));
        for end_offset in [5, 9, 12] {
            write_snapshot(&disk, directory, id(end_offset), &[end_offset as u8; 9]).unwrap();
        }
        assert_eq!(list_snapshots(&disk, directory), Ok(vec![id(9), id(12)]));
        let mut file = disk.open(&snapshot_file(directory, id(12))).unwrap();
        file.write_at(&[0xff], 15).unwrap();
        let newest = newest_snapshot(&disk, directory).unwrap();
        assert_eq!(newest, Some((id(9), Bytes::from_static(&[9; 9]))));
    }
}
