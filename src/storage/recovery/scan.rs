//! Reads the segments of a log that may not be what was appended.
//!
//! In: segments in order, from where to begin. Out: their batches folded into the log's state, and
//! why the reading stopped before their end, if it did. Invariant: a batch counts only if its
//! checksum is right, it continues the one before, and its epoch is one that the log can have; one
//! that does not count was read more than once, for what follows may be cut.

use std::io;

use crate::log::BatchSummary;
use crate::offset::Offset;
use crate::record::{BATCH_HEADER_BYTES, BatchHeader};
use crate::storage::disk::{Disk, DiskFile, Operation, read_range};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::partition_store::{PartitionStore, READS};
use crate::storage::scanner::{Depth, Scanner, Step};
use crate::storage::segment::Segment;

/// How far behind the end of a log whole batches are looked for.
const SEARCH_BYTES_MAX: u64 = 64 << 20;
const SEARCH_CHUNK_BYTES: u64 = 1 << 20;

/// Why and where a scan of the doubtful segments stopped before their end.
pub(super) struct Stop {
    pub(super) reason: String,
    /// How many of the segments are kept, in part or whole.
    pub(super) kept: usize,
    /// How many bytes of the last kept one are bad.
    pub(super) bytes: u64,
}

/// Scans the doubtful segments in order up to the first damage or gap.
pub(super) fn scan_doubtful<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    doubtful: &[Offset],
    recovery_point: Offset,
) -> Result<Option<Stop>, DiskError> {
    let stored = store.epochs_written.clone();
    for (index, base) in doubtful.iter().enumerate() {
        let end = store.state.log_end_offset;
        if *base != end {
            let directory = store.directory.display();
            return Ok(Some(Stop {
                reason: format!("the segment at {end} in {directory} is gone or cut off"),
                kept: index,
                bytes: 0,
            }));
        }
        let mut segment = Segment::existing(disk, &store.directory, *base)?;
        let file_bytes = segment.size;
        segment.restart();
        segment.remove_indexes(disk)?;
        store.segments.push(segment);
        let mut log_end = store.state.clone();
        let mut epoch = log_end.epochs.latest_epoch();
        let scanned = scan_with(
            store,
            disk,
            Depth::Whole,
            (0, *base),
            file_bytes,
            |header| {
                // Epochs lie outside the checksum. They never decrease, and those of what was
                // durable are stored.
                let found = header.partition_leader_epoch;
                let known = stored.epoch_of(header.base_offset);
                let known = known.filter(|_| header.base_offset < recovery_point);
                if epoch.is_some_and(|epoch| found < epoch)
                    || known.is_some_and(|known| found != known)
                {
                    return Err(format!(
                        "epoch {found} follows {epoch:?}, known is {known:?}"
                    ));
                }
                epoch = Some(found);
                log_end.append(&BatchSummary::from(header));
                Ok(())
            },
        )?;
        store.state = log_end;
        let is_last = index + 1 == doubtful.len();
        let segment = store.active();
        if let Some(damage) = scanned.damage {
            return Ok(Some(Stop {
                reason: format!("{} is damaged {damage}", segment.path().display()),
                kept: index + 1,
                bytes: file_bytes - segment.size,
            }));
        }
        segment.sync(disk)?;
        if !is_last {
            segment.write_indexes(disk)?;
            segment.close_file();
        }
    }
    Ok(None)
}

/// The offset of a whole batch behind `end`, where the log stops: a loss of power leaves one if it
/// wrote out of order, damage always.
pub(super) fn whole_batch_behind<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    doubtful: &[Offset],
    stop: &Stop,
) -> Result<Option<Offset>, DiskError> {
    let end = store.state.log_end_offset;
    let mut places = Vec::new();
    if stop.bytes > 0 {
        let segment = store.active();
        places.push((segment.path().to_owned(), segment.size));
    }
    for base in doubtful.iter().skip(stop.kept) {
        let segment = Segment::existing(disk, &store.directory, *base)?;
        places.push((segment.path().to_owned(), 0));
    }
    let mut left = SEARCH_BYTES_MAX;
    for (path, from) in places {
        let file = disk.open(&path).during(Operation::Open, &path)?;
        let to = file
            .length()
            .during(Operation::Read, &path)?
            .min(from + left);
        left -= to.saturating_sub(from);
        let found = search(&file, from, to, end).during(Operation::Read, &path)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The offset of the first whole batch behind offset `end` between two bytes of a file, wherever it
/// begins: the length of what is bad may be bad, too.
fn search(file: &impl DiskFile, from: u64, to: u64, end: Offset) -> io::Result<Option<Offset>> {
    let mut position = from;
    while position + BATCH_HEADER_BYTES as u64 <= to {
        let length = (to - position).min(SEARCH_CHUNK_BYTES) as usize;
        let bytes = read_range(file, position, length)?;
        for (window, at) in bytes.windows(BATCH_HEADER_BYTES).zip(position..) {
            let Ok(header) = BatchHeader::parse(window) else {
                continue;
            };
            let behind = header.base_offset.checked_sub(end);
            let is_near = behind.is_some_and(|behind| (1..i64::from(i32::MAX)).contains(&behind));
            if is_near
                && let Step::Batch { .. } = Scanner::new(file, Depth::Whole, at, to).step()?
            {
                return Ok(Some(header.base_offset));
            }
        }
        let searched = bytes.len().saturating_sub(BATCH_HEADER_BYTES - 1);
        position += searched.max(1) as u64;
    }
    Ok(None)
}

/// Where a scan of the last segment ended.
pub(super) struct Scanned {
    pub(super) end_offset: Offset,
    /// At which byte it ended early, and why.
    pub(super) damage: Option<String>,
}

/// Scans the last segment of a closed log from byte `from`, offset `due`, to the end of its file.
pub(super) fn scan<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    from: u64,
    due: Offset,
) -> Result<Scanned, DiskError> {
    let segment = store.active();
    let path = segment.path().to_owned();
    let length = segment.file(disk)?.length();
    let length = length.during(Operation::Read, &path)?;
    scan_with(store, disk, Depth::Headers, (from, due), length, |_| Ok(()))
}

/// Scans the active segment and notes each batch that continues the log, if `visit` takes it.
fn scan_with<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    depth: Depth,
    mut from: (u64, Offset),
    to: u64,
    mut visit: impl FnMut(&BatchHeader) -> Result<(), String>,
) -> Result<Scanned, DiskError> {
    let mut left = READS;
    loop {
        let (position, scanned) = scan_once(store, disk, depth, from, to, &mut visit)?;
        if position > from.0 {
            left = READS;
        }
        left -= 1;
        if scanned.damage.is_none() || left == 0 {
            return Ok(scanned);
        }
        from = (position, scanned.end_offset);
    }
}

/// The same up to what reads wrong for the first time, and its position.
fn scan_once<D: Disk>(
    store: &mut PartitionStore<D>,
    disk: &D,
    depth: Depth,
    (from, mut due): (u64, Offset),
    to: u64,
    visit: &mut impl FnMut(&BatchHeader) -> Result<(), String>,
) -> Result<(u64, Scanned), DiskError> {
    let interval = store.options.index_interval_bytes;
    let segment = store.active();
    let path = segment.path().to_owned();
    let file = disk.open(&path).during(Operation::Open, &path)?;
    let mut scanner = Scanner::new(&file, depth, from, to);
    loop {
        let (position, message) = match scanner.step().during(Operation::Read, &path)? {
            Step::Batch { position, header } if header.base_offset == due => {
                if let Err(message) = visit(&header) {
                    (position, message)
                } else {
                    segment.note(&header, interval);
                    due = header.next_offset();
                    continue;
                }
            }
            Step::Batch { position, header } => {
                let found = header.base_offset;
                (position, format!("the batch there has base offset {found}"))
            }
            Step::Damaged { position, message } => (position, message),
            Step::End => {
                let scanned = Scanned {
                    end_offset: due,
                    damage: None,
                };
                return Ok((to, scanned));
            }
        };
        let scanned = Scanned {
            end_offset: due,
            damage: Some(format!("at byte {position}: {message}")),
        };
        return Ok((position, scanned));
    }
}
