//! What this project's client tells of its group, told on to the harness.
//!
//! In: calls of the client's listener and commit observer. Out: events of the protocol.
//! Invariant: each call returns only after the harness has acknowledged, which is what the client
//! waits for.

use std::time::Duration;

use broker::client::group::{
    BoxFuture, CommitAttempt, CommitMode, CommitObserver, Commits, GroupConfig, RebalanceEvent,
    RebalanceListener, ResumeSource, Resumption,
};
use broker::client::{AssignorKind, AutoOffsetReset, ClientError};
use broker::id::TopicPartition;
use checkers::history::{
    CommitCall, OffsetReset, RebalanceEvent as Change, ResumeSource as Source,
};

use crate::worker::client::{invalid, worker_error};
use crate::worker::events::Events;
use crate::worker::protocol::{GroupOptions, Told, WorkerError};

/// Tells the harness; the client's listener and observer in one.
#[derive(Clone, Debug)]
pub struct Teller(pub Events);

impl Teller {
    fn rebalance(&self, change: Change, event: RebalanceEvent) -> BoxFuture<'_, ()> {
        let told = Told::Rebalance {
            event: change,
            member: event.member_id,
            generation: event.generation_id,
            partitions: indexes(&event.partitions),
        };
        Box::pin(self.0.tell(told))
    }
}

impl RebalanceListener for Teller {
    fn assigned<'a>(
        &'a mut self,
        _commits: Commits<'a>,
        event: RebalanceEvent,
    ) -> BoxFuture<'a, ()> {
        self.rebalance(Change::Assigned, event)
    }

    fn revoked<'a>(
        &'a mut self,
        _commits: Commits<'a>,
        event: RebalanceEvent,
    ) -> BoxFuture<'a, ()> {
        self.rebalance(Change::Revoked, event)
    }

    fn lost(&mut self, event: RebalanceEvent) -> BoxFuture<'_, ()> {
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
        Box::pin(self.0.tell(told))
    }
}

impl CommitObserver for Teller {
    fn begins<'a>(&'a self, attempt: &'a CommitAttempt) -> BoxFuture<'a, u64> {
        let commit = self.0.number();
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
            self.0.tell(told).await;
            commit
        })
    }

    fn ended<'a>(&'a self, number: u64, result: &'a Result<(), ClientError>) -> BoxFuture<'a, ()> {
        let told = Told::CommitEnded {
            commit: number,
            error: result.clone().err().map(worker_error),
        };
        Box::pin(self.0.tell(told))
    }
}

/// The client's settings of a member.
pub fn config(wanted: &GroupOptions, events: &Events) -> Result<GroupConfig, WorkerError> {
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
        observer: Some(std::sync::Arc::new(Teller(events.clone()))),
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
