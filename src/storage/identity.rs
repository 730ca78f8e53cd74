//! Whose a log directory is, and how its last life ended.
//!
//! In: the node's identity; out: an error if the directory is another's. Files: `meta.properties`
//! and `.kafka_cleanshutdown`. Invariant: the marker of a clean shutdown is gone, durably, before
//! anything else is read, so a crash while loading counts as unclean (KAFKA-10471). Source: Kafka's
//! `MetaProperties`, `CleanShutdownFileHandler`.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::id::BrokerId;
use crate::offset::BrokerEpoch;

use super::atomic_file;
use super::checkpoint::{HIGH_WATERMARKS, LOG_STARTS, RECOVERY_POINTS};
use super::disk::{Disk, Operation};
use super::error::{DiskError, IoContext, OpenError};
use super::flushed_note::FLUSHED;
use super::names::parse_partition_dir;
use super::quorum_state::QUORUM_STATE;
use super::sealed_text::{seal, unseal};

const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const START_ANEW: &str = "remove the whole data directory to join again as a new node";

/// Whose a log directory must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryIdentity {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: BrokerId,
    /// The id that a new directory gets; the caller draws it.
    pub new_directory_id: Uuid,
}

/// Checks whose the directory is, or claims an empty one. Returns the directory's id.
pub(super) fn claim(
    disk: &impl Disk,
    directory: &Path,
    identity: &DirectoryIdentity,
) -> Result<Uuid, OpenError> {
    let path = directory.join(META_PROPERTIES);
    let Some(content) = atomic_file::read(disk, &path)? else {
        refuse_if_used(disk, directory, &path)?;
        let id = identity.new_directory_id;
        atomic_file::replace(disk, &path, format(identity, id).as_bytes())?;
        return Ok(id);
    };
    check(&path, &content, identity)
}

/// A directory that was used has its identity: without it nobody knows whose the logs are.
fn refuse_if_used(disk: &impl Disk, directory: &Path, path: &Path) -> Result<(), OpenError> {
    let names = disk.list(directory).during(Operation::List, directory)?;
    let used = names.into_iter().find(|name| is_ours(name));
    used.map_or(Ok(()), |name| {
        Err(OpenError::Damaged {
            path: path.to_owned(),
            message: format!("it is gone, but there is {name}: restore it, or {START_ANEW}"),
        })
    })
}

fn is_ours(name: &str) -> bool {
    let small = [
        CLEAN_SHUTDOWN,
        QUORUM_STATE,
        HIGH_WATERMARKS,
        RECOVERY_POINTS,
        LOG_STARTS,
        FLUSHED,
    ];
    small.contains(&name) || parse_partition_dir(name).is_some()
}

fn format(identity: &DirectoryIdentity, id: Uuid) -> String {
    seal(&format!(
        "version=1\ncluster.id={}\nnode.id={}\ndirectory.id={id}\n",
        identity.cluster_id, identity.node_id
    ))
}

fn check(path: &Path, content: &[u8], identity: &DirectoryIdentity) -> Result<Uuid, OpenError> {
    let damaged = |message: String| OpenError::Damaged {
        path: path.to_owned(),
        message,
    };
    let text = unseal(content)
        .map_err(|message| damaged(format!("{message}: restore it, or {START_ANEW}")))?;
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.find(|(name, _)| *name == key);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| damaged(format!("no {key}")))
    };
    let found = value("cluster.id")?;
    if found != identity.cluster_id {
        return Err(OpenError::OtherCluster {
            path: path.to_owned(),
            found: found.to_owned(),
            expected: identity.cluster_id.clone(),
        });
    }
    let node = value("node.id")?;
    let found = node
        .parse()
        .map(BrokerId)
        .map_err(|_| damaged(format!("node.id={node} is no number")))?;
    if found != identity.node_id {
        return Err(OpenError::OtherNode {
            path: path.to_owned(),
            found,
            expected: identity.node_id,
        });
    }
    let id = value("directory.id")?;
    Uuid::parse_str(id).map_err(|_| damaged(format!("directory.id={id} is no uuid")))
}

/// How the directory was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastShutdown {
    /// The marker was there, with the broker epoch of that life, if it had one.
    Clean(Option<BrokerEpoch>),
    /// There was no marker: a crash, or a new directory.
    Unclean,
}

/// Reads the marker of a clean shutdown and removes it, durably.
pub(super) fn take_shutdown_marker(
    disk: &impl Disk,
    directory: &Path,
) -> Result<LastShutdown, DiskError> {
    let path = marker(directory);
    let Some(content) = atomic_file::read(disk, &path)? else {
        return Ok(LastShutdown::Unclean);
    };
    disk.remove_file(&path).during(Operation::Remove, &path)?;
    disk.sync_dir(directory)
        .during(Operation::SyncDirectory, directory)?;
    Ok(parse_marker(&content).unwrap_or(LastShutdown::Unclean))
}

/// Leaves the marker of a clean shutdown; everything else must be durable already.
pub(super) fn leave_shutdown_marker(
    disk: &impl Disk,
    directory: &Path,
    broker_epoch: Option<BrokerEpoch>,
) -> Result<(), DiskError> {
    let epoch = broker_epoch.unwrap_or(-1);
    let content = format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}\n");
    atomic_file::replace(disk, &marker(directory), content.as_bytes())
}

fn parse_marker(content: &[u8]) -> Option<LastShutdown> {
    let text = str::from_utf8(content).ok()?;
    let epoch = text.strip_prefix("{\"version\":0,\"brokerEpoch\":")?;
    let epoch: BrokerEpoch = epoch.strip_suffix("}\n")?.parse().ok()?;
    Some(LastShutdown::Clean((epoch >= 0).then_some(epoch)))
}

fn marker(directory: &Path) -> PathBuf {
    directory.join(CLEAN_SHUTDOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory_disk::MemoryDisk;

    fn identity(cluster: &str, node: i32) -> DirectoryIdentity {
        DirectoryIdentity {
            cluster_id: cluster.to_owned(),
            node_id: BrokerId(node),
            new_directory_id: Uuid::from_u128(99),
        }
    }

    #[test]
    fn a_directory_of_another_cluster_or_node_is_refused() {
        let disk = MemoryDisk::default();
        let directory = Path::new("data");
        disk.create_dir(directory).unwrap();
        claim(&disk, directory, &identity("a", 1)).unwrap();
        let again = DirectoryIdentity {
            new_directory_id: Uuid::from_u128(1),
            ..identity("a", 1)
        };
        assert_eq!(claim(&disk, directory, &again), Ok(Uuid::from_u128(99)));
        let other = claim(&disk, directory, &identity("b", 1)).unwrap_err();
        let text = "data/meta.properties belongs to cluster a, this node to b: \
                    set cluster.id=a or choose another log.dirs";
        assert_eq!(other.to_string(), text);
        let other = claim(&disk, directory, &identity("a", 2)).unwrap_err();
        assert!(matches!(other, OpenError::OtherNode { .. }), "{other}");
    }

    #[test]
    fn a_directory_that_was_used_and_has_no_identity_is_refused() {
        for name in [
            HIGH_WATERMARKS,
            RECOVERY_POINTS,
            LOG_STARTS,
            QUORUM_STATE,
            FLUSHED,
        ] {
            let disk = MemoryDisk::default();
            let directory = Path::new("data");
            disk.create_dir(directory).unwrap();
            disk.create(&directory.join(name)).unwrap();
            let refused = claim(&disk, directory, &identity("a", 1)).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }

    #[test]
    fn the_shutdown_marker_is_taken_once() {
        let disk = MemoryDisk::default();
        let directory = Path::new("data");
        disk.create_dir(directory).unwrap();
        for epoch in [None, Some(7)] {
            leave_shutdown_marker(&disk, directory, epoch).unwrap();
            let taken = take_shutdown_marker(&disk, directory).unwrap();
            assert_eq!(taken, LastShutdown::Clean(epoch));
            let taken = take_shutdown_marker(&disk, directory).unwrap();
            assert_eq!(taken, LastShutdown::Unclean);
        }
    }
}
