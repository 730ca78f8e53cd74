//! The loss of each file of a log directory: loud or harmless, never silently another log.
//!
//! Each file is deleted, rolled back to an earlier copy, filled with garbage, or has one bit
//! flipped, after a clean shutdown and after a crash. What the next start then finds is compared
//! with what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::damage_tests::try_read;
use super::tests::{Directory, batch, checkpoint, close, create, fill, flush, log, open, try_open};
use super::{RecoveredDirectory, RecoveredLog};
use crate::id::{BrokerId, TopicPartition};
use crate::offset::Offset;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::error::OpenError;
use crate::storage::flushed_note::FLUSHED;
use crate::storage::memory_disk::MemoryDisk;
use crate::storage::request::{DiskReply, DiskRequest, LogOptions};
use crate::storage::{METADATA_TOPIC_ID, QuorumElection, SnapshotId, metadata_partition};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Deleted,
    RolledBack,
    Garbage,
    Flipped,
}

const ALL: [Loss; 4] = [
    Loss::Deleted,
    Loss::RolledBack,
    Loss::Garbage,
    Loss::Flipped,
];

/// What becomes of a loss, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is there.
    Harmless,
    /// Everything is there, and the shutdown counts as unclean: the broker leaves every ISR.
    Distrusted,
    /// The log says that it is damaged, at the start or when it is read.
    Damaged,
    /// The node does not start, and says why.
    Refused,
}

use Outcome::{Damaged, Distrusted, Harmless, Refused};

/// Everything that a directory holds, as its next start must find it.
struct Whole {
    log: RecoveredLog,
    records: BTreeMap<Offset, Bytes>,
    metadata: Vec<Offset>,
    election: QuorumElection,
    snapshot: SnapshotId,
}

fn ask(directory: &mut Directory, request: DiskRequest) -> DiskReply {
    directory.execute(request).unwrap()
}

fn append_metadata(directory: &mut Directory, base: Offset, epoch: i32) {
    let election = QuorumElection {
        epoch,
        voted_for: Some(BrokerId(epoch)),
    };
    ask(directory, DiskRequest::WriteElection { election });
    let (log, batches) = (metadata_partition(), batch(base, epoch));
    let append = DiskRequest::Append {
        log: log.clone(),
        batches,
    };
    ask(directory, append);
    ask(directory, DiskRequest::Flush { log });
    let id = SnapshotId {
        end_offset: base + 2,
        epoch,
    };
    let bytes = Bytes::from(vec![epoch as u8; 40]);
    ask(directory, DiskRequest::WriteSnapshot { id, bytes });
}

/// A directory that was closed once (the earlier copy), then grew; and what it holds.
fn grown(is_clean: bool) -> (MemoryDisk, MemoryDisk, Whole) {
    let disk = MemoryDisk::default();
    let (mut directory, _) = open(&disk);
    create(&mut directory);
    let metadata = DiskRequest::CreateLog {
        log: metadata_partition(),
        topic_id: METADATA_TOPIC_ID,
        options: LogOptions::default(),
    };
    ask(&mut directory, metadata);
    append_metadata(&mut directory, 0, 1);
    fill(&mut directory, 0, 36, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 30);
    ask(
        &mut directory,
        DiskRequest::Close {
            broker_epoch: Some(1),
        },
    );
    let earlier = disk.deep_copy();
    let (mut directory, _) = open(&disk);
    create(&mut directory);
    append_metadata(&mut directory, 2, 2);
    fill(&mut directory, 36, 60, 2);
    ask(
        &mut directory,
        DiskRequest::AdvanceLogStart { log: log(), to: 5 },
    );
    flush(&mut directory);
    checkpoint(&mut directory, 60);
    ask(&mut directory, DiskRequest::NoteFlushed);
    // Nothing syncs it; here it is to be there after the crash.
    let note = disk.open(&Path::new("data").join(FLUSHED));
    note.unwrap().sync().unwrap();
    disk.sync_dir(Path::new("data")).unwrap();
    if is_clean {
        close(&mut directory);
    }
    disk.crash();
    let (mut directory, recovered) = open(&disk.deep_copy());
    let whole = Whole {
        log: of(&recovered, &log()).unwrap().clone(),
        records: records(&mut directory).unwrap(),
        metadata: metadata_of(&recovered),
        election: recovered.election,
        snapshot: recovered.snapshot.unwrap().0,
    };
    assert_eq!(whole.log.state.log_end_offset, 60);
    (disk, earlier, whole)
}

fn of<'a>(recovered: &'a RecoveredDirectory, name: &TopicPartition) -> Option<&'a RecoveredLog> {
    let mut logs = recovered.logs.iter();
    logs.find(|log| log.topic_partition == *name)
}

fn metadata_of(recovered: &RecoveredDirectory) -> Vec<Offset> {
    let batches = recovered.metadata_batches.iter();
    batches.map(|batch| batch.header().base_offset).collect()
}

/// Every batch of the log, or `None` if one of them is damaged.
fn records(directory: &mut Directory) -> Option<BTreeMap<Offset, Bytes>> {
    let mut found = BTreeMap::new();
    let start = create(directory).log_start_offset;
    for offset in start..60 {
        match try_read(directory, offset) {
            Ok(DiskReply::Read { batches }) => _ = found.insert(offset, batches),
            Err(error) if error.is_damage() => return None,
            other => panic!("offset {offset}: {other:?}"),
        }
    }
    Some(found)
}

fn inflict(disk: &MemoryDisk, earlier: &MemoryDisk, path: &Path, loss: Loss, bit: usize) {
    let parent = path.parent().unwrap();
    let old = earlier.open(path).map(|file| {
        let mut content = vec![0; file.length().unwrap() as usize];
        file.read_at(&mut content, 0).unwrap();
        content
    });
    match (loss, old) {
        (Loss::RolledBack, Ok(old)) => disk.corrupt(path, |content| *content = old),
        (Loss::Deleted | Loss::RolledBack, _) => {
            disk.remove_file(path).unwrap();
            disk.sync_dir(parent).unwrap();
        }
        (Loss::Garbage, _) => disk.corrupt(path, |content| content.fill(0xa5)),
        (Loss::Flipped, _) => disk.corrupt(path, |content| {
            if let Some(byte) = content.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }),
    }
}

/// What the next start makes of it. Anything else than the whole is an outcome that says so.
fn outcome(disk: &MemoryDisk, whole: &Whole, is_clean: bool) -> Outcome {
    let (mut directory, recovered) = match try_open(disk) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { .. }) => return Refused,
        Err(error) => panic!("{error}"),
    };
    let last_epoch = recovered.metadata_batches.last();
    let last_epoch = last_epoch.map_or(0, |batch| batch.header().partition_leader_epoch);
    if recovered.election.epoch < last_epoch {
        // `quorum::recovery` refuses that; here only the file and the log are seen.
        return Refused;
    }
    assert_eq!(recovered.election, whole.election);
    assert_eq!(metadata_of(&recovered), whole.metadata);
    let (snapshot, _) = recovered.snapshot.clone().unwrap_or_default();
    let log_start = whole.metadata.first().copied().unwrap_or(0);
    assert!(snapshot == whole.snapshot || snapshot.end_offset >= log_start);
    let found = of(&recovered, &log()).expect("the log is gone without a word");
    if found.damage.is_some() {
        return Damaged;
    }
    let (state, expected) = (&found.state, &whole.log.state);
    assert_eq!(found.topic_id, whole.log.topic_id);
    assert_eq!(state.log_end_offset, expected.log_end_offset);
    assert_eq!(state.producers, expected.producers);
    assert!(state.log_start_offset <= expected.log_start_offset);
    assert_eq!(state.epochs.latest_epoch(), expected.epochs.latest_epoch());
    assert_eq!(state.epochs.epoch_of(35), Some(1));
    assert!(found.high_watermark <= whole.log.high_watermark);
    let Some(records) = records(&mut directory) else {
        return Damaged;
    };
    for (offset, bytes) in &whole.records {
        assert_eq!(records.get(offset), Some(bytes), "offset {offset}");
    }
    if is_clean && recovered.previous_broker_epoch != Some(3) {
        return Distrusted;
    }
    Harmless
}

/// The outcomes that the losses of `file` have, each in the order of [`ALL`], the worst of all bits
/// for a flipped one.
fn outcomes(file: &str, is_clean: bool) -> Vec<Outcome> {
    let (disk, earlier, whole) = grown(is_clean);
    let path = Path::new("data").join(file);
    let bits = disk.open(&path).unwrap().length().unwrap() as usize * 8;
    let one = |loss, bit| {
        let disk = disk.deep_copy();
        inflict(&disk, &earlier, &path, loss, bit);
        outcome(&disk, &whole, is_clean)
    };
    ALL.iter()
        .map(|&loss| match loss {
            Loss::Flipped => (0..bits).step_by(7).map(|bit| one(loss, bit)).max(),
            loss => Some(one(loss, 0)),
        })
        .map(|outcome| outcome.unwrap_or(Harmless))
        .collect()
}

fn check(file: &str, clean: [Outcome; 4], crashed: [Outcome; 4]) {
    assert_eq!(outcomes(file, true), clean, "{file} after a clean shutdown");
    assert_eq!(outcomes(file, false), crashed, "{file} after a crash");
}

/// The names of the log's files of a kind.
fn files(kind: &str) -> Vec<String> {
    let (disk, ..) = grown(true);
    let names = disk.list(Path::new("data/t-0")).unwrap();
    let names = names.into_iter().filter(|name| name.ends_with(kind));
    names.map(|name| format!("t-0/{name}")).collect()
}

#[test]
fn a_lost_segment_is_loud() {
    let segments = files(".log");
    assert!(segments.len() > 3, "{segments:?}");
    for file in segments {
        for is_clean in [true, false] {
            for (loss, outcome) in ALL.iter().zip(outcomes(&file, is_clean)) {
                // The earlier copy of a segment that was full by then is the same.
                let is_same = *loss == Loss::RolledBack && outcome == Harmless;
                assert!(
                    outcome == Damaged || is_same,
                    "{file} {loss:?}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn lost_indexes_are_built_again() {
    for file in files("index") {
        assert_eq!(outcomes(&file, true), [Harmless; 4], "{file}");
    }
}

#[test]
fn lost_producer_snapshots_are_replaced_by_older_ones_and_the_batches() {
    for file in files(".snapshot") {
        assert_eq!(outcomes(&file, true), [Harmless; 4], "{file}");
    }
}

#[test]
fn a_lost_epoch_checkpoint_is_read_from_the_batches() {
    // One that was rolled back contradicts the batches, and either may be wrong.
    let lost = [Harmless, Damaged, Harmless, Harmless];
    check("t-0/leader-epoch-checkpoint", lost, lost);
}

#[test]
fn lost_high_watermarks_begin_low() {
    check(
        "replication-offset-checkpoint",
        [Harmless; 4],
        [Harmless; 4],
    );
}

#[test]
fn lost_recovery_points_cost_a_scan() {
    check(
        "recovery-point-offset-checkpoint",
        [Harmless; 4],
        [Harmless; 4],
    );
}

#[test]
fn a_lost_note_of_what_was_flushed_leaves_the_recovery_points() {
    // A clean shutdown leaves none.
    assert_eq!(outcomes("flushed-offset-note", false), [Harmless; 4]);
}

#[test]
fn lost_log_starts_show_records_that_were_to_go() {
    check("log-start-offset-checkpoint", [Harmless; 4], [Harmless; 4]);
}

#[test]
fn a_log_without_its_topic_is_missed() {
    let lost = [Damaged, Harmless, Damaged, Damaged];
    check("t-0/partition.metadata", lost, lost);
}

#[test]
fn a_directory_without_its_identity_is_refused() {
    let lost = [Refused, Harmless, Refused, Refused];
    check("meta.properties", lost, lost);
}

#[test]
fn a_lost_shutdown_marker_makes_the_shutdown_unclean() {
    assert_eq!(outcomes(".kafka_cleanshutdown", true), [Distrusted; 4]);
}

#[test]
fn a_lost_vote_stops_the_node() {
    check("quorum-state", [Refused; 4], [Refused; 4]);
}

#[test]
fn a_lost_metadata_snapshot_is_replaced_by_the_one_before_and_the_log() {
    let newest = "00000000000000000004-0000000002.checkpoint";
    check(newest, [Harmless; 4], [Harmless; 4]);
    let older = "00000000000000000002-0000000001.checkpoint";
    check(older, [Harmless; 4], [Harmless; 4]);
}

#[test]
fn a_lost_metadata_log_stops_the_node() {
    let log = "__cluster_metadata-0/00000000000000000000.log";
    check(log, [Refused; 4], [Refused; 4]);
}

#[test]
fn a_log_whose_directory_is_gone_is_missed_until_it_is_cut() {
    let (disk, _, _) = grown(true);
    disk.remove_dir(Path::new("data/t-0")).unwrap();
    disk.sync_dir(Path::new("data")).unwrap();
    for _ in 0..2 {
        let (_, recovered) = open(&disk);
        let found = of(&recovered, &log()).unwrap();
        assert_eq!(found.damage.as_ref().unwrap().lost_to, 60);
    }
    let (mut directory, _) = open(&disk);
    create(&mut directory);
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    assert!(of(&recovered, &log()).unwrap().damage.is_some());
    create(&mut directory);
    let cut = DiskRequest::Truncate { log: log(), to: 0 };
    ask(&mut directory, cut);
    disk.crash();
    let (_, recovered) = open(&disk);
    assert_eq!(of(&recovered, &log()).unwrap().damage, None);
}

#[test]
fn the_ballast_may_be_lost() {
    let (disk, earlier, whole) = grown(true);
    for loss in ALL {
        let disk = disk.deep_copy();
        inflict(&disk, &earlier, Path::new("data/ballast"), loss, 0);
        assert_eq!(outcome(&disk, &whole, true), Harmless, "{loss:?}");
    }
}

#[test]
fn every_file_of_a_directory_has_a_test_of_its_loss() {
    let tested = [
        "log",
        "index",
        "timeindex",
        "snapshot",
        "leader-epoch-checkpoint",
        "replication-offset-checkpoint",
        "recovery-point-offset-checkpoint",
        "flushed-offset-note",
        "log-start-offset-checkpoint",
        "metadata",
        "properties",
        "kafka_cleanshutdown",
        "quorum-state",
        "checkpoint",
        "ballast",
    ];
    let mut kinds = BTreeSet::new();
    for is_clean in [true, false] {
        let (disk, ..) = grown(is_clean);
        let mut todo = vec![PathBuf::from("data")];
        while let Some(directory) = todo.pop() {
            for name in disk.list(&directory).unwrap() {
                let path = directory.join(&name);
                if disk.is_dir(&path) {
                    todo.push(path);
                } else {
                    kinds.insert(name.rsplit('.').next().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(kinds, tested.map(str::to_owned).into());
}
