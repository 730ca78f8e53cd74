//! Reads the partition logs of a log directory without a broker.
//!
//! In: a log directory that nobody writes to. Out: for each partition its whole batches, in order,
//! and where that ends before its files do.
//! Invariant: it trusts no index and no checkpoint; a batch counts only if its checksum is right
//! and it begins at or after the end of the one before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use broker::record::{BATCH_HEADER_BYTES, BatchHeader, check_crc};

/// One batch: enough to tell it from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredBatch {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset after its last record.
    pub next_offset: i64,
    /// Its checksum, which covers the records.
    pub crc: u32,
    /// The epoch of the leader that appended it, which the checksum does not cover.
    pub leader_epoch: i32,
}

/// The log of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredLog {
    /// Its whole batches up to the first damage.
    pub batches: Vec<StoredBatch>,
    /// What is wrong behind them, with the file.
    pub damage: Option<String>,
}

impl StoredLog {
    /// The batches of this log that `other` has not, and that are not before its beginning.
    pub fn missing_from(&self, other: &Self) -> Vec<StoredBatch> {
        let missing = |batch: &&StoredBatch| other.batches.binary_search(batch).is_err();
        self.batches.iter().filter(missing).copied().collect()
    }
}

/// The logs of the log directories `directories`, by partition as `topic-0`.
pub fn read_logs<'a>(
    directories: impl IntoIterator<Item = &'a Path>,
) -> io::Result<BTreeMap<String, StoredLog>> {
    let mut logs = BTreeMap::new();
    for directory in directories {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && is_partition(&name) {
                logs.insert(name, read_log(&entry.path())?);
            }
        }
    }
    Ok(logs)
}

/// Whether `name` is `topic-N`; directories that are about to be deleted have other endings.
fn is_partition(name: &str) -> bool {
    let index = name.rsplit_once('-').map(|(_, index)| index);
    index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read_log(directory: &Path) -> io::Result<StoredLog> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let base = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.extend(base.map(|base: i64| (base, path)));
        }
    }
    segments.sort();
    let mut log = StoredLog::default();
    for (base, path) in segments {
        let bytes = fs::read(&path)?;
        let name = path
            .strip_prefix(directory)
            .unwrap_or(&path)
            .display()
            .to_string();
        if log
            .batches
            .last()
            .is_some_and(|last| last.next_offset > base)
        {
            log.damage = Some(format!("{name} begins before the end of the one before"));
        } else if let Err(problem) = read_segment(base, &bytes, &mut log.batches) {
            log.damage = Some(format!("{name}: {problem}"));
        }
        if log.damage.is_some() {
            break;
        }
    }
    Ok(log)
}

fn read_segment(base: i64, bytes: &[u8], batches: &mut Vec<StoredBatch>) -> Result<(), String> {
    let mut position = 0;
    let mut end = base;
    while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
        let problem = |what: String| format!("byte {position}: {what}");
        let head = rest.get(..BATCH_HEADER_BYTES).unwrap_or(rest);
        let header = BatchHeader::parse(head).map_err(|error| problem(error.to_string()))?;
        let size = header.size_bytes();
        let batch = rest.get(..size).ok_or_else(|| {
            problem(format!(
                "the batch has {size} bytes, the file {}",
                rest.len()
            ))
        })?;
        check_crc(batch).map_err(|error| problem(error.to_string()))?;
        if header.base_offset < end || header.next_offset() <= header.base_offset {
            return Err(problem(format!(
                "offsets {} to {} do not follow {end}",
                header.base_offset,
                header.next_offset()
            )));
        }
        batches.push(StoredBatch {
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            crc: header.crc,
            leader_epoch: header.partition_leader_epoch,
        });
        end = header.next_offset();
        position += size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::record::{BatchBuilder, Compression};

    fn batch(base: i64, value: &str) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None).with_position(base, 3);
        builder.append(7, None, Some(value.as_bytes()), &[]);
        builder.build().to_vec()
    }

    fn log_of(segments: &[(i64, Vec<u8>)]) -> StoredLog {
        let folder = tempfile::tempdir().unwrap();
        let partition = folder.path().join("a-b-1");
        for name in ["a-b-1", "a-b-1-delete", "lost+found"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (base, bytes) in segments {
            fs::write(partition.join(format!("{base:020}.log")), bytes).unwrap();
        }
        let mut logs = read_logs([folder.path()]).unwrap();
        assert_eq!(logs.len(), 1);
        logs.remove("a-b-1").unwrap()
    }

    #[test]
    fn whole_batches_are_read_over_segments() {
        let first = [batch(0, "a"), batch(1, "b")].concat();
        let log = log_of(&[(0, first), (5, batch(5, "c"))]);
        let offsets: Vec<i64> = log.batches.iter().map(|batch| batch.base_offset).collect();
        assert_eq!((offsets, log.damage), (vec![0, 1, 5], None));
    }

    #[test]
    fn damage_ends_the_log() {
        let good = || [batch(0, "a"), batch(1, "b"), batch(2, "c")];
        let middle = batch(0, "a").len();
        let mut flipped = good().concat();
        flipped[middle + BATCH_HEADER_BYTES + 3] ^= 1;
        let torn = good().concat()[..middle * 2 - 1].to_vec();
        let mut hole = good().concat();
        hole[middle..middle * 2].fill(0);
        let again = [batch(0, "a"), batch(0, "b")].concat();
        for bytes in [flipped, torn, hole, again] {
            let log = log_of(&[(0, bytes), (3, batch(3, "d"))]);
            assert_eq!(log.batches.len(), 1);
            assert!(
                log.damage
                    .is_some_and(|damage| damage.contains(&format!("byte {middle}")))
            );
        }
    }

    #[test]
    fn what_is_missing_is_told_by_content() {
        let log = log_of(&[(0, [batch(0, "a"), batch(1, "b")].concat())]);
        let other = log_of(&[(0, [batch(0, "a"), batch(1, "x"), batch(2, "b")].concat())]);
        assert_eq!(log.missing_from(&log), vec![]);
        assert_eq!(log.missing_from(&other), log.batches[1..]);
    }
}
