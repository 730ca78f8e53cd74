//! From the files of a log back to its state.
//!
//! In: a log's directory, the recovery point, whether the shutdown was clean. Out: the log, of
//! which every byte is a whole batch. After an unclean shutdown every segment that reaches beyond
//! the recovery point is read by checksums; the log ends at the first bad byte and later segments
//! go. Invariant: what lies below the recovery point was synced and is kept; what recovery keeps
//! above it, it syncs. Source: Kafka's `LogLoader`, `LogSegment#recover`.

use std::path::{Path, PathBuf};

use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicId;
use crate::log::{BatchSummary, EpochCache, LogState};
use crate::offset::Offset;

use super::atomic_file;
use super::checkpoint;
use super::disk::{Disk, DiskFile, Operation};
use super::error::{DiskError, IoContext};
use super::names::{EPOCHS, LOG, OFFSET_INDEX, TEMPORARY_SUFFIX, TIME_INDEX, parse_offset_file};
use super::partition_store::{Compaction, NamesUnsynced, PartitionStore, sync_dir};
use super::request::LogOptions;
use super::scanner::{Depth, Scanner, Step};
use super::segment::Segment;

/// What is known of a log before its files are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) topic_id: TopicId,
    /// Whether everything was synced and marked at the last shutdown.
    pub(super) is_clean: bool,
    /// Everything below was synced.
    pub(super) recovery_point: Offset,
    /// The first readable offset, if the checkpoint has one.
    pub(super) log_start_offset: Offset,
}

/// Opens a log.
pub(super) fn recover<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
) -> Result<PartitionStore<D>, DiskError> {
    let bases = tidy_up(disk, &directory)?;
    if known.is_clean
        && let Some(store) = reopen(disk, &directory, known, &bases)?
    {
        return Ok(store);
    }
    rescan(disk, directory, known, bases)
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
    let from = last.resume(disk)?;
    let scanned = scan(&mut store, disk, Depth::Headers, from)?;
    if scanned.damage.is_some() {
        return Ok(None);
    }
    let end = scanned.end_offset;
    store.state.epochs = epochs.clone();
    // An entry at the very end is that of the records that retention removed.
    store.state.epochs.truncate_from_end(end + 1);
    let first = store.first_base_offset();
    store.state.epochs.truncate_from_start(first);
    store.epochs_written = epochs;
    store.state.log_end_offset = end;
    store.state.producers = store.rebuild_producers(disk, end)?;
    store.recovery_point = end;
    store.state.advance_log_start(known.log_start_offset);
    Ok(Some(store))
}

/// Opens a log after a crash: reads what may not have been synced.
fn rescan<D: Disk>(
    disk: &D,
    directory: PathBuf,
    known: Known,
    bases: Vec<Offset>,
) -> Result<PartitionStore<D>, DiskError> {
    let stored = read_epochs(disk, &directory)?;
    let trusted_count = match stored {
        Some(_) => trusted_segments(&bases, known.recovery_point),
        None => 0,
    };
    let (trusted_bases, doubtful) = bases.split_at_checked(trusted_count).unwrap_or_default();
    let mut store = trusted(disk, directory, known, trusted_bases)?;
    let start = doubtful.first().copied().unwrap_or(known.log_start_offset);
    store.state.log_end_offset = start;
    store.state.log_start_offset = bases.first().copied().unwrap_or(start);
    store.state.producers = store.rebuild_producers(disk, start)?;
    store.epochs_written = stored.unwrap_or_default();
    store.state.epochs = store.epochs_written.clone();
    store.state.epochs.truncate_from_end(start);
    let first = store.state.log_start_offset;
    store.state.epochs.truncate_from_start(first);
    let kept = scan_doubtful(&mut store, disk, doubtful)?;
    for base in doubtful.iter().skip(kept).rev() {
        Segment::existing(disk, &store.directory, *base)?.remove(disk)?;
    }
    finish(&mut store, disk)?;
    store.state.advance_log_start(known.log_start_offset);
    Ok(store)
}

/// How many segments lie wholly below the recovery point; the last one never counts.
fn trusted_segments(bases: &[Offset], recovery_point: Offset) -> usize {
    let ends = bases.iter().skip(1);
    ends.take_while(|end| **end <= recovery_point).count()
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
    let start = bases.first().copied().unwrap_or(known.log_start_offset);
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
    })
}

/// Scans the doubtful segments in order up to the first damage or gap; returns how many are kept.
fn scan_doubtful<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    doubtful: &[Offset],
) -> Result<usize, DiskError> {
    for (index, base) in doubtful.iter().enumerate() {
        if *base != store.state.log_end_offset {
            return Ok(index);
        }
        let mut segment = Segment::existing(disk, &store.directory, *base)?;
        let file_bytes = segment.size;
        segment.restart();
        segment.remove_indexes(disk)?;
        store.segments.push(segment);
        let mut log_end = store.state.clone();
        let scanned = scan_with(store, disk, Depth::Whole, 0, file_bytes, |header| {
            log_end.append(&BatchSummary::from(header));
        })?;
        store.state = log_end;
        let is_last = index + 1 == doubtful.len();
        let segment = store.active();
        if scanned.damage.is_some() {
            let whole = segment.size;
            segment.cut_file(disk, whole)?;
            return Ok(index + 1);
        }
        segment.sync(disk)?;
        if !is_last {
            segment.write_indexes(disk)?;
            segment.close_file();
        }
    }
    Ok(doubtful.len())
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

/// Where a scan of the last segment ended.
struct Scanned {
    end_offset: Offset,
    damage: Option<String>,
}

/// Scans the last segment of a closed log from byte `from` to the end of its file.
fn scan<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    depth: Depth,
    from: u64,
) -> Result<Scanned, DiskError> {
    let segment = store.active();
    let path = segment.path().to_owned();
    let length = segment.file(disk)?.length();
    let length = length.during(Operation::Read, &path)?;
    scan_with(store, disk, depth, from, length, |_| ())
}

/// Scans the active segment and notes each batch that continues the log.
fn scan_with<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    depth: Depth,
    from: u64,
    to: u64,
    mut visit: impl FnMut(&crate::record::BatchHeader),
) -> Result<Scanned, DiskError> {
    let interval = store.options.index_interval_bytes;
    let segment = store.active();
    let path = segment.path().to_owned();
    let file = disk.open(&path).during(Operation::Open, &path)?;
    let mut scanner = Scanner::new(&file, depth, from, to);
    let mut end_offset = None;
    let base_offset = segment.base_offset;
    loop {
        let damage = match scanner.step().during(Operation::Read, &path)? {
            Step::Batch { header, .. } if continues(base_offset, from, end_offset, &header) => {
                segment.note(&header, interval);
                visit(&header);
                end_offset = Some(header.next_offset());
                continue;
            }
            Step::Batch { position, header } => Some(format!(
                "the batch at byte {position} has base offset {}",
                header.base_offset
            )),
            Step::End => None,
            Step::Damaged { message, .. } => Some(message),
        };
        let end_offset = end_offset.unwrap_or(base_offset);
        return Ok(Scanned { end_offset, damage });
    }
}

/// Whether a batch has the base offset that is due. A scan that begins inside the segment does not
/// know the first.
fn continues(
    base_offset: Offset,
    from: u64,
    end_offset: Option<Offset>,
    header: &crate::record::BatchHeader,
) -> bool {
    match end_offset {
        Some(due) => header.base_offset == due,
        None => header.base_offset == base_offset || (from > 0 && header.base_offset > base_offset),
    }
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
