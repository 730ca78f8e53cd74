//! What an application with a group calls: subscribe, commit, ask, leave.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::client::consumer::Consumer;
use crate::client::consumer::group::listener::CommitMode;
use crate::client::consumer::group::state::NO_GENERATION;
use crate::client::consumer::group::{GroupMetadata, Membership, Positions, RebalanceListener};
use crate::client::consumer::position::Wanted;
use crate::client::error::ClientError;
use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicPartition;
use crate::offset::Offset;

/// What is told of an asynchronous commit.
type Callback = Box<dyn FnOnce(Result<(), ClientError>) + Send>;

impl Consumer {
    /// Reads `topics` as a member of its group; the polls that follow join and read.
    ///
    /// # Errors
    /// `Invalid` without a group in the configuration, or while it reads what was assigned by hand.
    pub fn subscribe(
        &mut self,
        topics: Vec<String>,
        listener: Box<dyn RebalanceListener>,
    ) -> Result<(), ClientError> {
        if topics.is_empty() {
            return Err(ClientError::invalid("subscribe to at least one topic"));
        }
        let reads_by_hand = !self.positions.is_empty();
        let group = self.group.as_mut().ok_or_else(no_group)?;
        if reads_by_hand && group.topics.is_empty() {
            return Err(ClientError::invalid(
                "partitions are assigned by hand: assign none of them, then subscribe",
            ));
        }
        group.shared().set_subscribed(true);
        group.topics = topics;
        group.listener = Some(listener);
        group.is_fenced = false;
        Ok(())
    }

    /// Leaves the group and reads nothing any more.
    ///
    /// # Errors
    /// `Invalid` without a group in the configuration.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        self.group.as_ref().ok_or_else(no_group)?;
        self.leave_group().await;
        Ok(())
    }

    /// Ends the consumer: commits if it does so by itself, gives its partitions up, and leaves,
    /// unless it is a static member; at most `limit`.
    pub async fn close(mut self, limit: Duration) {
        // What did not come to its end is noticed by the coordinator.
        let _ = timeout(limit, self.leave_group()).await;
    }

    /// Who it is in its group.
    ///
    /// # Errors
    /// `Invalid` without a group in the configuration.
    pub fn group_metadata(&self) -> Result<GroupMetadata, ClientError> {
        let group = self.group.as_ref().ok_or_else(no_group)?;
        let identity = group.identity();
        Ok(GroupMetadata {
            group_id: group.config.group_id.clone(),
            member_id: identity.member_id,
            generation_id: identity.generation_id,
        })
    }

    /// Commits `offsets`, or behind everything that polls gave out, and tries until it is known.
    /// Who has not subscribed commits as no member, which a group takes only while it has none.
    ///
    /// # Errors
    /// `Fenced` if it is no member any more, `UnknownOutcome` if the time is over and an attempt
    /// may have succeeded, `Retriable` if certainly none has, `Invalid` for a negative offset.
    pub async fn commit_sync(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, Offset>>,
    ) -> Result<(), ClientError> {
        let positions = self.to_commit(offsets)?;
        let group = self.group.as_ref().ok_or_else(no_group)?;
        if positions.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + group.config.api_timeout;
        let committer = group.committer.clone();
        committer
            .until_known(CommitMode::Sync, &positions, deadline)
            .await
    }

    /// Commits the same, once; `callback` is told when it is over, or when the consumer ends first.
    /// Later commits wait for it.
    pub fn commit_async(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, Offset>>,
        callback: Callback,
    ) {
        match (self.to_commit(offsets), &mut self.group) {
            (Ok(positions), Some(group)) => {
                group.commit_later(CommitMode::Async, positions, callback);
            }
            (Ok(_), None) => callback(Err(no_group())),
            (Err(error), _) => callback(Err(error)),
        }
    }

    /// The committed offsets of the group; `None` where there is none.
    ///
    /// # Errors
    /// `Retriable` if the coordinator does not answer, `Invalid` without a group or if it refuses.
    pub async fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Option<Offset>>, ClientError> {
        let group = self.group.as_ref().ok_or_else(no_group)?;
        let deadline = Instant::now() + self.config.request_timeout * 2;
        let found = group.committer.committed(partitions, deadline).await?;
        let offsets = found
            .into_iter()
            .map(|(name, committed)| (name, committed.map(|(offset, _)| offset)));
        Ok(offsets.collect())
    }

    /// Behind everything that polls gave out, in partitions whose position is known.
    pub(super) fn committable(&self) -> Positions {
        let known = self.positions.iter().filter_map(|(name, position)| {
            let Wanted::At {
                offset,
                leader_epoch,
            } = position.wanted
            else {
                return None;
            };
            Some((name.clone(), (offset, leader_epoch)))
        });
        known.collect()
    }

    fn to_commit(
        &self,
        offsets: Option<BTreeMap<TopicPartition, Offset>>,
    ) -> Result<Positions, ClientError> {
        let Some(offsets) = offsets else {
            return Ok(self.committable());
        };
        refuse_negative(&offsets)?;
        let explicit = offsets.into_iter().map(|(name, at)| (name, (at, None)));
        Ok(explicit.collect())
    }

    /// Commits behind the polls so far if the interval is over.
    pub(in crate::client::consumer) fn auto_commit_if_due(&mut self) {
        let positions = self.committable();
        let Some(group) = self.group.as_mut().filter(|g| g.config.enable_auto_commit) else {
            return;
        };
        let now = Instant::now();
        let is_due = now >= group.next_auto_commit && !planted(Sabotage::AutoCommitNeverDue);
        if !is_due || positions.is_empty() {
            return;
        }
        // What is between two generations commits as soon as it has entered the next.
        let is_between = group.shared().is_between_generations();
        if is_between || group.identity().generation_id == NO_GENERATION {
            return;
        }
        group.next_auto_commit = now + group.config.auto_commit_interval;
        group.commit_later(
            CommitMode::Auto,
            positions,
            Box::new(|ended| {
                if let Err(error) = ended {
                    tracing::debug!(%error, "auto commit");
                }
            }),
        );
    }
}

impl Membership {
    fn commit_later(&mut self, mode: CommitMode, positions: Positions, callback: Callback) {
        if positions.is_empty() {
            return callback(Ok(()));
        }
        while self.commits.try_join_next().is_some() {}
        let committer = self.committer.clone();
        let generation_id = self.identity().generation_id;
        let turn = committer.turn();
        let told = Told(Some(callback));
        self.commits.spawn(async move {
            let _turn = turn.await;
            told.of(committer.once(mode, &positions, generation_id).await);
        });
    }
}

/// A callback that is called in any case: if the consumer ends first, the outcome is unknown.
struct Told(Option<Callback>);

impl Told {
    fn of(mut self, result: Result<(), ClientError>) {
        if let Some(callback) = self.0.take() {
            callback(result);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(ClientError::unknown(
                "the consumer ended before the commit was answered",
            )));
        }
    }
}

/// A coordinator stores a negative offset and tells later that there is none.
///
/// # Errors
/// `Invalid`, with the first of them.
pub(in crate::client) fn refuse_negative(
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), ClientError> {
    match offsets.iter().find(|(_, offset)| **offset < 0) {
        Some((name, offset)) => Err(ClientError::invalid(format!(
            "cannot commit the negative offset {offset} of {name}: commit the next offset to read"
        ))),
        None => Ok(()),
    }
}

fn no_group() -> ClientError {
    ClientError::invalid("the consumer has no group: set group in its configuration")
}
