//! What the logs of the nodes hold at the end of a run.
//!
//! In: the backing folders of the log directories, which nobody writes to any more. Out: for each
//! node and partition asked for, its offsets and the values of its records.
//! Invariant: only the backing folders are read, never a mount; it trusts no index and no
//! checkpoint; a batch counts only if its checksum is right; what is not read is named, and then
//! nothing is said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use broker::record::{Batches, DECOMPRESSED_BYTES_MAX};
use bytes::Bytes;

use crate::plan::Plan;
use crate::run::store::Store;
use crate::worker::payload;

/// Bytes of segments that are read for one run, at most.
const BYTES_MAX: u64 = 256 << 20;

/// What one node has of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The offsets of its records with their values; nothing for a value that is not ours.
    pub(super) records: BTreeMap<i64, Option<u64>>,
    values: BTreeSet<u64>,
}

impl Held {
    /// What has these records.
    #[cfg(test)]
    pub(super) fn of(records: impl IntoIterator<Item = (i64, Option<u64>)>) -> Self {
        let records: BTreeMap<i64, Option<u64>> = records.into_iter().collect();
        let values = records.values().flatten().copied().collect();
        Self { records, values }
    }

    /// Whether it has the record: by its value, or without one by its offset.
    pub(super) fn has(&self, offset: i64, value: Option<u64>) -> bool {
        match value {
            Some(value) => self.values.contains(&value),
            None => self.records.contains_key(&offset),
        }
    }
}

/// What each node has of each partition asked for; nothing where its files are gone.
pub(super) type AllHeld = BTreeMap<(i32, String), Held>;

/// Reads the partitions `wanted` of every node.
pub(super) fn read(
    store: &Store,
    plan: &Plan,
    wanted: &BTreeSet<String>,
    problems: &mut Vec<String>,
) -> AllHeld {
    let mut held = AllHeld::new();
    let mut left = BYTES_MAX;
    for node in 1..=plan.cluster.nodes as i32 {
        let disks = plan.cluster.disks_of(node).map(|disk| store.backing(disk));
        let disks: Vec<PathBuf> = disks.collect();
        for partition in wanted {
            let mut found = Held::default();
            let folders = disks.iter().map(|disk| disk.join(partition));
            let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
            // Of a node whose directories are there, a missing partition is an empty one.
            if !disks.iter().any(|disk| disk.is_dir()) {
                continue;
            }
            let read = folders
                .iter()
                .try_for_each(|folder| read_log(folder, &mut found, &mut left));
            match read {
                Ok(()) => {
                    held.insert((node, partition.clone()), found);
                }
                Err(problem) => problems.push(format!("{partition} of node {node}: {problem}")),
            }
        }
    }
    held
}

fn read_log(folder: &Path, held: &mut Held, left: &mut u64) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    segments.sort();
    for path in segments {
        let size = fs::metadata(&path)
            .map_err(|error| error.to_string())?
            .len();
        *left = left.checked_sub(size).ok_or_else(|| {
            format!("the segments have more than {BYTES_MAX} bytes; the rest was not read")
        })?;
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        if !read_segment(bytes.into(), held) {
            // What lies behind damage is not the log's any more.
            break;
        }
    }
    Ok(())
}

/// Reads the whole batches of a segment; whether that is all of it.
fn read_segment(bytes: Bytes, held: &mut Held) -> bool {
    for batch in Batches::new(bytes) {
        let Ok(batch) = batch else { return false };
        if batch.check_crc().is_err() {
            return false;
        }
        let Ok(records) = batch.records(DECOMPRESSED_BYTES_MAX) else {
            return false;
        };
        for record in records {
            let Ok(record) = record else { return false };
            let value = record.value.as_deref();
            let value = value.and_then(|value| payload::decode(value).ok());
            held.records.insert(record.offset, value);
            held.values.extend(value);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::profile;
    use broker::record::{BatchBuilder, Compression};

    fn batch(base: i64, value: u64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::Lz4).with_position(base, 3);
        builder.append(7, None, Some(&payload::encode(value, 40)), &[]);
        builder.build().to_vec()
    }

    #[test]
    fn records_are_found_by_value_over_segments_up_to_the_first_damage() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let plan = Plan::draw(1, profile::find("none").unwrap());
        let write = |node: i32, segments: &[(i64, Vec<u8>)]| {
            let disk = plan.cluster.disks_of(node).next().unwrap();
            let log = store.backing(disk).join("t-1");
            fs::create_dir_all(&log).unwrap();
            for (base, bytes) in segments {
                fs::write(log.join(format!("{base:020}.log")), bytes).unwrap();
            }
        };
        let mut damaged = batch(2, 30);
        *damaged.last_mut().unwrap() ^= 1;
        write(
            1,
            &[
                (0, [batch(0, 10), batch(1, 20)].concat()),
                (2, batch(2, 30)),
            ],
        );
        write(
            2,
            &[(0, [batch(0, 10), damaged].concat()), (3, batch(3, 40))],
        );
        let mut problems = Vec::new();
        let wanted = BTreeSet::from(["t-1".to_owned()]);
        let held = read(&store, &plan, &wanted, &mut problems);
        let has = |node: i32, offset, value| {
            let held = held.get(&(node, "t-1".to_owned()))?;
            Some(held.has(offset, value))
        };
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(has(1, 2, Some(30)), Some(true));
        assert_eq!(
            has(1, 9, Some(20)),
            Some(true),
            "by its value, wherever it is"
        );
        assert_eq!(
            (has(2, 2, Some(30)), has(2, 2, None)),
            (Some(false), Some(false))
        );
        assert_eq!(has(2, 3, Some(40)), Some(false), "behind the damage");
        assert_eq!(has(3, 0, Some(10)), None, "its files are gone");
    }
}
