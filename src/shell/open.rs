//! The log directories of a node, opened: what they hold becomes what the broker starts with.
//!
//! In: settings. Out: a thread for each directory, and `Startup`. Invariants: a directory of
//! another cluster or node stops the start; one that the system cannot read is offline, and one
//! that hangs, is recovered for long or has no space is so until it opens, unless it holds the
//! metadata log; a life ended cleanly only if every directory was closed in it (KIP-966).
//! Source: Kafka's `LogManager`, `BrokerMetadataCheckpoint`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::disk::{DirectoryStartError, LockError};
use super::node::NodeError;
use super::opener::{InUse, Opener, Outcome};
use super::random;
use super::signal::Shutdown;
use crate::broker::effects::DirectoryIndex;
use crate::broker::{DirectoryStart, METADATA_TOPIC, Startup, UnclaimedLog, metadata_batches};
use crate::config::Settings;
use crate::id::TopicPartition;
use crate::offset::BrokerEpoch;
use crate::quorum::{Batch, ElectionState, Recovered, Snapshot, SnapshotId};
use crate::storage::{OpenError, RecoveredDirectory, metadata_partition};

/// The directories in the order of `log.dirs`: how each begins, and those that are in use.
pub(super) type Opened = Vec<(DirectoryStart, Option<InUse>)>;

/// Opens all directories; blocks for their recovery, see [`Opener::open_all`].
pub(super) fn open_directories(
    opener: &Opener,
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<Opened, NodeError> {
    let mut opened: Opened = Vec::new();
    let outcomes = opener.open_all(settings, shutdown)?;
    for (path, outcome) in settings.log_dirs.iter().zip(outcomes) {
        let is_vital = *path == settings.metadata_log_dir;
        let start = match outcome {
            Some(Outcome::Open(open)) => {
                let (thread, found) = *open;
                check_directory_id(settings, &opened, path, &found)?;
                let start = DirectoryStart::Open(found.directory_id);
                opened.push((start, Some((thread, found))));
                continue;
            }
            Some(Outcome::Waits(reason)) if !is_vital => DirectoryStart::Late(reason.to_string()),
            Some(Outcome::Failed(reason)) if !is_vital && is_failure(&reason) => {
                DirectoryStart::Failed(reason.to_string())
            }
            Some(Outcome::Waits(reason) | Outcome::Failed(reason)) => return Err(reason.into()),
            None => {
                let reason = "it was not open after log.dir.stall.timeout.ms: it hangs, or it is \
                              still being recovered";
                DirectoryStart::Late(reason.to_owned())
            }
        };
        let directory = path.display();
        match &start {
            // Nobody gave it up: its opening goes on, however long its recovery takes.
            DirectoryStart::Late(reason) => warn!(
                %directory, reason, "log directory is not open yet; the node starts without it"
            ),
            start => error!(%directory, ?start, "log directory is offline"),
        }
        opened.push((start, None));
    }
    Ok(opened)
}

/// Whether the system failed, as opposed to somebody who named the wrong directory.
fn is_failure(reason: &DirectoryStartError) -> bool {
    match reason {
        DirectoryStartError::Lock(LockError::Io { .. }) => true,
        DirectoryStartError::Open(OpenError::Disk(error)) => error.is_fatal(),
        _ => false,
    }
}

fn check_directory_id(
    settings: &Settings,
    opened: &Opened,
    path: &Path,
    found: &RecoveredDirectory,
) -> Result<(), NodeError> {
    for (other_path, other) in settings.log_dirs.iter().zip(opened) {
        if let (_, Some((_, other))) = other
            && other.directory_id == found.directory_id
        {
            return Err(NodeError::SameDirectoryId {
                first: other_path.clone(),
                second: path.to_owned(),
                id: found.directory_id,
            });
        }
    }
    Ok(())
}

/// The partitions' logs of a directory, the metadata log aside.
pub(super) fn unclaimed_logs(
    found: &RecoveredDirectory,
    directory: DirectoryIndex,
) -> Vec<(TopicPartition, UnclaimedLog)> {
    for log in found.logs.iter().filter(|log| log.cut_bytes > 0) {
        let (partition, bytes) = (&log.topic_partition, log.cut_bytes);
        let end = log.state.log_end_offset;
        match log.cut_whole_from {
            None => warn!(%partition, bytes, end, "the torn tail of a crash was cut off"),
            Some(whole_from) => warn!(
                %partition, bytes, end, whole_from,
                "what is bad was cut off as the torn tail of a crash, and with it whole batches \
                 behind it: a loss of power that wrote out of order, or damage to what was not \
                 known to be durable"
            ),
        }
    }
    let logs = found.logs.iter();
    let logs = logs.filter(|log| &*log.topic_partition.topic != METADATA_TOPIC);
    logs.map(|log| {
        let unclaimed = UnclaimedLog {
            topic_id: log.topic_id,
            state: log.state.clone(),
            high_watermark: log.high_watermark,
            directory,
            damage: log.damage.clone(),
        };
        (log.topic_partition.clone(), unclaimed)
    })
    .collect()
}

/// What the broker starts with.
pub(super) fn startup(settings: &Arc<Settings>, opened: &Opened) -> Result<Startup, NodeError> {
    let mut logs: BTreeMap<TopicPartition, Vec<UnclaimedLog>> = BTreeMap::new();
    let mut quorum = Recovered::default();
    let mut previous = Vec::new();
    let mut directories = Vec::new();
    for (index, (start, in_use)) in opened.iter().enumerate() {
        let found = in_use.as_ref().map(|(_, found)| found);
        directories.push(start.clone());
        previous.push(found.and_then(|found| found.previous_broker_epoch));
        let Some(found) = found else { continue };
        for (name, log) in unclaimed_logs(found, index) {
            logs.entry(name).or_default().push(log);
        }
        if settings.log_dirs.get(index) == Some(&settings.metadata_log_dir) {
            quorum = recovered_quorum(found, &settings.metadata_log_dir)?;
        }
    }
    let previous_broker_epoch = last_clean_life(&previous);
    info!(
        logs = logs.len(),
        batches = quorum.batches.len(),
        ?previous_broker_epoch,
        "recovered"
    );
    Ok(Startup {
        settings: Arc::clone(settings),
        seed: random::seed().map_err(NodeError::Random)?,
        incarnation_id: random::uuid().map_err(NodeError::Random)?,
        directories,
        logs,
        quorum,
        previous_broker_epoch,
    })
}

/// The life that ended cleanly: only if every directory was closed in it did it end so. One that
/// is new, replaced or offline was closed in none.
fn last_clean_life(previous: &[Option<BrokerEpoch>]) -> Option<BrokerEpoch> {
    let first = previous.first().copied().flatten();
    first.filter(|_| previous.iter().all(|epoch| *epoch == first))
}

fn recovered_quorum(found: &RecoveredDirectory, path: &Path) -> Result<Recovered, NodeError> {
    let mut batches = Vec::new();
    for batch in &found.metadata_batches {
        let converted = metadata_batches(batch.bytes().clone());
        let converted = converted
            .map_err(|error| NodeError::Metadata(format!("{error} in {}", path.display())))?;
        batches.extend(converted);
    }
    check_metadata_end(found, &batches, path)?;
    let snapshot = found.snapshot.as_ref().map(|(id, bytes)| Snapshot {
        id: SnapshotId {
            end_offset: id.end_offset,
            epoch: id.epoch,
        },
        bytes: bytes.clone(),
    });
    let state = ElectionState {
        epoch: found.election.epoch,
        voted_for: found.election.voted_for,
    };
    Ok(Recovered {
        state,
        snapshot,
        batches,
    })
}

/// Damage in the middle of the metadata log must not pass for its end: the node would vote as if
/// the quorum had never committed what follows.
fn check_metadata_end(
    found: &RecoveredDirectory,
    batches: &[Batch],
    path: &Path,
) -> Result<(), NodeError> {
    let mut logs = found.logs.iter();
    let Some(log) = logs.find(|log| log.topic_partition == metadata_partition()) else {
        return Ok(());
    };
    let end = batches
        .last()
        .map_or(log.state.log_start_offset, Batch::end_offset);
    if end == log.state.log_end_offset {
        return Ok(());
    }
    Err(NodeError::Metadata(format!(
        "it is damaged at offset {end} in {}, and ends at {}: remove the data directory of this \
         node, and it will copy the log from the others",
        path.display(),
        log.state.log_end_offset
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::disk::RealDisk;
    use super::*;

    fn settings(log_dirs: &[PathBuf]) -> Settings {
        let names: Vec<_> = log_dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let log_dirs = format!("log.dirs={}", names.join(","));
        Settings::parse("", &["node.id=1", &log_dirs]).unwrap()
    }

    fn open(log_dirs: &[PathBuf]) -> Result<Opened, NodeError> {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let settings = Arc::new(settings(log_dirs));
        let opener = Opener::new(&RealDisk, &settings, &events);
        open_directories(&opener, &settings, &Shutdown::new().1)
    }

    #[test]
    fn kip966_a_life_ended_cleanly_only_in_all_of_its_directories() {
        for (previous, clean) in [
            (vec![Some(7), Some(7)], Some(7)),
            (vec![Some(7), Some(6)], None),
            (vec![Some(7), None], None),
            (vec![None, Some(7)], None),
            (vec![], None),
        ] {
            assert_eq!(last_clean_life(&previous), clean, "{previous:?}");
        }
    }

    #[test]
    fn a_copy_of_another_directory_stops_the_start() {
        let root = tempfile::tempdir().unwrap();
        let dirs = [root.path().join("a"), root.path().join("b")];
        drop(open(&dirs).unwrap());
        let identity = |dir: &PathBuf| dir.join("meta.properties");
        fs::copy(identity(&dirs[0]), identity(&dirs[1])).unwrap();
        let refused = open(&dirs).unwrap_err().to_string();
        assert!(refused.contains("have the same directory.id="), "{refused}");
    }

    #[test]
    fn kip112_a_directory_that_cannot_be_opened_is_offline_unless_it_holds_the_metadata() {
        let root = tempfile::tempdir().unwrap();
        let dirs = [root.path().join("a"), root.path().join("b")];
        fs::write(&dirs[1], "no directory").unwrap();
        let opened = open(&dirs).unwrap();
        assert!(opened[0].1.is_some() && opened[1].1.is_none());
        assert!(matches!(opened[1].0, DirectoryStart::Failed(_)));
        drop(opened);
        let [good, bad] = dirs;
        assert!(open(&[bad, good]).is_err());
    }
}
