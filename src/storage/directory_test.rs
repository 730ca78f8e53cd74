//! A log directory in memory: requests, restarts, crashes, damage, faults.

use std::io;
use std::time::Duration;

use super::*;
use crate::id::BrokerId;
use crate::record::{BatchBuilder, Batches, Compression, ProducerFields};
use crate::storage::disk::{DiskFile, Operation};
use crate::storage::error::OpenError;
use crate::storage::identity::DirectoryIdentity;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::request::{DiskReply, DiskRequest, LogOptions, Retention, TimestampOffset};

pub(super) type Directory = LogDirectory<MemoryDisk>;

const TOPIC: TopicId = TopicId(Uuid::from_u128(7));
const SMALL: LogOptions = LogOptions {
    segment_bytes: 1000,
    segment_age: Duration::from_hours(1),
    index_interval_bytes: 200,
    index_bytes: 1000,
};

pub(super) fn log() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub(super) fn try_open(disk: &MemoryDisk) -> Result<(Directory, RecoveredDirectory), OpenError> {
    let identity = DirectoryIdentity {
        cluster_id: "c".to_owned(),
        node_id: BrokerId(1),
        new_directory_id: Uuid::from_u128(5),
    };
    LogDirectory::open(disk.clone(), PathBuf::from("data"), &identity)
}

pub(super) fn open(disk: &MemoryDisk) -> (Directory, RecoveredDirectory) {
    let opened = try_open(disk).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    opened
}

/// A fresh disk with one log of small segments.
pub(super) fn fresh() -> (MemoryDisk, Directory) {
    let disk = MemoryDisk::default();
    let (mut directory, recovered) = open(&disk);
    assert!(recovered.logs.is_empty());
    create(&mut directory);
    (disk, directory)
}

pub(super) fn create_request() -> DiskRequest {
    DiskRequest::CreateLog {
        log: log(),
        topic_id: TOPIC,
        options: SMALL,
    }
}

pub(super) fn create(directory: &mut Directory) -> LogState {
    match directory.execute(create_request()) {
        Ok(DiskReply::Created { state }) => state,
        other => panic!("{other:?}"),
    }
}

/// A batch of two records of 20 bytes; offset, sequence and timestamp are all `base`.
pub(super) fn batch(base: Offset, epoch: i32) -> Bytes {
    let producer = ProducerFields {
        id: 9,
        epoch: 0,
        base_sequence: base as i32,
    };
    let mut builder = BatchBuilder::new(Compression::None)
        .with_position(base, epoch)
        .with_producer(producer);
    builder.append(1000 * base, None, Some(&[base as u8; 20]), &[]);
    builder.append(1000 * base + 1, None, Some(&[base as u8; 20]), &[]);
    builder.build()
}

pub(super) fn append(directory: &mut Directory, batches: &Bytes) -> Offset {
    let request = DiskRequest::Append {
        log: log(),
        batches: batches.clone(),
    };
    match directory.execute(request) {
        Ok(DiskReply::Appended { log_end_offset }) => log_end_offset,
        other => panic!("{other:?}"),
    }
}

/// Appends batches of two records from `from` to `to`.
pub(super) fn fill(directory: &mut Directory, from: Offset, to: Offset, epoch: i32) {
    for base in (from..to).step_by(2) {
        append(directory, &batch(base, epoch));
    }
}

pub(super) fn flush(directory: &mut Directory) -> Offset {
    match directory.execute(DiskRequest::Flush { log: log() }) {
        Ok(DiskReply::Flushed { upto }) => upto,
        other => panic!("{other:?}"),
    }
}

pub(super) fn checkpoint(directory: &mut Directory, high_watermark: Offset) {
    let high_watermarks = BTreeMap::from([(log(), high_watermark)]);
    let request = DiskRequest::CheckpointHighWatermarks { high_watermarks };
    assert_eq!(directory.execute(request), Ok(DiskReply::Done));
}

pub(super) fn read(
    directory: &mut Directory,
    start: Offset,
    end: Offset,
    max_bytes: usize,
) -> Vec<Offset> {
    let request = DiskRequest::Read {
        log: log(),
        start,
        end,
        max_bytes,
        minimum_one_batch: true,
    };
    match directory.execute(request) {
        Ok(DiskReply::Read { batches }) => Batches::new(batches)
            .map(|batch| batch.unwrap().header().base_offset)
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn truncate(directory: &mut Directory, to: Offset) -> LogState {
    match directory.execute(DiskRequest::Truncate { log: log(), to }) {
        Ok(DiskReply::Truncated { state }) => state,
        other => panic!("{other:?}"),
    }
}

fn lookup(directory: &mut Directory, timestamp: i64, end: Offset) -> Option<TimestampOffset> {
    let request = DiskRequest::LookupTimestamp {
        log: log(),
        timestamp,
        end,
    };
    match directory.execute(request) {
        Ok(DiskReply::Timestamp { found }) => found,
        other => panic!("{other:?}"),
    }
}

pub(super) fn close(directory: &mut Directory) {
    let request = DiskRequest::Close {
        broker_epoch: Some(3),
    };
    assert_eq!(directory.execute(request), Ok(DiskReply::Done));
}

pub(super) fn only_log(recovered: &RecoveredDirectory) -> &RecoveredLog {
    assert_eq!(recovered.logs.len(), 1);
    &recovered.logs[0]
}

pub(super) fn segments(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.list(Path::new("data/t-0")).unwrap();
    names
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect()
}

#[test]
fn what_is_appended_is_read_in_whole_batches() {
    let (_, mut directory) = fresh();
    fill(&mut directory, 0, 40, 1);
    for start in 0..40 {
        let found = read(&mut directory, start, 40, 1);
        assert_eq!(found, [start / 2 * 2], "offset {start}");
    }
    assert_eq!(read(&mut directory, 3, 8, 10_000), [2, 4, 6]);
    assert_eq!(read(&mut directory, 3, 7, 10_000), [2, 4]);
    assert_eq!(read(&mut directory, 40, 99, 10_000), [0; 0]);
    assert_eq!(read(&mut directory, 3, 3, 10_000), [0; 0]);
    let size = batch(0, 1).len();
    assert_eq!(read(&mut directory, 0, 40, 2 * size + 5), [0, 2]);
    let request = DiskRequest::Read {
        log: log(),
        start: 0,
        end: 40,
        max_bytes: size - 1,
        minimum_one_batch: false,
    };
    let nothing = DiskReply::Read {
        batches: Bytes::new(),
    };
    assert_eq!(directory.execute(request), Ok(nothing));
}

#[test]
fn offsets_outside_the_log_are_refused_without_harm() {
    let (_, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    for start in [-1, 5] {
        let request = DiskRequest::Read {
            log: log(),
            start,
            end: 9,
            max_bytes: 1,
            minimum_one_batch: true,
        };
        let error = directory.execute(request).unwrap_err();
        assert!(
            matches!(error, DiskError::OffsetOutOfRange { .. }),
            "{error}"
        );
    }
    assert_eq!(directory.offline_cause(), None);
}

#[test]
fn one_append_may_span_segments() {
    let (disk, mut directory) = fresh();
    let all: Vec<u8> = (0..20).flat_map(|i| batch(2 * i, 1)).collect();
    assert_eq!(append(&mut directory, &Bytes::from(all)), 40);
    assert!(segments(&disk).len() > 1);
    let mut found = Vec::new();
    while found.len() < 20 {
        let start = found.last().map_or(0, |last| last + 2);
        found.extend(read(&mut directory, start, 40, 10_000));
    }
    assert_eq!(found, (0..40).step_by(2).collect::<Vec<_>>());
}

#[test]
fn bytes_that_are_no_batches_are_refused_whole() {
    let (_, mut directory) = fresh();
    let whole = batch(0, 1);
    for length in [1, 60, whole.len() - 1] {
        let request = DiskRequest::Append {
            log: log(),
            batches: whole.slice(..length),
        };
        let error = directory.execute(request).unwrap_err();
        assert!(matches!(error, DiskError::InvalidBatch(_)), "{error}");
    }
    assert_eq!(append(&mut directory, &whole), 2);
}

#[test]
fn a_clean_restart_finds_everything() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 40, 1);
    fill(&mut directory, 40, 46, 2);
    let before = create(&mut directory);
    close(&mut directory);
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    assert!(recovered.was_clean);
    assert_eq!(recovered.previous_broker_epoch, Some(3));
    assert_eq!(only_log(&recovered).state, before);
    assert_eq!(only_log(&recovered).topic_id, TOPIC);
    let window = before.producers.get(9).unwrap().batches.len();
    assert_eq!(window, 5, "the whole duplicate window survives");
    for start in 0..46 {
        assert_eq!(read(&mut directory, start, 46, 1), [start / 2 * 2]);
    }
    fill(&mut directory, 46, 60, 2);
    assert_eq!(read(&mut directory, 50, 60, 1), [50]);
}

#[test]
fn a_crash_keeps_what_was_flushed() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 30, 1);
    assert_eq!(flush(&mut directory), 30);
    fill(&mut directory, 30, 50, 2);
    disk.crash();
    let (_, recovered) = open(&disk);
    assert!(!recovered.was_clean);
    let state = &only_log(&recovered).state;
    assert_eq!(state.log_end_offset, 30);
    assert_eq!(state.epochs.latest_epoch(), Some(1));
}

#[test]
fn a_torn_batch_is_cut_off() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    flush(&mut directory);
    fill(&mut directory, 4, 8, 1);
    let mut writes = 0;
    disk.crash_with(|bytes| {
        writes += usize::from(bytes > 0);
        if writes == 2 {
            Survival::Torn(70)
        } else {
            Survival::Kept
        }
    });
    let (mut directory, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).state.log_end_offset, 6);
    fill(&mut directory, 6, 12, 1);
    assert_eq!(read(&mut directory, 0, 12, 10_000), [0, 2, 4, 6, 8, 10]);
}

/// With the suffix, the directory of a deleted or stray log would have more than 255 bytes.
#[test]
fn a_log_with_the_longest_name_is_deleted_or_set_aside() {
    for partition in [0, 12] {
        let log = TopicPartition::new("n".repeat(249), partition);
        let path = PathBuf::from("data").join(log.to_string());
        let mut request = create_request();
        if let DiskRequest::CreateLog { log: created, .. } = &mut request {
            created.clone_from(&log);
        }
        let disk = MemoryDisk::default();
        let (mut directory, _) = open(&disk);
        directory.execute(request.clone()).unwrap();
        directory
            .execute(DiskRequest::Flush { log: log.clone() })
            .unwrap();
        let delete = DiskRequest::DeleteLog { log: log.clone() };
        assert_eq!(directory.execute(delete), Ok(DiskReply::Done));
        assert!(!disk.is_dir(&path));
        directory.execute(request).unwrap();
        directory.execute(DiskRequest::Flush { log }).unwrap();
        drop(directory);
        disk.remove_file(&path.join("partition.metadata")).unwrap();
        let (_, recovered) = open(&disk);
        assert!(recovered.logs.is_empty());
        assert!(!disk.is_dir(&path), "it is a stray");
    }
}

#[test]
fn a_log_that_was_never_flushed_is_set_aside_if_its_metadata_is_lost() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    disk.crash_with(|_| Survival::Torn(3));
    let (mut directory, recovered) = open(&disk);
    assert_eq!(recovered.logs, []);
    assert_eq!(create(&mut directory), LogState::default());
}

#[test]
fn recovery_truncates_at_the_first_bad_byte_and_drops_later_segments() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    let before = segments(&disk).len();
    assert!(before > 2);
    let path = Path::new("data/t-0").join(&segments(&disk)[1]);
    let base: Offset = segments(&disk)[1][..20].parse().unwrap();
    let size = batch(0, 1).len();
    disk.corrupt(&path, |content| content[2 * size + 80] ^= 1);
    let (mut directory, recovered) = open(&disk);
    let end = base + 4;
    let state = &only_log(&recovered).state;
    assert_eq!(state.log_end_offset, end);
    let last = state.producers.get(9).unwrap().batches.back().unwrap();
    assert_eq!(
        last.last_offset,
        end - 1,
        "the producers are those of what remains"
    );
    assert_eq!(segments(&disk).len(), 2);
    fill(&mut directory, end, 60, 2);
    for start in 0..60 {
        assert_eq!(read(&mut directory, start, 60, 1), [start / 2 * 2]);
    }
}

#[test]
fn kafka10471_a_crash_while_loading_is_unclean() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    close(&mut directory);
    disk.set_fault(|operation, path| {
        let reads_log = operation == Operation::Open && path.ends_with("partition.metadata");
        reads_log.then_some(io::ErrorKind::Other)
    });
    try_open(&disk).unwrap_err();
    disk.clear_fault();
    disk.crash();
    let (_, recovered) = open(&disk);
    assert!(!recovered.was_clean);
    assert_eq!(only_log(&recovered).state.log_end_offset, 4);
}

#[test]
fn truncation_inside_a_segment_rebuilds_epochs_and_producers() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 40, 1);
    fill(&mut directory, 40, 60, 2);
    flush(&mut directory);
    let state = truncate(&mut directory, 37);
    assert_eq!(state.log_end_offset, 36, "a batch that is cut goes whole");
    assert_eq!(state.epochs.latest_epoch(), Some(1));
    let bases: Vec<_> = state
        .producers
        .get(9)
        .unwrap()
        .batches
        .iter()
        .map(|b| b.base_offset)
        .collect();
    assert_eq!(bases, [26, 28, 30, 32, 34]);
    fill(&mut directory, 36, 70, 3);
    assert_eq!(lookup(&mut directory, 36_000, 70).unwrap().leader_epoch, 3);
    disk.crash();
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).state, state, "the cut is durable");
}

#[test]
fn truncation_lowers_what_recovery_may_trust() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 60);
    truncate(&mut directory, 10);
    fill(&mut directory, 10, 40, 2);
    let mut writes = 0;
    let size = batch(0, 1).len();
    disk.crash_with(|bytes| {
        writes += usize::from(bytes == size);
        if bytes == size && writes == 5 {
            Survival::Torn(99)
        } else {
            Survival::Kept
        }
    });
    let (_, recovered) = open(&disk);
    let found = only_log(&recovered);
    assert_eq!(found.state.log_end_offset, 18);
    assert_eq!(found.high_watermark, 10);
}

#[test]
fn a_restarted_log_begins_where_it_is_told() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    let request = DiskRequest::RestartAt {
        log: log(),
        offset: 1000,
    };
    let state = LogState::empty_at(1000);
    let reply = DiskReply::Truncated {
        state: state.clone(),
    };
    assert_eq!(directory.execute(request), Ok(reply));
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).state, state);
    fill(&mut directory, 1000, 1010, 5);
    assert_eq!(read(&mut directory, 1003, 1010, 1), [1002]);
}

#[test]
fn insane_index_files_are_rebuilt() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    close(&mut directory);
    let names = disk.list(Path::new("data/t-0")).unwrap();
    for name in names.iter().filter(|name| name.ends_with("index")) {
        disk.corrupt(&Path::new("data/t-0").join(name), |content| {
            content.fill(0xff);
        });
    }
    let (mut directory, _) = open(&disk);
    for start in 0..60 {
        assert_eq!(read(&mut directory, start, 60, 1), [start / 2 * 2]);
        let found = lookup(&mut directory, 1000 * start, 60).map(|found| found.offset);
        let expected = (start + 1) / 2 * 2;
        assert_eq!(
            found,
            Some(expected).filter(|offset| *offset < 60),
            "time {start}"
        );
    }
}

#[test]
fn timestamps_are_found_below_the_bound_only() {
    let (_, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    let found = lookup(&mut directory, 20_001, 60);
    let expected = TimestampOffset {
        timestamp: 20_001,
        offset: 21,
        leader_epoch: 1,
    };
    assert_eq!(found, Some(expected));
    assert_eq!(lookup(&mut directory, 20_002, 60).unwrap().offset, 22);
    assert_eq!(lookup(&mut directory, 20_001, 20), None);
    assert_eq!(lookup(&mut directory, 99_000, 60), None);
    assert_eq!(lookup(&mut directory, -5, 60).unwrap().offset, 0);
}

#[test]
fn a_segment_is_closed_by_age() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    assert_eq!(segments(&disk).len(), 1);
    let mut late = BatchBuilder::new(Compression::Zstd).with_position(4, 1);
    late.append(3_600_002, None, None, &[]);
    append(&mut directory, &late.build());
    assert_eq!(segments(&disk).len(), 2);
}

fn retain(directory: &mut Directory, retention: Retention, high_watermark: Offset) -> Offset {
    let request = DiskRequest::Retain {
        log: log(),
        retention,
        high_watermark,
        wall_millis: 100_000,
    };
    match directory.execute(request) {
        Ok(DiskReply::Retained { log_start_offset }) => log_start_offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn retention_stops_at_the_high_watermark() {
    let keep = Retention {
        age: None,
        bytes: None,
        producer_expiration: Duration::from_hours(24),
    };
    let by_size = Retention {
        bytes: Some(0),
        ..keep
    };
    let by_age = Retention {
        age: Some(Duration::from_mins(1)),
        ..keep
    };
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    let second: Offset = segments(&disk)[1][..20].parse().unwrap();
    assert_eq!(retain(&mut directory, keep, 60), 0);
    assert_eq!(retain(&mut directory, by_size, second - 1), 0);
    assert_eq!(retain(&mut directory, by_size, second), second);
    let by_age_start = retain(&mut directory, by_age, 60);
    assert!((32..=42).contains(&by_age_start), "{by_age_start}");
    let old = Retention {
        age: Some(Duration::ZERO),
        ..keep
    };
    assert_eq!(
        retain(&mut directory, old, 60),
        60,
        "also the active segment is emptied"
    );
    assert_eq!(read(&mut directory, 60, 60, 1), [0; 0]);
    fill(&mut directory, 60, 62, 1);
    close(&mut directory);
    let (_, recovered) = open(&disk);
    let state = &only_log(&recovered).state;
    assert_eq!((state.log_start_offset, state.log_end_offset), (60, 62));
    assert!(state.producers.get(9).is_some());
}

#[test]
fn the_log_start_moves_inside_a_segment() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    let request = DiskRequest::AdvanceLogStart { log: log(), to: 33 };
    let reply = DiskReply::Retained {
        log_start_offset: 33,
    };
    assert_eq!(directory.execute(request), Ok(reply));
    assert_eq!(read(&mut directory, 33, 60, 1), [32]);
    close(&mut directory);
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).state.log_start_offset, 33);
}

#[test]
fn a_recreated_topic_inherits_nothing() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 60);
    let recreate = DiskRequest::CreateLog {
        log: log(),
        topic_id: TopicId(Uuid::from_u128(8)),
        options: SMALL,
    };
    let error = directory.execute(recreate.clone()).unwrap_err();
    assert!(matches!(error, DiskError::OtherTopicId { .. }), "{error}");
    let delete = DiskRequest::DeleteLog { log: log() };
    assert_eq!(directory.execute(delete.clone()), Ok(DiskReply::Done));
    assert_eq!(directory.execute(delete), Ok(DiskReply::Done));
    directory.execute(recreate).unwrap();
    fill(&mut directory, 0, 20, 4);
    flush(&mut directory);
    disk.crash();
    let (_, recovered) = open(&disk);
    let found = only_log(&recovered);
    assert_eq!(found.topic_id, TopicId(Uuid::from_u128(8)));
    assert_eq!(found.state.log_end_offset, 20);
    assert_eq!(found.high_watermark, 0);
}

#[test]
fn the_high_watermark_stays_within_the_log() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 10, 1);
    flush(&mut directory);
    fill(&mut directory, 10, 20, 1);
    let high_watermarks = BTreeMap::from([(log(), 15), (TopicPartition::new("gone", 0), 3)]);
    let request = DiskRequest::CheckpointHighWatermarks { high_watermarks };
    directory.execute(request).unwrap();
    disk.crash();
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).high_watermark, 10);
}

#[test]
fn the_first_failure_takes_the_directory_offline_for_good() {
    for failing in [Operation::Write, Operation::Sync, Operation::SyncDirectory] {
        let (disk, mut directory) = fresh();
        disk.set_fault(move |operation, _| (operation == failing).then_some(io::ErrorKind::Other));
        let append = DiskRequest::Append {
            log: log(),
            batches: batch(0, 1),
        };
        let flush = DiskRequest::Flush { log: log() };
        let first = directory
            .execute(append)
            .and_then(|_| directory.execute(flush.clone()));
        assert!(matches!(first, Err(DiskError::Io { .. })), "{first:?}");
        disk.clear_fault();
        let syncs = disk.sync_count();
        let second = directory.execute(flush).unwrap_err();
        assert!(matches!(second, DiskError::Offline { .. }), "{second}");
        assert_eq!(disk.sync_count(), syncs, "a failed sync is never repeated");
        assert!(directory.offline_cause().is_some());
    }
}

#[test]
fn a_flush_with_nothing_new_costs_nothing() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    flush(&mut directory);
    let syncs = disk.sync_count();
    assert_eq!(flush(&mut directory), 4);
    assert_eq!(disk.sync_count(), syncs);
    fill(&mut directory, 4, 6, 1);
    flush(&mut directory);
    assert_eq!(
        disk.sync_count(),
        syncs + 1,
        "an append costs one sync of one file"
    );
}

#[test]
fn the_metadata_log_is_read_whole() {
    let disk = MemoryDisk::default();
    let (mut directory, _) = open(&disk);
    let metadata = crate::storage::metadata_partition();
    let create = DiskRequest::CreateLog {
        log: metadata.clone(),
        topic_id: crate::storage::METADATA_TOPIC_ID,
        options: SMALL,
    };
    directory.execute(create).unwrap();
    for base in (0..60).step_by(2) {
        let request = DiskRequest::Append {
            log: metadata.clone(),
            batches: batch(base, 1),
        };
        directory.execute(request).unwrap();
    }
    directory
        .execute(DiskRequest::Flush { log: metadata })
        .unwrap();
    disk.crash();
    let (_, recovered) = open(&disk);
    let bases = recovered.metadata_batches.iter();
    let bases: Vec<_> = bases.map(|batch| batch.header().base_offset).collect();
    assert_eq!(bases, (0..60).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_file_cut_under_us_is_damage_of_that_log_only() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    let path = Path::new("data/t-0").join(&segments(&disk)[0]);
    disk.open(&path).unwrap().set_length(70).unwrap();
    let request = DiskRequest::Read {
        log: log(),
        start: 2,
        end: 4,
        max_bytes: 100,
        minimum_one_batch: true,
    };
    let error = directory.execute(request).unwrap_err();
    assert!(matches!(error, DiskError::DamagedLog(_)), "{error}");
    assert_eq!(directory.offline_cause(), None);
}
