//! What an application hears of its membership and of commits.
//!
//! Invariant: the client awaits every call before it goes on: it gives partitions up, asks for
//! committed offsets, gives out records and sends commits only after these have returned.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;

use crate::client::consumer::Consumer;
use crate::client::error::ClientError;
use crate::id::TopicPartition;
use crate::offset::Offset;

/// A future of a trait's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Partitions that change hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebalanceEvent {
    /// The broker's id of the member.
    pub member_id: String,
    /// The generation in which it is told.
    pub generation_id: i32,
    /// Those that change hands.
    pub partitions: Vec<TopicPartition>,
}

/// Where a newly assigned partition starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The generation of the assignment.
    pub generation_id: i32,
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the first record that will be given out.
    pub offset: Offset,
    /// What says so.
    pub source: ResumeSource,
}

/// What a position comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeSource {
    /// The group's committed offset.
    Committed,
    /// `auto.offset.reset`.
    Reset,
}

/// Commits from inside a listener: of what is about to be given up, while it is still owned.
pub struct Commits<'a>(pub(super) &'a mut Consumer);

impl Commits<'_> {
    /// As `Consumer::commit_sync`.
    ///
    /// # Errors
    /// Those of `Consumer::commit_sync`.
    pub async fn commit_sync(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, Offset>>,
    ) -> Result<(), ClientError> {
        self.0.commit_sync(offsets).await
    }
}

/// Hears of rebalances. `Sync` lets a task of a multi-threaded runtime own the consumer.
pub trait RebalanceListener: Send + Sync {
    /// The consumer has these partitions from now on.
    fn assigned<'a>(&'a mut self, commits: Commits<'a>, event: RebalanceEvent)
    -> BoxFuture<'a, ()>;
    /// It gives these up when this returns.
    fn revoked<'a>(&'a mut self, commits: Commits<'a>, event: RebalanceEvent) -> BoxFuture<'a, ()>;
    /// These were taken from it; others may own them already, and it can commit nothing of them.
    fn lost(&mut self, event: RebalanceEvent) -> BoxFuture<'_, ()>;
    /// A newly assigned partition starts here.
    fn resumed(&mut self, resumption: Resumption) -> BoxFuture<'_, ()>;
}

/// Who asked for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitMode {
    /// `commit_sync`.
    Sync,
    /// `commit_async`.
    Async,
    /// The client, with `enable_auto_commit`.
    Auto,
}

/// One OffsetCommit request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitAttempt {
    /// Who asked for it.
    pub mode: CommitMode,
    /// The generation that the request carries.
    pub generation_id: i32,
    /// The member id that the request carries.
    pub member_id: String,
    /// For each partition the offset to read next.
    pub offsets: BTreeMap<TopicPartition, Offset>,
}

/// Sees every attempt of a commit, also those of the client itself; as Kafka's
/// `ConsumerInterceptor.onCommit`, but before and after.
pub trait CommitObserver: Send + Sync + Debug {
    /// The request is sent when this returns; the result is handed to `ended`.
    fn begins<'a>(&'a self, attempt: &'a CommitAttempt) -> BoxFuture<'a, u64>;
    /// The attempt that `begins` called `number` is over.
    fn ended<'a>(&'a self, number: u64, result: &'a Result<(), ClientError>) -> BoxFuture<'a, ()>;
}
