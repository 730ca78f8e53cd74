//! Group commit over a clock that the test moves.

use std::collections::VecDeque;

use bytes::Bytes;

use super::*;
use crate::storage::QuorumElection;

const SYNC: Duration = Duration::from_millis(1);

fn log(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

#[test]
fn only_appends_reads_and_flushes_overtake_a_flush_that_waits() {
    let append = |partition| DiskRequest::Append {
        log: log(partition),
        batches: Bytes::new(),
    };
    let truncate = |partition| DiskRequest::Truncate {
        log: log(partition),
        to: 0,
    };
    let flush = |partition| DiskRequest::Flush {
        log: log(partition),
    };
    let vote = DiskRequest::WriteElection {
        election: QuorumElection::default(),
    };
    let close = DiskRequest::Close { broker_epoch: None };
    let waiting = [log(0), log(2)];
    for (request, follows) in [
        (append(0), false),
        (append(1), false),
        (flush(0), false),
        (flush(1), false),
        (truncate(1), false),
        (truncate(2), true),
        (vote, true),
        (close, true),
    ] {
        assert_eq!(
            must_follow(&request, waiting.iter()),
            follows,
            "{request:?}"
        );
    }
    assert!(!must_follow(&truncate(2), [].iter()));
}

/// Producers that each have one record under way, and send the next when it is durable.
struct Producers {
    commit: GroupCommit,
    now: Instant,
    /// When the flush of each record under way comes, in order.
    coming: VecDeque<Instant>,
    waiting: usize,
    syncs: usize,
    durable: usize,
    /// The longest time that a flush waited while no sync was under way.
    longest: Duration,
}

impl Producers {
    /// They begin one after the other, over the time of one sync.
    fn start(count: u32) -> Self {
        let now = Instant::now();
        Self {
            commit: GroupCommit::default(),
            now,
            coming: (0..count).map(|at| now + SYNC * at / count).collect(),
            waiting: 0,
            syncs: 0,
            durable: 0,
            longest: Duration::ZERO,
        }
    }

    fn arrive(&mut self) {
        while self.coming.pop_front_if(|came| *came <= self.now).is_some() {
            self.commit.came(self.now);
            self.waiting += 1;
        }
    }

    /// Lets time pass until so many records are durable. `next` tells how long the producer of the
    /// n-th record that a sync made durable takes for his next one; `None` if he has none.
    fn run(&mut self, durable: usize, mut next: impl FnMut(u32) -> Option<Duration>) {
        while self.durable < durable {
            self.arrive();
            let arrives = self.coming.front().copied();
            if self.waiting == 0 {
                self.now = arrives.expect("somebody has a record");
            } else if let Some(patience) = self.commit.patience(self.now, self.waiting) {
                let over = self.now + patience;
                self.now = arrives.map_or(over, |arrives| arrives.min(over));
            } else {
                let answered = self.waiting;
                let first = self.commit.came.map(|(first, _)| first);
                let waited = first.map_or(Duration::ZERO, |first| self.now - first);
                self.longest = self.longest.max(waited);
                self.now += SYNC;
                let late = self.coming.iter().filter(|came| **came <= self.now);
                self.commit.synced(SYNC, answered, late.count());
                self.waiting = 0;
                self.syncs += 1;
                self.durable += answered;
                let coming = (0..answered as u32).filter_map(&mut next);
                self.coming.extend(coming.map(|after| self.now + after));
                self.coming.make_contiguous().sort();
            }
        }
    }
}

/// Each answer and each request takes its time; all 64 take half a sync.
fn promptly(nth: u32) -> Option<Duration> {
    Some(Duration::from_micros(100 + 8 * u64::from(nth)))
}

#[test]
fn producers_that_wait_for_each_other_share_every_sync() {
    let mut producers = Producers::start(64);
    producers.run(64 * 3, promptly);
    let (syncs, durable) = (producers.syncs, producers.durable);
    producers.run(durable + 64 * 100, promptly);
    assert_eq!(producers.syncs - syncs, 100, "one sync for 64 records");
}

#[test]
fn a_producer_alone_never_waits() {
    let mut producer = Producers::start(1);
    producer.run(100, promptly);
    assert_eq!((producer.syncs, producer.longest), (100, Duration::ZERO));
}

#[test]
fn those_who_do_not_come_back_are_waited_for_once_and_a_quarter_of_a_sync() {
    let mut producers = Producers::start(64);
    producers.run(64 * 3, promptly);
    let one = |nth: u32| (nth == 0).then_some(SYNC / 10);
    producers.run(producers.durable + 64, one);
    producers.longest = Duration::ZERO;
    producers.run(producers.durable + 1, one);
    assert_eq!(producers.longest, SYNC / 4);
    producers.longest = Duration::ZERO;
    producers.run(producers.durable + 10, one);
    assert_eq!(producers.longest, Duration::ZERO);
}

#[test]
fn a_trickle_waits_no_longer_than_a_sync_takes() {
    let mut producers = Producers::start(64);
    producers.run(64 * 3, promptly);
    producers.longest = Duration::ZERO;
    let slowly = |nth: u32| Some(SYNC * (nth + 1) / 5);
    producers.run(producers.durable + 64 * 20, slowly);
    assert!(producers.longest > SYNC / 4, "{:?}", producers.longest);
    assert!(producers.longest <= SYNC, "{:?}", producers.longest);
}

#[test]
fn a_fast_disk_is_not_waited_for() {
    let mut commit = GroupCommit::default();
    let now = Instant::now();
    commit.synced(SYNC_MIN / 2, 32, 32);
    commit.came(now);
    assert_eq!(commit.patience(now, 1), None);
    commit.synced(Duration::from_secs(30), 32, 32);
    commit.came(now);
    assert_eq!(commit.patience(now, 1), Some(SYNC_MAX / 4));
}
