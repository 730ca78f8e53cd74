//! A poll's part of membership: alarms, rebalances, assignments, and where partitions start.

use std::collections::BTreeSet;

use tokio::time::{Instant, timeout_at};

use crate::client::consumer::group::join::{JoinEnd, Joined};
use crate::client::consumer::group::listener::{CommitMode, Commits, RebalanceListener};
use crate::client::consumer::group::state::{Alarm, NO_GENERATION};
use crate::client::consumer::group::{Membership, RebalanceEvent, ResumeSource, Resumption};
use crate::client::consumer::position::{Position, Wanted};
use crate::client::consumer::{Consumer, partition_of};
use crate::client::error::{ClientError, ErrorKind};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::id::TopicPartition;

/// What a listener is told.
enum Change {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    /// Does what the membership asks for, at most until `deadline` where it waits for others.
    /// False if nothing may be given out now, because the session may have expired.
    pub(in crate::client::consumer) async fn attend(
        &mut self,
        deadline: Instant,
    ) -> Result<bool, ClientError> {
        let Some(group) = self.group.as_ref().filter(|group| !group.topics.is_empty()) else {
            return Ok(true);
        };
        if group.is_fenced {
            return Err(fenced());
        }
        group.shared().note_poll();
        self.heed_alarm().await?;
        if !planted(Sabotage::AutoCommitOfCurrentPoll) {
            self.auto_commit_if_due();
        }
        self.watch_topics(deadline).await;
        self.rebalance(deadline).await?;
        if !self.session_holds().await {
            return Ok(false);
        }
        self.find_committed(deadline).await?;
        // It may have been frozen while it waited for that.
        Ok(self.session_holds().await)
    }

    /// Joins if it must, and takes in the outcome if it comes in time.
    async fn rebalance(&mut self, deadline: Instant) -> Result<(), ClientError> {
        loop {
            let Some(group) = &mut self.group else {
                return Ok(());
            };
            if group.joining.is_empty() {
                let is_member = group.identity().generation_id != NO_GENERATION;
                if is_member && group.shared().alarm().is_none() {
                    return Ok(());
                }
                self.prepare().await?;
                let owned = self.positions.keys().cloned().collect();
                let Some(group) = &mut self.group else {
                    return Ok(());
                };
                group.start_heartbeats();
                group.start_join(&self.cluster, owned);
                continue;
            }
            let Ok(Some(joined)) = timeout_at(deadline, group.joining.join_next()).await else {
                return Ok(());
            };
            let joined = joined.expect("invariant: a join neither panics nor is aborted");
            match joined {
                Ok(JoinEnd::Joined(joined)) => self.adopt(joined).await?,
                Ok(JoinEnd::Over { forget_member }) => self.lose(forget_member).await,
                Err(error) => {
                    if error.kind == ErrorKind::Fenced {
                        self.stay_fenced().await;
                    } else {
                        self.lose(false).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Before a join: an eager member gives up everything, and what it has done is committed.
    async fn prepare(&mut self) -> Result<(), ClientError> {
        self.auto_commit_now().await;
        // The commit may have found out that the membership is over.
        self.heed_alarm().await?;
        let is_cooperative = self.group.as_ref().is_some_and(Membership::is_cooperative);
        if !is_cooperative && !self.positions.is_empty() {
            let all = self.positions.keys().cloned().collect();
            self.give_up(all).await;
        }
        Ok(())
    }

    /// The coordinator has given this member its partitions.
    async fn adopt(&mut self, joined: Joined) -> Result<(), ClientError> {
        let Some(group) = &mut self.group else {
            return Ok(());
        };
        let must_join_again = joined.must_join_again();
        group.last = Some((joined.own.clone(), joined.identity.generation_id));
        group.shared().enter(joined.identity);
        group.joined_topics = joined.topics;
        group.watched = joined.watched;
        group.compared = 0;
        group.next_refresh = Instant::now() + self.config.metadata_max_age;
        self.session_holds().await;
        if self.heed_alarm().await? {
            // Over before it was known: others own by now what it would be told of.
            return Ok(());
        }
        let (own, unwanted): (BTreeSet<_>, BTreeSet<_>) = joined
            .own
            .into_iter()
            .partition(|name| self.reads(&name.topic));
        let gone: Vec<_> = self
            .positions
            .keys()
            .filter(|name| !own.contains(name))
            .cloned()
            .collect();
        if !gone.is_empty() {
            self.auto_commit_now().await;
            self.give_up(gone).await;
        }
        // As Java's `checkAssignmentMatchedSubscription`: the subscription has changed since.
        let must_join_again = must_join_again || !unwanted.is_empty();
        if let Some(group) = self.group.as_ref().filter(|_| must_join_again) {
            let identity = group.identity();
            group.shared().raise(&identity, Alarm::Rejoin);
        }
        let new: Vec<_> = own
            .into_iter()
            .filter(|name| !self.positions.contains_key(name))
            .collect();
        for name in &new {
            let position = Position {
                wanted: Wanted::Committed,
                ..Position::default()
            };
            self.positions.insert(name.clone(), position);
        }
        self.tell(Change::Assigned, new).await;
        Ok(())
    }

    fn reads(&self, topic: &str) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| group.topics.iter().any(|name| name == topic))
    }

    /// Gives partitions up in order.
    async fn give_up(&mut self, partitions: Vec<TopicPartition>) {
        self.tell(Change::Revoked, partitions.clone()).await;
        self.drop_partitions(&partitions);
    }

    /// The membership is over before anybody could give up anything.
    async fn lose(&mut self, forget_member: bool) {
        let all: Vec<_> = self.positions.keys().cloned().collect();
        if !all.is_empty() {
            self.tell(Change::Lost, all.clone()).await;
        }
        self.drop_partitions(&all);
        if let Some(group) = &mut self.group {
            group.watched = None;
            group.shared().reset(forget_member);
        }
    }

    /// Acts on what the membership was told last; whether it is over.
    async fn heed_alarm(&mut self) -> Result<bool, ClientError> {
        let alarm = self.group.as_ref().and_then(|group| group.shared().alarm());
        match alarm {
            Some(Alarm::Fenced) => {
                self.stay_fenced().await;
                Err(fenced())
            }
            Some(alarm @ (Alarm::Lost | Alarm::Forgotten)) => {
                self.lose(alarm == Alarm::Forgotten).await;
                Ok(true)
            }
            Some(Alarm::Rejoin) | None => Ok(false),
        }
    }

    /// Until the application subscribes anew: joining by itself would fence the other in turn, and
    /// so would a join that is under way.
    async fn stay_fenced(&mut self) {
        if let Some(group) = &mut self.group {
            group.is_fenced = true;
            std::mem::take(&mut group.joining).shutdown().await;
        }
        self.lose(true).await;
    }

    fn drop_partitions(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            self.positions.remove(name);
        }
        if planted(Sabotage::BufferKeptAfterRevocation) {
            return;
        }
        let positions = &self.positions;
        self.buffered
            .retain(|record| positions.contains_key(&partition_of(record)));
    }

    async fn tell(&mut self, change: Change, partitions: Vec<TopicPartition>) {
        let Some(group) = &mut self.group else {
            return;
        };
        let event = group.event(partitions);
        // Taken out, because it may commit with the consumer that holds it.
        let Some(mut listener) = group.listener.take() else {
            return;
        };
        self.call(&mut listener, change, event).await;
        if let Some(group) = &mut self.group {
            group.listener.get_or_insert(listener);
        }
    }

    async fn call(
        &mut self,
        listener: &mut Box<dyn RebalanceListener>,
        change: Change,
        event: RebalanceEvent,
    ) {
        match change {
            Change::Assigned => listener.assigned(Commits(self), event).await,
            Change::Revoked => listener.revoked(Commits(self), event).await,
            Change::Lost => listener.lost(event).await,
        }
    }

    /// Asks for the committed offsets of partitions that have no position yet.
    async fn find_committed(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let wanting: Vec<_> = self
            .positions
            .iter()
            .filter(|(_, position)| position.wanted == Wanted::Committed)
            .map(|(name, _)| name.clone())
            .collect();
        let Some(group) = self.group.as_ref().filter(|_| !wanting.is_empty()) else {
            return Ok(());
        };
        let found = match group.committer.committed(&wanting, deadline).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::Retriable => {
                if !planted(Sabotage::UnansweredOffsetFetchMeansNone) {
                    // The next poll asks again.
                    return Ok(());
                }
                wanting.into_iter().map(|name| (name, None)).collect()
            }
            Err(error) => return Err(error),
        };
        for (name, committed) in found {
            let Some((offset, leader_epoch)) = committed else {
                self.place(&name, Wanted::Unknown);
                continue;
            };
            let leader_epoch = (leader_epoch >= 0).then_some(leader_epoch);
            self.place(
                &name,
                Wanted::At {
                    offset,
                    leader_epoch,
                },
            );
            self.tell_resumed(&name, offset, ResumeSource::Committed)
                .await;
        }
        Ok(())
    }

    fn place(&mut self, name: &TopicPartition, wanted: Wanted) {
        if let Some(position) = self.positions.get_mut(name) {
            position.want(wanted);
        }
    }

    /// Tells the listener where a partition starts; nobody where there is no group.
    pub(in crate::client::consumer) async fn tell_resumed(
        &mut self,
        name: &TopicPartition,
        offset: i64,
        source: ResumeSource,
    ) {
        let Some(group) = &mut self.group else {
            return;
        };
        let resumption = Resumption {
            generation_id: group.identity().generation_id,
            partition: name.clone(),
            offset,
            source,
        };
        if let Some(listener) = &mut group.listener {
            listener.resumed(resumption).await;
        }
    }

    async fn auto_commit_now(&mut self) {
        let positions = self.committable();
        let Some(group) = self.group.as_ref().filter(|g| g.config.enable_auto_commit) else {
            return;
        };
        if positions.is_empty() || group.identity().generation_id == NO_GENERATION {
            return;
        }
        let limit = Instant::now() + group.committer.coordinator.request_timeout();
        let committer = group.committer.clone();
        let committed = committer
            .until_known(CommitMode::Auto, &positions, limit)
            .await;
        if let Err(error) = committed {
            tracing::warn!(%error, "the last auto commit of a generation failed");
        }
    }

    /// Leaves the group after the last auto commit.
    pub(super) async fn leave_group(&mut self) {
        self.auto_commit_now().await;
        let all: Vec<_> = self.positions.keys().cloned().collect();
        if !all.is_empty() {
            self.give_up(all).await;
        }
        let Some(group) = &mut self.group else {
            return;
        };
        group.joining.shutdown().await;
        group.heartbeats.shutdown().await;
        // Commits that were asked for are sent before it leaves.
        while group.commits.join_next().await.is_some() {}
        group.topics.clear();
        group.shared().set_subscribed(false);
        let identity = group.identity();
        if group.config.group_instance_id.is_none() && !identity.member_id.is_empty() {
            let left = super::join::leave(&group.committer.coordinator, &group.config, &identity);
            if let Err(error) = left.await {
                tracing::debug!(%error, "the coordinator will notice by itself");
            }
        }
        group.shared().reset(true);
    }
}

fn fenced() -> ClientError {
    ClientError {
        kind: ErrorKind::Fenced,
        code: Some(ErrorCode::FencedInstanceId),
        message: "another instance has taken this one's place in the group".to_owned(),
    }
}
