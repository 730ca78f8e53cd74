//! Random operations with crashes against a model: the fold of what was appended.
//!
//! The disk also fills up, and the power goes again during recovery, or the process is killed and
//! the power goes in a later life. After every restart the log is a prefix of what was appended that
//! contains all that was flushed, every batch in it is whole, epochs and producers are the fold of
//! just that prefix, and no crash passes for damage. Beside it a second log is compacted, deleted
//! and made again; of that only the end and that it is undamaged are held.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::{LogDirectory, RecoveredDirectory};
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::{BatchSummary, LogState};
use crate::offset::Offset;
use crate::record::{BatchBuilder, Batches, Compression, ProducerFields, RecordBatch};
use crate::storage::disk::Disk;
use crate::storage::identity::DirectoryIdentity;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::request::{DiskReply, DiskRequest, LogOptions, Retention};

#[derive(Clone, Debug)]
enum Step {
    Append {
        batches: usize,
        records: i32,
        new_epoch: bool,
    },
    Flush,
    Note,
    Checkpoint,
    Truncate {
        back: i64,
    },
    RestartAt {
        ahead: i64,
    },
    AdvanceLogStart {
        ahead: i64,
    },
    Retain {
        bytes: u64,
    },
    CleanRestart,
    /// The disk has `free` bytes left during the next steps, until it finds no space.
    Fill {
        free: u64,
    },
    /// The power goes before the operation `after` of the next step (or after it), and each
    /// unsynced operation has a fate drawn from `seed`. So often it goes again during recovery,
    /// each time a few operations later.
    Crash {
        after: usize,
        seed: u64,
        again: usize,
    },
    /// The same with the process instead of the power: the page cache stays.
    Kill {
        after: usize,
        again: usize,
    },
    Second(Second),
}

/// What befalls the second log.
#[derive(Clone, Copy, Debug)]
enum Second {
    Append,
    Flush,
    Compact,
    Delete,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_usize, 1..4, prop::bool::weighted(0.2)).prop_map(
            |(batches, records, new_epoch)| Step::Append { batches, records, new_epoch }
        ),
        3 => Just(Step::Flush),
        3 => Just(Step::Note),
        2 => Just(Step::Checkpoint),
        2 => (0..20_i64).prop_map(|back| Step::Truncate { back }),
        1 => (0..20_i64).prop_map(|ahead| Step::RestartAt { ahead }),
        1 => (0..20_i64).prop_map(|ahead| Step::AdvanceLogStart { ahead }),
        1 => (0..3000_u64).prop_map(|bytes| Step::Retain { bytes }),
        1 => Just(Step::CleanRestart),
        2 => (0..900_u64).prop_map(|free| Step::Fill { free }),
        3 => (0..40_usize, any::<u64>(), 0..4_usize).prop_map(
            |(after, seed, again)| Step::Crash { after, seed, again }
        ),
        3 => (0..40_usize, 0..4_usize).prop_map(|(after, again)| Step::Kill { after, again }),
        4 => Just(Step::Second(Second::Append)),
        2 => Just(Step::Second(Second::Flush)),
        1 => Just(Step::Second(Second::Compact)),
        1 => Just(Step::Second(Second::Delete)),
    ]
}

fn log() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn second_log() -> TopicPartition {
    TopicPartition::new("u", 0)
}

struct Model {
    disk: MemoryDisk,
    directory: LogDirectory<MemoryDisk>,
    /// Every batch since the log was created or restarted, by base offset.
    batches: BTreeMap<Offset, Bytes>,
    origin: Offset,
    end: Offset,
    start: Offset,
    /// Everything below must survive, unless a cut began.
    flushed: Offset,
    epoch: i32,
    sequence: i32,
    second_end: Offset,
    second_flushed: Offset,
}

impl Model {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let directory = Self::open(&disk).unwrap();
        let mut model = Self {
            disk,
            directory,
            batches: BTreeMap::new(),
            origin: 0,
            end: 0,
            start: 0,
            flushed: 0,
            epoch: 0,
            sequence: 0,
            second_end: 0,
            second_flushed: 0,
        };
        model.create();
        model.execute(DiskRequest::Flush { log: log() }).unwrap();
        model
    }

    /// `None` if the power went.
    fn open(disk: &MemoryDisk) -> Option<LogDirectory<MemoryDisk>> {
        let opened = Self::recover(disk)?;
        disk.sync_dir(Path::new("")).ok()?;
        Some(opened.0)
    }

    fn recover(disk: &MemoryDisk) -> Option<(LogDirectory<MemoryDisk>, RecoveredDirectory)> {
        let identity = DirectoryIdentity {
            cluster_id: "c".to_owned(),
            node_id: BrokerId(1),
            new_directory_id: Uuid::from_u128(5),
        };
        LogDirectory::open(disk.clone(), PathBuf::from("data"), &identity).ok()
    }

    /// No crash leaves anything that looks like damage. A disk that is still full may have to be
    /// freed.
    fn open_undamaged(&self) -> LogDirectory<MemoryDisk> {
        let opened = Self::recover(&self.disk).or_else(|| {
            self.disk.set_space(None);
            Self::recover(&self.disk)
        });
        let (directory, recovered) = opened.unwrap();
        self.disk.sync_dir(Path::new("")).unwrap();
        let damage = recovered.logs.into_iter().find_map(|log| log.damage);
        assert_eq!(damage, None);
        directory
    }

    fn create(&mut self) -> LogState {
        match self.try_create(log()) {
            Some(DiskReply::Created { state }) => state,
            other => panic!("{other:?}"),
        }
    }

    fn try_create(&mut self, log: TopicPartition) -> Option<DiskReply> {
        self.execute(DiskRequest::CreateLog {
            log,
            topic_id: TopicId(Uuid::from_u128(7)),
            options: LogOptions {
                segment_bytes: 600,
                segment_age: Duration::from_hours(1),
                index_interval_bytes: 100,
                index_bytes: 1000,
            },
        })
    }

    /// `None` if the power went. Without space a request must be refused without harm, so that it
    /// can come again.
    fn execute(&mut self, request: DiskRequest) -> Option<DiskReply> {
        match self.directory.execute(request.clone()) {
            Err(error) if error.is_no_space() => {
                self.disk.set_space(None);
                self.directory.execute(request).ok()
            }
            result => result.ok(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append {
                batches,
                records,
                new_epoch,
            } => self.append(batches, records, new_epoch),
            Step::Flush => {
                if let Some(reply) = self.execute(DiskRequest::Flush { log: log() }) {
                    assert_eq!(reply, DiskReply::Flushed { upto: self.end });
                    self.flushed = self.end;
                }
            }
            Step::Checkpoint => {
                let high_watermarks = BTreeMap::from([(log(), self.flushed)]);
                self.execute(DiskRequest::CheckpointHighWatermarks { high_watermarks });
            }
            Step::Note => _ = self.execute(DiskRequest::NoteFlushed),
            Step::Truncate { back } => self.truncate(self.end - back),
            Step::RestartAt { ahead } => self.restart_at(self.end + ahead),
            Step::AdvanceLogStart { ahead } => {
                let to = (self.start + ahead).min(self.end);
                self.started(DiskRequest::AdvanceLogStart { log: log(), to });
            }
            Step::Retain { bytes } => {
                let retention = Retention {
                    age: None,
                    bytes: Some(bytes),
                    producer_expiration: Duration::from_hours(1_000_000),
                };
                self.started(DiskRequest::Retain {
                    log: log(),
                    retention,
                    high_watermark: self.end,
                    wall_millis: 0,
                });
            }
            Step::CleanRestart => {
                if self
                    .execute(DiskRequest::Close { broker_epoch: None })
                    .is_some()
                {
                    self.flushed = self.end;
                    self.second_flushed = self.second_end;
                    if let Some(directory) = Self::open(&self.disk) {
                        self.directory = directory;
                        let state = self.create();
                        self.check_state(state);
                    }
                }
            }
            Step::Fill { free } => self.disk.set_space(Some(self.disk.used() + free)),
            Step::Second(second) => self.step_second(second),
            Step::Crash { .. } | Step::Kill { .. } => {}
        }
    }

    fn append(&mut self, batches: usize, records: i32, new_epoch: bool) {
        self.epoch += i32::from(new_epoch);
        let mut all = Vec::new();
        for _ in 0..batches {
            let producer = ProducerFields {
                id: i64::from(self.sequence % 3),
                epoch: 0,
                base_sequence: self.sequence,
            };
            let mut builder = BatchBuilder::new(Compression::None)
                .with_position(self.end, self.epoch)
                .with_producer(producer);
            for _ in 0..records {
                builder.append(0, None, Some(&[self.sequence as u8; 10]), &[]);
                self.sequence += 1;
            }
            let batch = builder.build();
            all.extend_from_slice(&batch);
            self.batches.insert(self.end, batch);
            self.end += i64::from(records);
        }
        self.execute(DiskRequest::Append {
            log: log(),
            batches: Bytes::from(all),
        });
    }

    fn step_second(&mut self, step: Second) {
        let log = second_log();
        if !matches!(step, Second::Delete) && self.try_create(log.clone()).is_none() {
            return;
        }
        match step {
            Second::Append => {
                let mut builder =
                    BatchBuilder::new(Compression::None).with_position(self.second_end, 0);
                builder.append(0, Some(b"key"), Some(&[7; 30]), &[]);
                self.second_end += 1;
                let batches = builder.build();
                self.execute(DiskRequest::Append { log, batches });
            }
            Second::Flush => {
                if self.execute(DiskRequest::Flush { log }).is_some() {
                    self.second_flushed = self.second_end;
                }
            }
            Second::Compact => {
                self.execute(DiskRequest::Compact {
                    log,
                    delete_retention: Duration::ZERO,
                    high_watermark: self.second_flushed,
                    wall_millis: 0,
                });
            }
            Second::Delete => {
                self.second_flushed = 0;
                if self.execute(DiskRequest::DeleteLog { log }).is_some() {
                    self.second_end = 0;
                }
            }
        }
    }

    fn check_second(&mut self) {
        let Some(DiskReply::Created { state }) = self.try_create(second_log()) else {
            panic!("it cannot be made");
        };
        let end = state.log_end_offset;
        assert!(
            (self.second_flushed..=self.second_end).contains(&end),
            "{end} is not within {self:?}"
        );
        (self.second_end, self.second_flushed) = (end, end);
    }

    fn truncate(&mut self, to: Offset) {
        let to = to.max(0);
        self.flushed = self.flushed.min(to);
        let cut = self.batches.range(..to).next_back();
        let cut = cut
            .filter(|(_, batch)| next(batch) > to)
            .map(|(base, _)| *base);
        if to < self.start {
            return self.restart_at(to);
        }
        let request = DiskRequest::Truncate { log: log(), to };
        let to = cut.unwrap_or(to);
        self.flushed = self.flushed.min(to);
        if let Some(reply) = self.execute(request) {
            self.end = self.end.min(to);
            self.batches.retain(|base, _| *base < to);
            self.start = self.start.min(self.end);
            let DiskReply::Truncated { state } = reply else {
                panic!("{reply:?}");
            };
            self.check_state(state);
        }
    }

    fn restart_at(&mut self, offset: Offset) {
        self.flushed = 0;
        let request = DiskRequest::RestartAt { log: log(), offset };
        let is_done = self.execute(request).is_some();
        if is_done {
            self.batches.clear();
            (self.origin, self.start, self.end, self.flushed) = (offset, offset, offset, offset);
        } else {
            self.origin = offset;
        }
    }

    fn started(&mut self, request: DiskRequest) {
        if let Some(DiskReply::Retained { log_start_offset }) = self.execute(request) {
            assert!(log_start_offset >= self.start);
            self.start = log_start_offset;
        } else {
            self.start = self.end;
        }
    }

    /// What a log with these bounds must be, by the batches that were appended.
    fn expected(&self, start: Offset, end: Offset) -> LogState {
        let mut state = LogState::empty_at(self.batches.keys().next().copied().unwrap_or(start));
        for (_, batch) in self.batches.range(..end) {
            state.append(&BatchSummary::from(
                RecordBatch::first(batch).unwrap().header(),
            ));
        }
        state.advance_log_start(start);
        state
    }

    /// An empty log may have forgotten the epoch in force.
    fn check_state(&self, mut state: LogState) {
        let expected = self.expected(self.start, self.end);
        if self.start == self.end {
            state.epochs = expected.epochs.clone();
        }
        assert_eq!(state, expected);
    }

    /// Without a seed the process was killed.
    fn crash(&mut self, seed: Option<u64>, again: usize) {
        let mut random = seed.unwrap_or_default();
        let mut end_life = || {
            self.disk.clear_fault();
            if seed.is_none() {
                return;
            }
            self.disk.crash_with(|bytes| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                match (random >> 33) % 4 {
                    0 | 1 => Survival::Kept,
                    2 => Survival::Lost,
                    _ => Survival::Torn((random >> 40) as usize % (bytes + 1)),
                }
            });
        };
        end_life();
        for time in 0..again {
            cut_power(&self.disk, 5 + 9 * time);
            if Self::open(&self.disk).is_some() {
                break;
            }
            end_life();
        }
        self.disk.clear_fault();
        self.directory = self.open_undamaged();
        self.check_second();
        let state = self.create();
        let (start, end) = (state.log_start_offset, state.log_end_offset);
        if start == end && start == self.origin && self.flushed <= self.origin {
            self.batches.clear();
        } else {
            assert!(
                end >= self.flushed && end <= self.end,
                "{end} is not within {self:?}"
            );
            assert!(
                start <= self.start.max(end),
                "{start} is not within {self:?}"
            );
            self.batches.retain(|base, _| *base < end);
            self.origin = self.batches.keys().next().copied().unwrap_or(end);
            if start < end {
                assert_eq!(state, self.expected(start, end));
            } else {
                self.batches.clear();
                self.origin = end;
            }
        }
        (self.start, self.end, self.flushed) = (start, end, end);
        if self.batches.is_empty() {
            // An empty log forgets the producers or not, as the files happen to say.
            self.restart_at(self.end);
        }
    }

    fn check_reads(&mut self) {
        let mut offset = self.start;
        let mut seen = Vec::new();
        while offset < self.end {
            let request = DiskRequest::Read {
                log: log(),
                start: offset,
                end: self.end,
                max_bytes: 300,
                minimum_one_batch: true,
            };
            let Some(DiskReply::Read { batches }) = self.execute(request) else {
                panic!("offset {offset} cannot be read");
            };
            for batch in Batches::new(batches) {
                let batch = batch.unwrap();
                batch.check_crc().unwrap();
                offset = batch.header().next_offset();
                seen.push((batch.header().base_offset, batch.into_bytes()));
            }
        }
        let expected = self
            .batches
            .iter()
            .filter(|(_, batch)| next(batch) > self.start);
        let expected: Vec<_> = expected
            .map(|(base, batch)| (*base, batch.clone()))
            .collect();
        assert_eq!(seen, expected);
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            origin,
            start,
            flushed,
            end,
            second_flushed,
            second_end,
            ..
        } = self;
        write!(
            f,
            "origin {origin} start {start} flushed {flushed} end {end} \
             second {second_flushed}..={second_end}"
        )
    }
}

/// Lets the disk do so many operations more.
fn cut_power(disk: &MemoryDisk, mut left: usize) {
    disk.set_fault(move |_, _| {
        let is_out = left == 0;
        left = left.saturating_sub(1);
        is_out.then_some(io::ErrorKind::Other)
    });
}

fn next(batch: &Bytes) -> Offset {
    RecordBatch::first(batch).unwrap().header().next_offset()
}

proptest! {
    #[test]
    fn recovery_keeps_a_prefix_with_all_that_was_flushed(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new();
        let mut last: Option<(Option<u64>, usize)> = None;
        for step in &steps {
            let crash = match *step {
                Step::Crash { after, seed, again } => Some((after, Some(seed), again)),
                Step::Kill { after, again } => Some((after, None, again)),
                _ => None,
            };
            if let Some((after, seed, again)) = crash {
                cut_power(&model.disk, after);
                last = Some((seed, again));
                continue;
            }
            model.step(step);
            if let Some((seed, again)) = last.take() {
                model.crash(seed, again);
            }
            model.check_reads();
        }
    }
}
