//! Joining: JoinGroup, the assignment if this member leads, SyncGroup; and leaving.
//!
//! In: who the member is and what it wants. Out: its generation and partitions, or why it cannot be
//! a member. Coordinators that move or load are asked again for as long as it takes: the task ends
//! with its consumer. Sources: KIP-394 (the member id comes first), KIP-345 (static members).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use crate::client::assignor::{
    AssignorKind, MemberSubscription, Subscription, decode_assignment, decode_subscription,
    encode_assignment, encode_subscription,
};
use crate::client::cluster::{Cluster, error_code};
use crate::client::connection::CallError;
use crate::client::consumer::group::GroupConfig;
use crate::client::consumer::group::coordinator::Coordinator;
use crate::client::consumer::group::member_id::MemberId;
use crate::client::consumer::group::state::{Alarm, Identity, Shared, alarm_of};
use crate::client::error::{ClientError, ErrorKind};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::id::TopicPartition;

const JOIN_GROUP_VERSION_MAX: i16 = 7;
const SYNC_GROUP_VERSION_MAX: i16 = 5;
const LEAVE_GROUP_VERSION_MAX: i16 = 4;
const PROTOCOL_TYPE: &str = "consumer";
/// What a coordinator may need beyond the rebalance timeout to answer a join.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// How a join ends.
#[derive(Debug)]
pub(super) enum JoinEnd {
    /// A membership has begun.
    Joined(Joined),
    /// What the member kept while it joined is not its own any more.
    Over { forget_member: bool },
}

/// A membership that has begun.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) identity: Identity,
    pub(super) own: Vec<TopicPartition>,
    /// What it said it owned when it joined.
    pub(super) claimed: Vec<TopicPartition>,
    /// What it wanted when it joined.
    pub(super) topics: Vec<String>,
    /// If it leads: what it has based the assignment on.
    pub(super) watched: Option<Watched>,
}

/// The topics that a leader has assigned, and how many partitions each had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) topics: Vec<String>,
    pub(super) counts: BTreeMap<String, i32>,
}

impl Watched {
    /// As the client's metadata has it now.
    pub(super) fn now(cluster: &Cluster, topics: Vec<String>) -> Self {
        let counts = topics.iter().filter_map(|topic| {
            let partitions = cluster.topic(topic)?.partitions.len();
            Some((topic.clone(), i32::try_from(partitions).unwrap_or(i32::MAX)))
        });
        Self {
            counts: counts.collect(),
            topics,
        }
    }
}

/// Everything that a join needs; it runs beside the consumer.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) shared: Arc<Shared>,
    pub(super) config: GroupConfig,
    /// Its own: what becomes of the consumer meanwhile changes nothing in what was sent.
    pub(super) member_id: MemberId,
    pub(super) topics: Vec<String>,
    /// What it owns while it joins, and since which generation: nothing if it is eager.
    pub(super) owned: Vec<TopicPartition>,
    /// The last assignment and its generation, for assignors that ask.
    pub(super) last: Option<(Vec<TopicPartition>, i32)>,
    pub(super) retry_backoff: Duration,
}

impl Joined {
    /// Whether others wait for partitions that this member claimed: a cooperative leader gives
    /// them away only in the next generation (KIP-429). What it claimed counts, not what it has by
    /// now: it may have lost all of it while the join was under way.
    pub(super) fn must_join_again(&self) -> bool {
        let gives_up = self.claimed.iter().any(|name| !self.own.contains(name));
        gives_up && !planted(Sabotage::NoRejoinAfterRevocation)
    }
}

impl Join {
    /// Joins, however long it takes.
    ///
    /// # Errors
    /// `Fenced` or `Invalid`: it can never be a member as it is.
    pub(super) async fn run(mut self) -> Result<JoinEnd, ClientError> {
        loop {
            match self.attempt().await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => continue,
                Err(error)
                    if error.kind == ErrorKind::Fenced
                        && self.member_id.may_have_fenced_itself() =>
                {
                    tracing::debug!(%error, "joining without the id that it was told");
                    self.shared.set_member_id(String::new());
                }
                Err(error) if error.kind == ErrorKind::Retriable => {
                    tracing::debug!(%error, "joining again");
                }
                Err(error) => return Err(error),
            }
            sleep(self.retry_backoff).await;
        }
    }

    /// One round; none if it is to be repeated at once.
    async fn attempt(&mut self) -> Result<Option<JoinEnd>, ClientError> {
        let limit = self.config.max_poll_interval + JOIN_GRACE;
        let request = self.join_request();
        let response = self
            .coordinator
            .call(&request, JOIN_GROUP_VERSION_MAX, limit)
            .await;
        let response = response.map_err(|error| self.unanswered("joining", &error))?;
        match error_code(response.error_code) {
            None => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.tell(&response.member_id);
                return Ok(None);
            }
            Some(code) => return self.refused("joining", code),
        }
        self.tell(&response.member_id);
        self.sync(response).await
    }

    /// The coordinator has chosen a member id. Others know it, too: the consumer may leave.
    fn tell(&mut self, member_id: &str) {
        self.member_id.tell(member_id);
        self.shared.set_member_id(member_id.to_owned());
    }

    async fn sync(&mut self, joined: JoinGroupResponse) -> Result<Option<JoinEnd>, ClientError> {
        let identity = Identity {
            member_id: joined.member_id.to_string(),
            generation_id: joined.generation_id,
        };
        let name = joined.protocol_name.as_deref().unwrap_or_default();
        let assignor = AssignorKind::from_name(name)
            .ok_or_else(|| ClientError::invalid(format!("the group chose the assignor {name}")))?;
        let (assignments, watched) = if joined.leader == joined.member_id {
            let (assignments, watched) = self.assign(assignor, &joined).await?;
            (assignments, Some(watched))
        } else {
            (Vec::new(), None)
        };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(identity.generation_id)
            .with_member_id(joined.member_id)
            .with_group_instance_id(self.instance())
            .with_protocol_type(joined.protocol_type)
            .with_protocol_name(joined.protocol_name)
            .with_assignments(assignments);
        // Whoever waits for a slow leader asks again, and keeps its place. Source: Java's client.
        let limit = self.coordinator.request_timeout();
        let sent = Instant::now();
        let response = self
            .coordinator
            .call(&request, SYNC_GROUP_VERSION_MAX, limit)
            .await;
        let response = response.map_err(|error| self.unanswered("syncing", &error))?;
        if let Some(code) = error_code(response.error_code) {
            return self.refused("syncing", code);
        }
        let own = decode_assignment(&response.assignment)
            .map_err(|error| ClientError::invalid(format!("the leader's assignment: {error}")))?;
        self.shared.end_join(identity.clone());
        self.shared.confirm(sent);
        Ok(Some(JoinEnd::Joined(Joined {
            identity,
            own,
            claimed: self.owned.clone(),
            topics: self.topics.clone(),
            watched,
        })))
    }

    fn unanswered(&mut self, what: &str, error: &CallError) -> ClientError {
        self.member_id.note_unanswered(error);
        again(what, error)
    }

    /// What an error means for the next round.
    fn refused(&mut self, what: &str, code: ErrorCode) -> Result<Option<JoinEnd>, ClientError> {
        self.coordinator.heed(Some(code));
        self.member_id.note_refused(code);
        match alarm_of(code) {
            Some(alarm @ (Alarm::Lost | Alarm::Forgotten)) if !self.owned.is_empty() => {
                let forget_member = alarm == Alarm::Forgotten;
                Ok(Some(JoinEnd::Over { forget_member }))
            }
            Some(Alarm::Rejoin | Alarm::Lost) => Ok(None),
            Some(Alarm::Forgotten) => {
                self.member_id.forget();
                self.shared.set_member_id(String::new());
                Ok(None)
            }
            Some(Alarm::Fenced) => Err(ClientError {
                kind: ErrorKind::Fenced,
                code: Some(code),
                message: format!("{what}: another instance has taken this one's place"),
            }),
            None => Err(ClientError::from_code(code, what)),
        }
    }

    /// Decides for everybody.
    async fn assign(
        &self,
        kind: AssignorKind,
        joined: &JoinGroupResponse,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, Watched), ClientError> {
        let members: Vec<_> = joined.members.iter().map(subscription).collect();
        let mut wanted: Vec<String> = members
            .iter()
            .flat_map(|member| member.subscription.topics.clone())
            .collect();
        wanted.sort();
        wanted.dedup();
        let seen = self.cluster.generation();
        self.cluster.refresh(Some(&wanted), seen, false).await?;
        let watched = Watched::now(&self.cluster, wanted);
        let assignment = kind.assign(&members, &watched.counts);
        let one = |(member, own): (String, Vec<TopicPartition>)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from(member))
                .with_assignment(encode_assignment(&own))
        };
        Ok((assignment.into_iter().map(one).collect(), watched))
    }

    fn join_request(&self) -> JoinGroupRequest {
        let last = self.last.as_ref();
        let last = last.map(|(partitions, generation)| (partitions.as_slice(), *generation));
        let protocol = |kind: &AssignorKind| {
            let subscription = Subscription {
                topics: self.topics.clone(),
                user_data: kind.user_data(last),
                owned: self.owned.clone(),
                generation_id: last.map(|(_, generation)| generation),
                rack: None,
            };
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(kind.name()))
                .with_metadata(encode_subscription(&subscription))
        };
        JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(millis(self.config.session_timeout))
            .with_rebalance_timeout_ms(millis(self.config.max_poll_interval))
            .with_member_id(StrBytes::from(self.member_id.as_str().to_owned()))
            .with_group_instance_id(self.instance())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(self.config.assignors.iter().map(protocol).collect())
    }

    fn group_id(&self) -> GroupId {
        GroupId(StrBytes::from(self.config.group_id.clone()))
    }

    fn instance(&self) -> Option<StrBytes> {
        self.config.group_instance_id.clone().map(StrBytes::from)
    }
}

/// Leaves the group.
///
/// # Errors
/// `Retriable` if the coordinator did not answer: it will notice by itself.
pub(super) async fn leave(
    coordinator: &Coordinator,
    config: &GroupConfig,
    identity: &Identity,
) -> Result<(), ClientError> {
    let member = MemberIdentity::default()
        .with_member_id(StrBytes::from(identity.member_id.clone()))
        .with_group_instance_id(config.group_instance_id.clone().map(StrBytes::from));
    let request = LeaveGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from(config.group_id.clone())))
        .with_members(vec![member]);
    let limit = coordinator.request_timeout();
    let response = coordinator
        .call(&request, LEAVE_GROUP_VERSION_MAX, limit)
        .await
        .map_err(|error| again("leaving", &error))?;
    match error_code(response.error_code) {
        None => Ok(()),
        Some(code) => Err(ClientError::from_code(code, "leaving the group")),
    }
}

/// What a member of any client wants; one that does not read wants nothing.
fn subscription(member: &JoinGroupResponseMember) -> MemberSubscription {
    let subscription = decode_subscription(&member.metadata).unwrap_or_else(|error| {
        tracing::warn!(member = %member.member_id, %error, "a subscription does not read");
        Subscription::default()
    });
    MemberSubscription {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        subscription,
    }
}

fn again(what: &str, error: &CallError) -> ClientError {
    match error {
        CallError::Unsupported { .. } => ClientError::invalid(format!("{what}: {error}")),
        _ => ClientError::retriable(format!("{what}: {error}")),
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sabotage::plant_in_thread;

    #[test]
    fn a_member_that_lost_what_it_claimed_still_lets_others_have_it() {
        let names = |indexes: &[i32]| -> Vec<_> {
            let name = |index: &i32| TopicPartition::new("t", *index);
            indexes.iter().map(name).collect()
        };
        for (claimed, own, expected) in [
            (&[3, 4][..], &[3][..], true),
            (&[3, 4], &[3, 4, 5], false),
            (&[], &[1], false),
        ] {
            let joined = Joined {
                identity: Identity {
                    member_id: "m".to_owned(),
                    generation_id: 13,
                },
                own: names(own),
                claimed: names(claimed),
                topics: vec!["t".to_owned()],
                watched: None,
            };
            assert_eq!(joined.must_join_again(), expected, "{claimed:?} {own:?}");
            plant_in_thread(Some(Sabotage::NoRejoinAfterRevocation));
            assert!(!joined.must_join_again(), "the planted bug");
            plant_in_thread(None);
        }
    }
}
