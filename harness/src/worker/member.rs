//! What this project's client tells of its group, told on to the harness.
//!
//! In: calls of the client's listener and commit observer. Out: events of the protocol.
//! Invariant: each call returns only after the harness has acknowledged, which is what the client
//! waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::client::group::{
    BoxFuture, CommitAttempt, CommitMode, CommitObserver, Commits, GroupConfig, RebalanceEvent,
    RebalanceListener, ResumeSource, Resumption,
};
use broker::client::{AssignorKind, AutoOffsetReset, ClientError};
use broker::id::TopicPartition;
use broker::offset::Offset;
use checkers::history::{
    CommitCall, OffsetReset, RebalanceEvent as Change, ResumeSource as Source,
};

use crate::worker::client::{invalid, worker_error};
use crate::worker::events::Events;
use crate::worker::protocol::{GroupOptions, Told, WorkerError};

/// What this process has processed of the partitions that it owns: for each the next offset.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Processed(Arc<Mutex<BTreeMap<i32, Offset>>>);

impl Processed {
    /// A record has taken its effect.
    pub fn done(&self, partition: i32, offset: Offset) {
        self.lock().insert(partition, offset + 1);
    }

    /// Forgets these partitions; what is known of them.
    fn take(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        let mut known = self.lock();
        let taken = partitions.iter().filter_map(|name| {
            let offset = known.remove(&name.partition)?;
            Some((name.clone(), offset))
        });
        taken.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Offset>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the harness; the client's listener and observer in one.
#[derive(Clone, Debug)]
pub struct Teller {
    /// Where it tells.
    pub events: Events,
    /// What is processed.
    pub processed: Processed,
    /// Whether it commits that when partitions are revoked.
    pub commit_on_revocation: bool,
}

impl Teller {
    fn rebalance(&self, change: Change, event: RebalanceEvent) -> BoxFuture<'_, ()> {
        let told = Told::Rebalance {
            event: change,
            member: event.member_id,
            generation: event.generation_id,
            partitions: indexes(&event.partitions),
        };
        Box::pin(self.events.tell(told))
    }
}

impl RebalanceListener for Teller {
    fn assigned<'a>(
        &'a mut self,
        _commits: Commits<'a>,
        event: RebalanceEvent,
    ) -> BoxFuture<'a, ()> {
        // What was processed in an earlier time as the owner may be behind what others committed.
        self.processed.take(&event.partitions);
        self.rebalance(Change::Assigned, event)
    }

    fn revoked<'a>(
        &'a mut self,
        mut commits: Commits<'a>,
        event: RebalanceEvent,
    ) -> BoxFuture<'a, ()> {
        let processed = self.processed.take(&event.partitions);
        Box::pin(async move {
            if self.commit_on_revocation && !processed.is_empty() {
                // How it ended is told by the observer; what is not committed is repeated.
                let _ = commits.commit_sync(Some(processed)).await;
            }
            self.rebalance(Change::Revoked, event).await;
        })
    }

    fn lost(&mut self, event: RebalanceEvent) -> BoxFuture<'_, ()> {
        self.processed.take(&event.partitions);
        self.rebalance(Change::Lost, event)
    }

    fn resumed(&mut self, resumption: Resumption) -> BoxFuture<'_, ()> {
        let told = Told::Resume {
            generation: resumption.generation_id,
            partition: resumption.partition.partition,
            offset: resumption.offset,
            source: match resumption.source {
                ResumeSource::Committed => Source::Committed,
                ResumeSource::Reset => Source::Reset,
            },
        };
        Box::pin(self.events.tell(told))
    }
}

impl CommitObserver for Teller {
    fn begins<'a>(&'a self, attempt: &'a CommitAttempt) -> BoxFuture<'a, u64> {
        let commit = self.events.number();
        let offsets = attempt.offsets.iter();
        let told = Told::CommitBegins {
            commit,
            mode: match attempt.mode {
                CommitMode::Sync => CommitCall::Sync,
                CommitMode::Async => CommitCall::Async,
                CommitMode::Auto => CommitCall::Auto,
            },
            member: attempt.member_id.clone(),
            generation: attempt.generation_id,
            offsets: offsets.map(|(name, at)| (name.partition, *at)).collect(),
        };
        Box::pin(async move {
            self.events.tell(told).await;
            commit
        })
    }

    fn ended<'a>(&'a self, number: u64, result: &'a Result<(), ClientError>) -> BoxFuture<'a, ()> {
        let told = Told::CommitEnded {
            commit: number,
            error: result.clone().err().map(worker_error),
        };
        Box::pin(self.events.tell(told))
    }
}

/// The client's settings of a member.
pub fn config(wanted: &GroupOptions, teller: &Teller) -> Result<GroupConfig, WorkerError> {
    let assignor = |name: &String| {
        AssignorKind::from_name(name).ok_or_else(|| invalid(&format!("no assignor is {name}")))
    };
    let interval = wanted.auto_commit_interval_ms;
    Ok(GroupConfig {
        group_id: wanted.group.clone(),
        group_instance_id: wanted.instance.clone(),
        session_timeout: Duration::from_millis(wanted.session_timeout_ms),
        heartbeat_interval: Duration::from_millis(wanted.heartbeat_interval_ms),
        max_poll_interval: Duration::from_millis(wanted.max_poll_interval_ms),
        assignors: wanted
            .assignors
            .iter()
            .map(assignor)
            .collect::<Result<_, _>>()?,
        enable_auto_commit: interval.is_some(),
        auto_commit_interval: Duration::from_millis(interval.unwrap_or(0)),
        observer: Some(Arc::new(teller.clone())),
        ..GroupConfig::default()
    })
}

/// The client's reset policy.
pub fn reset(wanted: OffsetReset) -> AutoOffsetReset {
    match wanted {
        OffsetReset::Earliest => AutoOffsetReset::Earliest,
        OffsetReset::Latest => AutoOffsetReset::Latest,
        OffsetReset::None => AutoOffsetReset::None,
    }
}

fn indexes(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|name| name.partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_on_revocation_is_what_was_processed_since_the_assignment() {
        let names = |indexes: &[i32]| -> Vec<TopicPartition> {
            let names = indexes.iter().map(|index| TopicPartition::new("t", *index));
            names.collect()
        };
        let processed = Processed::default();
        for (partition, offset) in [(0, 7), (1, 3), (0, 8)] {
            processed.done(partition, offset);
        }
        let revoked = processed.take(&names(&[0, 2]));
        assert_eq!(
            revoked,
            BTreeMap::from([(TopicPartition::new("t", 0), 9)]),
            "nothing of partition 2 was processed"
        );
        assert!(processed.take(&names(&[0])).is_empty(), "it was given up");
        assert_eq!(processed.take(&names(&[1])).len(), 1, "it was kept");
    }
}
