//! From the files of a log back to its state.
//!
//! In: a log's directory, the recovery point, whether the shutdown was clean. Out: the log, of
//! which every byte is a whole batch. After an unclean shutdown every segment that reaches beyond
//! the recovery point is read by checksums. What is bad above the recovery point is the torn tail
//! of a crash: the log ends there. What is bad below it was durable once: that is damage, the log
//! is served up to there only, and nothing is cut. Damage that an earlier life found is looked at
//! again: it ends if the bytes are right after all. Invariant: what lies below the recovery point
//! was synced; what recovery keeps above it, it syncs. Source: Kafka's `LogLoader`,
//! `LogSegment#recover`; Protocol-Aware Recovery (FAST'18) for telling crash from corruption.

mod scan;

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicId;
use crate::log::{EpochCache, LogState, ProducerState};
use crate::offset::{NO_LEADER_EPOCH, Offset};

use super::atomic_file;
use super::checkpoint;
use super::damage::{self, DAMAGED, LogDamage};
use super::disk::{Disk, Operation};
use super::error::{DiskError, IoContext};
use super::names::{EPOCHS, LOG, OFFSET_INDEX, TEMPORARY_SUFFIX, TIME_INDEX, parse_offset_file};
use super::partition_store::{Compaction, NamesUnsynced, PartitionStore, sync_dir};
use super::request::LogOptions;
use super::segment::{Segment, remove_if_there};
use scan::{Stop, scan, scan_doubtful, whole_batch_behind};

/// What is known of a log before its files are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) topic_id: TopicId,
    /// Whether everything was synced and marked at the last shutdown.
    pub(super) is_clean: bool,
    /// Everything below was synced.
    pub(super) recovery_point: Offset,
    /// The first readable offset, if the checkpoint has one.
    pub(super) log_start_offset: Option<Offset>,
}

/// Opens a log. Damage is no error: see [`PartitionStore::damage`].
pub(super) fn recover<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
) -> Result<PartitionStore<D>, DiskError> {
    let bases = tidy_up(disk, &directory)?;
    if let Some(damage) = missing_segments(&directory, known, &bases) {
        return damaged(disk, directory, known, &bases, damage, None);
    }
    if let Some(damage) = damage::read(disk, &directory)? {
        return look_again(disk, directory, known, &bases, damage);
    }
    if known.is_clean
        && let Some(store) = reopen(disk, &directory, known, &bases)?
    {
        return Ok(store);
    }
    match rescan(disk, directory.clone(), known, &bases, None) {
        Err(DiskError::Damaged {
            path,
            position,
            offset,
            message,
        }) => {
            let end = bases.last().copied().unwrap_or(offset);
            let reason = format!(
                "{} is damaged at byte {position}: {message}",
                path.display()
            );
            let damage = LogDamage {
                offset,
                lost_to: end.max(known.recovery_point),
                reason,
            };
            damaged(disk, directory, known, &bases, damage, None)
        }
        rescanned => rescanned,
    }
}

/// Damage that was found in an earlier life: the bytes may have been right, and the way from the
/// disk wrong. Everything from there on is read, and whether it was closed since does not count.
fn look_again<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
    bases: &[Offset],
    damage: LogDamage,
) -> Result<PartitionStore<D>, DiskError> {
    let unclean = Known {
        is_clean: false,
        ..known
    };
    let store = match rescan(disk, directory.clone(), unclean, bases, Some(&damage)) {
        Err(error) if error.is_damage() => {
            return damaged(disk, directory, known, bases, damage, None);
        }
        rescanned => rescanned?,
    };
    if store.damage.is_none() {
        let (directory, end) = (directory.display(), store.state.log_end_offset);
        warn!(%directory, %damage, end, "a log is whole again: what was damaged reads right now");
        remove_if_there(disk, &store.directory.join(DAMAGED))?;
        sync_dir(disk, &store.directory)?;
    }
    Ok(store)
}

/// Damage that the names of the files tell.
fn missing_segments(directory: &Path, known: Known, bases: &[Offset]) -> Option<LogDamage> {
    let lost = |offset, lost_to, what: &str| LogDamage {
        offset,
        lost_to,
        reason: format!("{what} in {}", directory.display()),
    };
    let start = known.log_start_offset;
    match (bases.first(), start) {
        (None, _) if known.recovery_point > 0 => {
            let what = "there is no segment";
            Some(lost(start.unwrap_or(0), known.recovery_point, what))
        }
        (Some(&first), Some(start)) if first > start => {
            Some(lost(start, first, "the first segment is gone"))
        }
        _ => None,
    }
}

/// A log that is served up to its damage; its files stay as they are.
fn damaged<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
    bases: &[Offset],
    damage: LogDamage,
    state: Option<LogState>,
) -> Result<PartitionStore<D>, DiskError> {
    let mut store = trusted(disk, directory, known, bases)?;
    let end = damage.offset;
    if store.segments.is_empty() {
        let segment = Segment::create(disk, &store.directory, end)?;
        store.segments.push(segment);
        store.files_changed();
    }
    store.recovery_point = known.recovery_point;
    store.epochs_written = read_epochs(disk, &store.directory)?.unwrap_or_default();
    store.state = match state {
        Some(state) => state,
        None => believed(&mut store, disk, known, end)?,
    };
    store.set_damage(disk, damage)?;
    Ok(store)
}

/// What the files say of a log that ends at `end`, without reading it all.
fn believed<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    known: Known,
    end: Offset,
) -> Result<LogState, DiskError> {
    let first = store.first_base_offset();
    let start = known.log_start_offset.unwrap_or(first).max(first).min(end);
    let mut state = LogState::empty_at(start);
    state.log_end_offset = end;
    state.epochs = store.epochs_written.clone();
    state.epochs.truncate_from_end(end);
    state.epochs.truncate_from_start(start);
    state.producers = match store.rebuild_producers(disk, end) {
        Err(error) if error.is_damage() => ProducerState::default(),
        producers => producers?,
    };
    Ok(state)
}

/// Removes what a crash left half done; returns the base offsets of the segments, ascending.
fn tidy_up(disk: &impl Disk, directory: &Path) -> Result<Vec<Offset>, DiskError> {
    let names = disk.list(directory).during(Operation::List, directory)?;
    let bases: Vec<_> = names
        .iter()
        .filter_map(|name| parse_offset_file(name, LOG))
        .collect();
    for name in &names {
        let index = parse_offset_file(name, OFFSET_INDEX).or(parse_offset_file(name, TIME_INDEX));
        let is_orphan = index.is_some_and(|base| !bases.contains(&base));
        if is_orphan || name.ends_with(TEMPORARY_SUFFIX) {
            let path = directory.join(name);
            disk.remove_file(&path).during(Operation::Remove, &path)?;
        }
    }
    Ok(bases)
}

/// Opens a log that was closed; `None` if the files say otherwise.
fn reopen<D: Disk>(
    disk: &D,
    directory: &Path,
    known: Known,
    bases: &[Offset],
) -> Result<Option<PartitionStore<D>>, DiskError> {
    let Some(epochs) = read_epochs(disk, directory)? else {
        return Ok(None);
    };
    let mut store = trusted(disk, directory.to_owned(), known, bases)?;
    let Some(last) = store.segments.last_mut() else {
        return Ok(None);
    };
    let (from, due) = last.resume(disk)?;
    let scanned = scan(&mut store, disk, from, due)?;
    let end = scanned.end_offset;
    // Closing stored the end: a log that ends elsewhere is not the one that was closed.
    let is_the_one = end == known.recovery_point || believes_the_files();
    if scanned.damage.is_some() || !is_the_one {
        return Ok(None);
    }
    if !epochs_fit(&mut store, disk, &epochs, end)? {
        return Ok(None);
    }
    store.state.epochs = epochs.clone();
    // An entry at the very end is that of the records that retention removed.
    store.state.epochs.truncate_from_end(end + 1);
    let first = store.first_base_offset();
    store.state.epochs.truncate_from_start(first);
    store.epochs_written = epochs;
    store.state.log_end_offset = end;
    store.state.producers = match store.rebuild_producers(disk, end) {
        Err(error) if error.is_damage() => return Ok(None),
        producers => producers?,
    };
    store.recovery_point = end;
    store
        .state
        .advance_log_start(known.log_start_offset.unwrap_or(0));
    Ok(Some(store))
}

/// Whether the last batch below `end` has the epoch that the checkpoint says: one that was rolled
/// back does not know the newest.
fn epochs_fit<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    epochs: &EpochCache,
    end: Offset,
) -> Result<bool, DiskError> {
    if believes_the_files() {
        return Ok(true);
    }
    let index = store
        .segments
        .partition_point(|segment| segment.base_offset < end);
    let Some(segment) = index
        .checked_sub(1)
        .and_then(|at| store.segments.get_mut(at))
    else {
        return Ok(true);
    };
    let header = match segment.locate(disk, end - 1) {
        Ok(Some((_, header))) => header,
        Ok(None) => return Ok(false),
        Err(error) if error.is_damage() => return Ok(false),
        Err(error) => return Err(error),
    };
    store.close_idle_files();
    let found = header.partition_leader_epoch;
    Ok(epochs.epoch_of(end - 1).unwrap_or(NO_LEADER_EPOCH) == found)
}

/// Opens a log after a crash: reads what may not have been synced, and what was `suspected`.
fn rescan<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
    bases: &[Offset],
    suspected: Option<&LogDamage>,
) -> Result<PartitionStore<D>, DiskError> {
    let stored = read_epochs(disk, &directory)?;
    let mut trusted_count = match &stored {
        Some(epochs) => trusted_segments(disk, &directory, known, bases, epochs)?,
        None => 0,
    };
    if let Some(damage) = suspected {
        let below = bases.partition_point(|base| *base <= damage.offset);
        trusted_count = trusted_count.min(below.saturating_sub(1));
    }
    let (trusted_bases, doubtful) = bases.split_at_checked(trusted_count).unwrap_or_default();
    let mut store = trusted(disk, directory, known, trusted_bases)?;
    let start = doubtful.first().copied();
    let start = start.unwrap_or(known.log_start_offset.unwrap_or(0));
    store.state.log_end_offset = start;
    store.state.log_start_offset = bases.first().copied().unwrap_or(start);
    store.state.producers = store.rebuild_producers(disk, start)?;
    store.epochs_written = stored.unwrap_or_default();
    store.state.epochs = store.epochs_written.clone();
    store.state.epochs.truncate_from_end(start);
    let first = store.state.log_start_offset;
    store.state.epochs.truncate_from_start(first);
    let stop = scan_doubtful(&mut store, disk, doubtful, known.recovery_point)?;
    let still = suspected.filter(|damage| store.state.log_end_offset <= damage.offset);
    let damage = still.cloned();
    if let Some(damage) = damage.or_else(|| damage_of(&store, known, stop.as_ref(), bases)) {
        let damage = LogDamage {
            offset: damage.offset.min(store.state.log_end_offset),
            ..damage
        };
        let mut state = store.state;
        state.advance_log_start(known.log_start_offset.unwrap_or(0));
        return damaged(disk, store.directory, known, bases, damage, Some(state));
    }
    if let Some(stop) = stop {
        cut_tail(&mut store, disk, doubtful, &stop)?;
    }
    finish(&mut store, disk)?;
    store
        .state
        .advance_log_start(known.log_start_offset.unwrap_or(0));
    Ok(store)
}

/// Whether the log ends where it cannot have ended: after a clean shutdown all of it was durable,
/// after a crash what lies below the recovery point.
fn damage_of<D: Disk>(
    store: &PartitionStore<D>,
    known: Known,
    stop: Option<&Stop>,
    bases: &[Offset],
) -> Option<LogDamage> {
    let end = store.state.log_end_offset;
    let ends_early = end < known.recovery_point && !believes_the_files();
    let stops_after_clean = known.is_clean && stop.is_some();
    if !ends_early && !stops_after_clean {
        return None;
    }
    let reason = stop.map_or_else(
        || format!("the segments in {} end there", store.directory.display()),
        |stop| stop.reason.clone(),
    );
    let last = bases.last().copied().unwrap_or(end);
    Some(LogDamage {
        offset: end,
        lost_to: known.recovery_point.max(last).max(end + 1),
        reason,
    })
}

/// Cuts the torn tail of a crash: the rest of a segment and all later ones.
fn cut_tail<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    doubtful: &[Offset],
    stop: &Stop,
) -> Result<(), DiskError> {
    store.cut_bytes = stop.bytes;
    store.cut_whole_from = whole_batch_behind(store, disk, doubtful, stop)?;
    if stop.bytes > 0 {
        let segment = store.active();
        let whole = segment.size;
        segment.cut_file(disk, whole)?;
    }
    for base in doubtful.iter().skip(stop.kept).rev() {
        let segment = Segment::existing(disk, &store.directory, *base)?;
        store.cut_bytes += segment.size;
        segment.remove(disk)?;
    }
    Ok(())
}

/// How many segments lie wholly below the recovery point, if the epochs are those of their batches;
/// the last one never counts.
fn trusted_segments<D: Disk>(
    disk: &D,
    directory: &Path,
    known: Known,
    bases: &[Offset],
    epochs: &EpochCache,
) -> Result<usize, DiskError> {
    let ends = bases.iter().skip(1);
    let count = ends.take_while(|end| **end <= known.recovery_point).count();
    let (below, above) = bases.split_at_checked(count).unwrap_or_default();
    let Some(&end) = above.first().filter(|_| count > 0) else {
        return Ok(count);
    };
    let mut store = trusted(disk, directory.to_owned(), known, below)?;
    let fit = epochs_fit(&mut store, disk, epochs, end)?;
    Ok(if fit { count } else { 0 })
}

/// A store of segments that are taken as they are.
fn trusted<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
    bases: &[Offset],
) -> Result<PartitionStore<D>, DiskError> {
    let segments: Result<Vec<_>, _> = bases
        .iter()
        .map(|base| Segment::existing(disk, &directory, *base))
        .collect();
    let start = bases.first().copied();
    let start = start.unwrap_or(known.log_start_offset.unwrap_or(0));
    Ok(PartitionStore {
        topic_id: known.topic_id,
        directory,
        options: LogOptions::default(),
        state: LogState::empty_at(start),
        segments: segments?,
        recovery_point: 0,
        names_unsynced: NamesUnsynced::None,
        epochs_written: EpochCache::default(),
        compaction: Compaction::default(),
        damage: None,
        cut_bytes: 0,
        cut_whole_from: None,
        refused: None,
    })
}

/// Makes what was recovered durable.
fn finish<D: Disk>(store: &mut PartitionStore<D>, disk: &D) -> Result<(), DiskError> {
    let end = store.state.log_end_offset;
    if store.segments.is_empty() {
        let segment = Segment::create(disk, &store.directory, end)?;
        store.segments.push(segment);
    }
    store.remove_producer_snapshots(disk, |offset| offset > end)?;
    sync_dir(disk, &store.directory)?;
    store.files_changed();
    store.flush(disk).map(|_| ())
}

/// Whether a bug is planted that this doubt would hide; Kafka has none of it.
fn believes_the_files() -> bool {
    planted(Sabotage::RecoveryPointAheadOfFsync)
        || planted(Sabotage::CrashDuringRecoveryCountedAsClean)
        || planted(Sabotage::EpochCheckpointNotFsynced)
        || planted(Sabotage::FsyncErrorIgnored)
        || planted(Sabotage::DirectoryEntryNotFsyncedAfterRoll)
}

fn read_epochs(disk: &impl Disk, directory: &Path) -> Result<Option<EpochCache>, DiskError> {
    let content = atomic_file::read(disk, &directory.join(EPOCHS))?;
    Ok(match content {
        Some(content) if content.is_empty() && planted(Sabotage::EpochCheckpointNotFsynced) => {
            Some(EpochCache::default())
        }
        Some(content) => checkpoint::parse_epochs(&content).ok(),
        None => None,
    })
}
