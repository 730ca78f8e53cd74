//! Fetches that wait: for the disk to read, or for something to read.
//!
//! In: fetches, wake-ups of partitions, completions of reads, time. Out: fetch responses.
//! Invariants: a fetch is answered once; it waits only while it has no error, too few bytes and
//! time left; a waiting fetch never moves the leader's view of its follower.
//! Source: Kafka's `DelayedFetch`, `ReplicaManager.fetchMessages` (`reference/kafka.md` §1.8).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::disk_events::{DiskPurpose, read_error};
use super::effects::RequestId;
use super::{Broker, is_due};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::EpochEnd;
use crate::offset::{BrokerEpoch, Offset};
use crate::replica::{Bounds, FetchAnswer, FetchPosition, FollowerFetch, Isolation};
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::{Now, Time};

/// Who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetcher {
    Follower { id: BrokerId, epoch: BrokerEpoch },
    Consumer(Isolation),
}

/// One partition of a fetch.
#[derive(Debug)]
pub(super) struct FetchItem {
    /// The topic's index in the request.
    pub(super) topic: usize,
    /// The partition; with an empty topic name if the topic id is unknown.
    pub(super) name: TopicPartition,
    /// The topic's id, if the request gave one.
    pub(super) topic_id: Option<TopicId>,
    pub(super) position: FetchPosition,
    pub(super) max_bytes: usize,
    pub(super) found: Found,
}

/// What a fetch found in one partition.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Nothing,
    Error(ErrorCode),
    Diverging {
        end: EpochEnd,
        bounds: Bounds,
    },
    /// To be read, up to this bound.
    Readable {
        start: Offset,
        upper: Offset,
        bounds: Bounds,
    },
    Records {
        records: Bytes,
        bounds: Bounds,
    },
}

/// One fetch request.
#[derive(Debug)]
pub(super) struct FetchJob {
    pub(super) request: RequestId,
    pub(super) version: i16,
    pub(super) fetcher: Fetcher,
    pub(super) deadline: Time,
    pub(super) min_bytes: usize,
    pub(super) max_bytes: usize,
    /// The topics in the order of the request: name or id, as the request named them.
    pub(super) topics: Vec<(String, TopicId)>,
    pub(super) items: Vec<FetchItem>,
    reads_pending: usize,
}

impl FetchJob {
    /// A fetch of nothing yet.
    pub(super) fn new(request: RequestId, version: i16, fetcher: Fetcher) -> Self {
        Self {
            request,
            version,
            fetcher,
            deadline: Time::ZERO,
            min_bytes: 0,
            max_bytes: 0,
            topics: Vec::new(),
            items: Vec::new(),
            reads_pending: 0,
        }
    }

    fn is_final(&self, now: Now) -> bool {
        self.items.is_empty()
            || self.deadline <= now.time
            || self
                .items
                .iter()
                .any(|item| matches!(item.found, Found::Error(_) | Found::Diverging { .. }))
    }

    fn bytes(&self) -> usize {
        let sizes = self.items.iter().map(|item| match &item.found {
            Found::Records { records, .. } => records.len(),
            _ => 0,
        });
        sizes.sum()
    }

    fn has_readable(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item.found, Found::Readable { start, upper, .. } if start < upper))
    }

    /// Drops records beyond the limit of the response, the first of them excepted.
    fn trim(&mut self) {
        let mut total = 0;
        for item in &mut self.items {
            if let Found::Records { records, .. } = &mut item.found {
                if total > 0 && total + records.len() > self.max_bytes {
                    *records = Bytes::new();
                }
                total += records.len();
            }
        }
    }
}

/// The fetches that wait.
#[derive(Debug, Default)]
pub(super) struct Purgatory {
    reading: BTreeMap<u64, FetchJob>,
    parked: BTreeMap<u64, FetchJob>,
    by_partition: BTreeMap<TopicPartition, BTreeSet<u64>>,
    by_deadline: BTreeSet<(Time, u64)>,
    woken: BTreeSet<u64>,
}

impl Purgatory {
    /// Something changed in `partition`: look at the fetches that wait for it again.
    pub(super) fn wake(&mut self, partition: &TopicPartition) {
        if let Some(waiting) = self.by_partition.get(partition) {
            self.woken.extend(waiting);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.by_deadline.first().map(|(time, _)| *time)
    }

    /// Forgets a fetch that nobody waits for.
    pub(super) fn cancel(&mut self, request: RequestId) {
        let parked = self.parked.iter().find(|(_, job)| job.request == request);
        if let Some(id) = parked.map(|(id, _)| *id) {
            self.unpark(id);
        }
        // One that reads would park after the reads, and nobody would tell it again.
        self.reading.retain(|_, job| job.request != request);
    }

    fn park(&mut self, id: u64, job: FetchJob) {
        for item in &job.items {
            self.by_partition
                .entry(item.name.clone())
                .or_default()
                .insert(id);
        }
        self.by_deadline.insert((job.deadline, id));
        self.parked.insert(id, job);
    }

    fn unpark(&mut self, id: u64) -> Option<FetchJob> {
        let job = self.parked.remove(&id)?;
        for item in &job.items {
            if let Some(waiting) = self.by_partition.get_mut(&item.name) {
                waiting.remove(&id);
                if waiting.is_empty() {
                    self.by_partition.remove(&item.name);
                }
            }
        }
        self.by_deadline.remove(&(job.deadline, id));
        Some(job)
    }
}

impl Broker {
    /// Takes a fetch that has just arrived.
    pub(super) fn begin_fetch(&mut self, now: Now, mut job: FetchJob) {
        for item in &mut job.items {
            if !matches!(item.found, Found::Error(_)) {
                item.found = self.first_look(now, job.fetcher, item);
            }
        }
        let id = self.fresh_id();
        self.continue_fetch(now, id, job);
    }

    /// Looks at the fetches again whose partitions changed. Whether there were any.
    pub(super) fn serve_woken_fetches(&mut self, now: Now) -> bool {
        let woken = std::mem::take(&mut self.purgatory.woken);
        let acted = !woken.is_empty();
        for id in woken {
            self.review_fetch(now, id);
        }
        acted
    }

    pub(super) fn purgatory_timeout(&mut self, now: Now) {
        while let Some((time, id)) = self.purgatory.by_deadline.first().copied() {
            if !is_due(Some(time), now) {
                return;
            }
            self.review_fetch(now, id);
        }
    }

    fn review_fetch(&mut self, now: Now, id: u64) {
        let Some(mut job) = self.purgatory.unpark(id) else {
            return;
        };
        for item in &mut job.items {
            item.found = self.look(job.fetcher, item);
        }
        self.continue_fetch(now, id, job);
    }

    /// Reads, waits or answers, whichever is right with what was found.
    fn continue_fetch(&mut self, now: Now, id: u64, mut job: FetchJob) {
        if job.has_readable() {
            self.read(id, job);
        } else if job.is_final(now) || job.min_bytes == 0 {
            for item in &mut job.items {
                settle_empty(item);
            }
            self.answer_fetch(job);
        } else {
            self.purgatory.park(id, job);
        }
    }

    fn read(&mut self, id: u64, mut job: FetchJob) {
        let mut budget = job.max_bytes.max(1).saturating_mul(4);
        let mut reads = Vec::new();
        for (index, item) in job.items.iter_mut().enumerate() {
            let Found::Readable {
                start,
                upper,
                bounds,
            } = item.found
            else {
                continue;
            };
            let Some(partition) = self.partitions.get(&item.name).filter(|_| start < upper) else {
                settle_empty(item);
                continue;
            };
            let max_bytes = item.max_bytes.min(job.max_bytes);
            item.found = Found::Records {
                records: Bytes::new(),
                bounds,
            };
            if budget == 0 {
                continue;
            }
            budget = budget.saturating_sub(max_bytes.max(1));
            let request = DiskRequest::Read {
                log: item.name.clone(),
                start,
                end: upper,
                max_bytes,
                minimum_one_batch: true,
            };
            reads.push((partition.directory, index, request));
        }
        if reads.is_empty() {
            return self.answer_fetch(job);
        }
        job.reads_pending = reads.len();
        self.purgatory.reading.insert(id, job);
        for (directory, item, request) in reads {
            self.disk(directory, request, DiskPurpose::Read { fetch: id, item });
        }
    }

    pub(super) fn handle_read(
        &mut self,
        now: Now,
        id: u64,
        index: usize,
        result: Result<DiskReply, DiskError>,
    ) {
        let Some(job) = self.purgatory.reading.get_mut(&id) else {
            return;
        };
        job.reads_pending -= 1;
        let last = job.reads_pending == 0;
        if let Some(item) = job.items.get_mut(index)
            && let Found::Records { records, .. } = &mut item.found
        {
            match result {
                Ok(DiskReply::Read { batches }) => *records = batches,
                Ok(_) => item.found = Found::Error(ErrorCode::UnknownServerError),
                Err(error) => item.found = Found::Error(read_error(&error)),
            }
        }
        if !last {
            return;
        }
        let Some(mut job) = self.purgatory.reading.remove(&id) else {
            return;
        };
        if job.is_final(now) || job.bytes() >= job.min_bytes {
            job.trim();
            self.answer_fetch(job);
        } else {
            // What was read would be old by the time there is enough.
            for item in &mut job.items {
                item.found = Found::Nothing;
            }
            self.purgatory.park(id, job);
        }
    }

    fn first_look(&mut self, now: Now, fetcher: Fetcher, item: &FetchItem) -> Found {
        let Fetcher::Follower { id, epoch } = fetcher else {
            return self.look(fetcher, item);
        };
        if let Some(error) = self.unservable(item) {
            return Found::Error(error);
        }
        let fetch = FollowerFetch {
            replica: id,
            broker_epoch: epoch,
            position: item.position,
        };
        let mut answer = FetchAnswer::Error(ErrorCode::NotLeaderOrFollower);
        self.with_replica(now, &item.name, |replica| {
            answer = replica.handle_follower_fetch(now, &fetch);
        });
        found(answer)
    }

    fn look(&self, fetcher: Fetcher, item: &FetchItem) -> Found {
        if let Some(error) = self.unservable(item) {
            return Found::Error(error);
        }
        let Some(partition) = self.partitions.get(&item.name) else {
            return Found::Error(ErrorCode::NotLeaderOrFollower);
        };
        let replica = &partition.replica;
        found(match fetcher {
            Fetcher::Follower { id, epoch } => replica.review_follower_fetch(&FollowerFetch {
                replica: id,
                broker_epoch: epoch,
                position: item.position,
            }),
            Fetcher::Consumer(isolation) => replica.consumer_fetch(&item.position, isolation),
        })
    }

    /// Why the partition of a fetch cannot be served here at all.
    fn unservable(&self, item: &FetchItem) -> Option<ErrorCode> {
        match self.partitions.get(&item.name) {
            Some(partition) if item.topic_id.is_some_and(|id| id != partition.topic_id) => {
                Some(ErrorCode::InconsistentTopicId)
            }
            Some(_) => None,
            None if self.partition_exists(&item.name) => Some(ErrorCode::NotLeaderOrFollower),
            None if item.topic_id.is_some() => Some(ErrorCode::UnknownTopicId),
            None => Some(ErrorCode::UnknownTopicOrPartition),
        }
    }
}

fn found(answer: FetchAnswer) -> Found {
    match answer {
        FetchAnswer::Error(error) => Found::Error(error),
        FetchAnswer::Diverging { end, bounds } => Found::Diverging { end, bounds },
        FetchAnswer::Read {
            start,
            upper,
            bounds,
        } => Found::Readable {
            start,
            upper,
            bounds,
        },
    }
}

fn settle_empty(item: &mut FetchItem) {
    if let Found::Readable { bounds, .. } = item.found {
        item.found = Found::Records {
            records: Bytes::new(),
            bounds,
        };
    }
}
