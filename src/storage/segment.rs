//! One segment of a log: a file of batches and its two indexes.
//!
//! In: batches at the end, offsets and timestamps to look for. Out: positions. Invariant: the first
//! `size` bytes of the file are whole batches with contiguous offsets from `base_offset` on.
//! Indexes are written when the segment is closed; a missing or insane one is rebuilt by a scan.
//! Source: Kafka's `LogSegment`.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::sabotage::{Sabotage, planted};
use crate::offset::Offset;
use crate::record::{BATCH_HEADER_BYTES, BatchHeader};

use super::disk::{Disk, DiskFile, Operation, read_range};
use super::error::{DiskError, IoContext};
use super::names::{LOG, OFFSET_INDEX, TIME_INDEX, offset_file};
use super::offset_index::{OffsetEntry, OffsetIndex};
use super::request::LogOptions;
use super::scanner::{Depth, Scanner, Step};
use super::time_index::{TimeEntry, TimeIndex};

/// A segment; `F` is an open file.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) base_offset: Offset,
    /// Bytes of whole batches in the file.
    pub(super) size: u64,
    /// Whether the file has bytes that were not synced.
    pub(super) unsynced: bool,
    /// Counts what was done to the file since it was opened.
    pub(super) changes: u64,
    path: PathBuf,
    file: Option<F>,
    indexes: Option<Indexes>,
    first_timestamp: Option<i64>,
}

impl<F: DiskFile> Segment<F> {
    /// Creates the file of an empty segment.
    pub(super) fn create<D: Disk<File = F>>(
        disk: &D,
        directory: &Path,
        base_offset: Offset,
    ) -> Result<Self, DiskError> {
        let path = offset_file(directory, base_offset, LOG);
        let file = disk.create(&path).during(Operation::Open, &path)?;
        Ok(Self {
            file: Some(file),
            indexes: Some(Indexes::default()),
            unsynced: true,
            ..Self::closed(path, base_offset, 0)
        })
    }

    /// A segment whose file exists; nothing of it is read.
    pub(super) fn existing<D: Disk<File = F>>(
        disk: &D,
        directory: &Path,
        base_offset: Offset,
    ) -> Result<Self, DiskError> {
        let path = offset_file(directory, base_offset, LOG);
        let file = disk.open(&path).during(Operation::Open, &path)?;
        let size = file.length().during(Operation::Read, &path)?;
        Ok(Self::closed(path, base_offset, size))
    }

    fn closed(path: PathBuf, base_offset: Offset, size: u64) -> Self {
        Self {
            base_offset,
            size,
            unsynced: false,
            changes: 0,
            path,
            file: None,
            indexes: None,
            first_timestamp: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(super) fn file<D: Disk<File = F>>(&mut self, disk: &D) -> Result<&mut F, DiskError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => disk.open(&self.path).during(Operation::Open, &self.path)?,
        };
        Ok(self.file.insert(file))
    }

    /// Closes the file, unless it has bytes to sync.
    pub(super) fn close_file(&mut self) {
        if !self.unsynced {
            self.file = None;
        }
    }

    /// Whether `header` must begin a new segment.
    pub(super) fn is_full_for(&self, header: &BatchHeader, options: &LogOptions) -> bool {
        let Some(indexes) = self.indexes.as_ref().filter(|_| self.size > 0) else {
            return false;
        };
        let segment_bytes = options.segment_bytes.min(u64::from(u32::MAX));
        let age = self
            .first_timestamp
            .map_or(0, |first| header.max_timestamp.saturating_sub(first));
        self.size + header.size_bytes() as u64 > segment_bytes
            || age > millis(options.segment_age)
            || indexes.offsets.bytes() >= options.index_bytes
            || header.last_offset() - self.base_offset > i64::from(i32::MAX)
    }

    /// Takes note of a batch that is written at the end; see [`Self::write_noted`].
    pub(super) fn note(&mut self, header: &BatchHeader, interval: u64) {
        let delta = (header.base_offset - self.base_offset) as u32;
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let indexes = self.indexes.get_or_insert_default();
        indexes.add(header, delta, self.size, interval);
        self.size += header.size_bytes() as u64;
    }

    /// Writes the bytes of batches that were noted.
    pub(super) fn write_noted<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        bytes: &[u8],
    ) -> Result<(), DiskError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.changed();
        let position = self.size - bytes.len() as u64;
        let written = self.file(disk)?.write_at(bytes, position);
        if planted(Sabotage::AppendsGoOnAfterFailedWrite) {
            return Ok(());
        }
        written.during(Operation::Write, &self.path)
    }

    fn changed(&mut self) {
        self.unsynced = true;
        self.changes += 1;
    }

    /// Makes the file durable.
    pub(super) fn sync<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), DiskError> {
        let synced = self.file(disk)?.sync();
        if !planted(Sabotage::FsyncErrorIgnored) {
            synced.during(Operation::Sync, &self.path)?;
        }
        self.unsynced = false;
        Ok(())
    }

    /// Cuts the file to `size` bytes, durably.
    pub(super) fn cut_file<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        size: u64,
    ) -> Result<(), DiskError> {
        let cut = self.file(disk)?.set_length(size);
        cut.during(Operation::SetLength, &self.path)?;
        self.size = size;
        self.sync(disk)
    }

    /// Writes the index files; they are hints, so they are not synced, and without space there are
    /// none.
    pub(super) fn write_indexes<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), DiskError> {
        let Some(indexes) = self.indexes.as_mut() else {
            return Ok(());
        };
        indexes.times.mark();
        let contents = [
            (OFFSET_INDEX, indexes.offsets.format(self.size)),
            (TIME_INDEX, indexes.times.format(self.size)),
        ];
        for (kind, content) in contents {
            match write_hint(disk, &self.path.with_extension(kind), &content) {
                Err(error) if error.is_no_space() => return self.remove_indexes(disk),
                written => written?,
            }
        }
        Ok(())
    }

    /// Replaces the content of a closed segment, durably. The old indexes go first.
    pub(super) fn replace<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        content: &[u8],
    ) -> Result<(), DiskError> {
        self.remove_indexes(disk)?;
        let directory = super::atomic_file::parent(&self.path);
        disk.sync_dir(directory)
            .during(Operation::SyncDirectory, directory)?;
        self.file = None;
        self.indexes = None;
        super::atomic_file::replace(disk, &self.path, content)?;
        self.size = content.len() as u64;
        Ok(())
    }

    /// Removes the files; the log's last, so that no index is left without its log.
    pub(super) fn remove<D: Disk>(self, disk: &D) -> Result<(), DiskError> {
        self.remove_indexes(disk)?;
        remove_if_there(disk, &self.path)
    }

    /// Removes the index files: what they say will not be true much longer. The names must be
    /// synced before the segment can have its old size again.
    pub(super) fn remove_indexes<D: Disk>(&self, disk: &D) -> Result<(), DiskError> {
        remove_if_there(disk, &self.path.with_extension(OFFSET_INDEX))?;
        remove_if_there(disk, &self.path.with_extension(TIME_INDEX))
    }

    /// The largest timestamp, if the segment has a batch.
    pub(super) fn largest_timestamp<D: Disk<File = F>>(
        &mut self,
        disk: &D,
    ) -> Result<Option<i64>, DiskError> {
        Ok(self.indexes(disk)?.times.largest())
    }

    /// Where the batch that holds `offset` begins, and its header; `None` if the segment ends
    /// before. Damage is an error only if it comes before.
    pub(super) fn locate<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        offset: Offset,
    ) -> Result<Option<(u64, BatchHeader)>, DiskError> {
        let delta = u32::try_from(offset - self.base_offset).unwrap_or(0);
        let hint = match self.indexes(disk) {
            Ok(indexes) => indexes.offsets.floor(delta),
            // Damage behind the batch keeps nobody from finding it.
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let size = self.size;
        let base_offset = self.base_offset;
        let path = self.path.clone();
        let file = self.file(disk)?;
        if let Some(hint) = hint {
            let bytes = read_range(file, u64::from(hint.position), BATCH_HEADER_BYTES);
            let header = BatchHeader::parse(&bytes.during(Operation::Read, &path)?);
            let begins = base_offset + i64::from(hint.delta);
            if header.is_ok_and(|header| header.base_offset == begins) {
                return find(
                    file,
                    &path,
                    (u64::from(hint.position), begins),
                    size,
                    offset,
                );
            }
        }
        find(file, &path, (0, base_offset), size, offset)
    }

    /// Where to begin to look for a record with at least `timestamp`.
    pub(super) fn locate_timestamp<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        timestamp: i64,
    ) -> Result<Offset, DiskError> {
        let entry = self.indexes(disk)?.times.below(timestamp);
        let delta = entry.map_or(0, |entry| entry.delta);
        Ok(self.base_offset + i64::from(delta))
    }

    /// The indexes, from memory, the files or the log itself.
    fn indexes<D: Disk<File = F>>(&mut self, disk: &D) -> Result<&Indexes, DiskError> {
        let indexes = match self.indexes.take() {
            Some(indexes) => indexes,
            None => match self.read_indexes(disk)? {
                Some(indexes) => indexes,
                None => self.rebuild_indexes(disk)?,
            },
        };
        Ok(self.indexes.insert(indexes))
    }

    fn read_indexes<D: Disk<File = F>>(&self, disk: &D) -> Result<Option<Indexes>, DiskError> {
        let read = |kind| super::atomic_file::read(disk, &self.path.with_extension(kind));
        let (Some(offsets), Some(times)) = (read(OFFSET_INDEX)?, read(TIME_INDEX)?) else {
            return Ok(None);
        };
        let offsets = OffsetIndex::parse(&offsets, self.size);
        Ok(offsets
            .zip(TimeIndex::parse(&times, self.size))
            .filter(|(_, times)| times.last().is_some() || self.size == 0)
            .map(|(offsets, times)| Indexes {
                offsets,
                times,
                bytes_since_entry: 0,
            }))
    }

    fn rebuild_indexes<D: Disk<File = F>>(&mut self, disk: &D) -> Result<Indexes, DiskError> {
        let interval = LogOptions::default().index_interval_bytes;
        let (base_offset, size) = (self.base_offset, self.size);
        let path = self.path.clone();
        let mut indexes = Indexes::default();
        walk(
            self.file(disk)?,
            &path,
            (0, base_offset),
            size,
            |position, header| {
                let delta = (header.base_offset - base_offset) as u32;
                indexes.add(header, delta, position, interval);
                ControlFlow::Continue(())
            },
        )?;
        Ok(indexes)
    }

    /// Reads the indexes of the last segment after a clean shutdown; the scan that finds the end
    /// may begin at the returned position and its offset. Up to there `size` is set.
    pub(super) fn resume<D: Disk<File = F>>(
        &mut self,
        disk: &D,
    ) -> Result<(u64, Offset), DiskError> {
        let indexes = self.read_indexes(disk)?.unwrap_or_default();
        let path = self.path.clone();
        let first = read_range(self.file(disk)?, 0, BATCH_HEADER_BYTES);
        let first = BatchHeader::parse(&first.during(Operation::Read, &path)?);
        self.first_timestamp = first.ok().map(|header| header.max_timestamp);
        let delta = self.resume_from(indexes);
        Ok((self.size, self.base_offset + i64::from(delta)))
    }

    /// Forgets all that was noted; a scan from the start notes it anew.
    pub(super) fn restart(&mut self) {
        self.first_timestamp = None;
        self.resume_from(Indexes::default());
    }

    /// Returns the offset of the batch that begins at the new size, counted from the first.
    fn resume_from(&mut self, mut indexes: Indexes) -> u32 {
        let last = indexes.offsets.pop();
        let delta = last.map_or(0, |entry| entry.delta);
        indexes.times.truncate(delta);
        indexes.bytes_since_entry = u64::MAX / 2;
        self.size = last.map_or(0, |entry| u64::from(entry.position));
        if self.size == 0 {
            indexes = Indexes::default();
        }
        self.indexes = Some(indexes);
        delta
    }

    /// Cuts the segment at `position`, where the batch with `base_offset` begins, durably.
    pub(super) fn truncate<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        position: u64,
        base_offset: Offset,
    ) -> Result<(), DiskError> {
        self.remove_indexes(disk)?;
        self.cut_file(disk, position)?;
        self.trim(disk, base_offset)
    }

    /// Takes back what was noted, and perhaps written, since the file had `size` bytes and its next
    /// batch was to be `base_offset`.
    pub(super) fn undo<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        size: u64,
        base_offset: Offset,
    ) -> Result<(), DiskError> {
        self.changed();
        let cut = self.file(disk)?.set_length(size);
        cut.during(Operation::SetLength, &self.path)?;
        self.size = size;
        self.trim(disk, base_offset)
    }

    /// Makes the indexes in memory those of the first `size` bytes.
    fn trim<D: Disk<File = F>>(&mut self, disk: &D, end: Offset) -> Result<(), DiskError> {
        if self.size == 0 {
            self.restart();
            return Ok(());
        }
        let Some(mut indexes) = self.indexes.take() else {
            return self.indexes(disk).map(|_| ());
        };
        let (own_base, size) = (self.base_offset, self.size);
        let delta = (end - own_base) as u32;
        indexes.offsets.truncate(delta);
        indexes.times.truncate(delta);
        let noted = indexes.times.last().map_or(0, |entry| entry.delta);
        let from = indexes.offsets.floor(noted).map_or((0, own_base), |entry| {
            let begins = own_base + i64::from(entry.delta);
            (u64::from(entry.position), begins)
        });
        let path = self.path.clone();
        walk(self.file(disk)?, &path, from, size, |_, header| {
            indexes.times.note(TimeEntry {
                timestamp: header.max_timestamp,
                delta: (header.base_offset - own_base) as u32,
            });
            ControlFlow::Continue(())
        })?;
        self.indexes = Some(indexes);
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Indexes {
    offsets: OffsetIndex,
    times: TimeIndex,
    bytes_since_entry: u64,
}

impl Indexes {
    fn add(&mut self, header: &BatchHeader, delta: u32, position: u64, interval: u64) {
        self.times.note(TimeEntry {
            timestamp: header.max_timestamp,
            delta,
        });
        if self.bytes_since_entry >= interval
            && let Ok(position) = u32::try_from(position)
        {
            self.offsets.push(OffsetEntry { delta, position });
            self.times.mark();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size_bytes() as u64;
    }
}

/// The batch that holds `offset`, from where a batch begins on.
fn find(
    file: &impl DiskFile,
    path: &Path,
    from: (u64, Offset),
    size: u64,
    offset: Offset,
) -> Result<Option<(u64, BatchHeader)>, DiskError> {
    let mut found = None;
    walk(file, path, from, size, |position, header| {
        if header.last_offset() < offset {
            return ControlFlow::Continue(());
        }
        found = Some((position, *header));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Visits the batches from a position and its offset on. What does not continue the log is damage:
/// the base offset lies outside the checksum.
pub(super) fn walk(
    file: &impl DiskFile,
    path: &Path,
    (position, mut due): (u64, Offset),
    size: u64,
    mut visit: impl FnMut(u64, &BatchHeader) -> ControlFlow<()>,
) -> Result<Offset, DiskError> {
    let damaged = |position, offset, message| DiskError::Damaged {
        path: path.to_owned(),
        position,
        offset,
        message,
    };
    let mut scanner = Scanner::new(file, Depth::Headers, position, size);
    loop {
        match scanner.step().during(Operation::Read, path)? {
            Step::Batch { position, header } if header.base_offset == due => {
                due = header.next_offset();
                if visit(position, &header).is_break() {
                    return Ok(due);
                }
            }
            Step::Batch { position, header } => {
                let found = header.base_offset;
                let message = format!("the batch there has base offset {found}");
                return Err(damaged(position, due, message));
            }
            Step::End => return Ok(due),
            Step::Damaged { position, message } => return Err(damaged(position, due, message)),
        }
    }
}

fn write_hint(disk: &impl Disk, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut file = disk.create(path).during(Operation::Open, path)?;
    file.write_at(content, 0).during(Operation::Write, path)
}

pub(super) fn remove_if_there(disk: &impl Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).during(Operation::Remove, path)
        }
        _ => Ok(()),
    }
}

/// Adds the checksum to the entries of an index.
pub(super) fn seal_index(mut entries: Vec<u8>, segment_bytes: u64) -> Vec<u8> {
    let crc = index_crc(&entries, segment_bytes);
    entries.extend_from_slice(&crc.to_be_bytes());
    entries
}

/// The entries of an index file whose checksum is right.
pub(super) fn unseal_index(file: &[u8], segment_bytes: u64) -> Option<&[u8]> {
    let (entries, crc) = file.split_last_chunk::<4>()?;
    (u32::from_be_bytes(*crc) == index_crc(entries, segment_bytes)).then_some(entries)
}

fn index_crc(entries: &[u8], segment_bytes: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(entries), &segment_bytes.to_be_bytes())
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
