//! Listing, describing and deleting groups.
//!
//! In: group ids. Out: what the groups' coordinators know of them. Invariant: a group whose
//! coordinator does not answer is an error and never a group without members.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use crate::client::admin::topics::changed;
use crate::client::admin::{Admin, RETRY_BACKOFF};
use crate::client::assignor::{ProtocolError, decode_assignment};
use crate::client::cluster::error_code;
use crate::client::connection::CallError;
use crate::client::coordinator::{Coordinator, Repeatable};
use crate::client::error::ClientError;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};

/// The first version that tells each group's state.
const LIST_GROUPS_VERSION_MAX: i16 = 4;
const DESCRIBE_GROUPS_VERSION_MAX: i16 = 5;
const DELETE_GROUPS_VERSION_MAX: i16 = 2;
/// The type of groups whose assignments are partitions.
const CONSUMERS: &str = "consumer";

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// The group's id.
    pub group_id: String,
    /// "consumer" for groups of consumers; empty for offsets that nobody subscribed for.
    pub protocol_type: String,
    /// Its state, by Kafka's name.
    pub state: String,
}

/// A group as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group's id.
    pub group_id: String,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Stable`.
    pub state: String,
    /// "consumer" for groups of consumers.
    pub protocol_type: String,
    /// The assignor that the members agreed on; empty during a rebalance.
    pub assignor: String,
    /// Who coordinates it.
    pub coordinator: BrokerId,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// The address it connects from.
    pub client_host: String,
    /// Its partitions, sorted: none before the group is `Stable`, none in groups that are not of
    /// consumers, and an error where the group's leader wrote something else.
    pub assignment: Result<Vec<TopicPartition>, ProtocolError>,
}

impl Admin {
    /// All groups of the cluster, by their ids.
    ///
    /// # Errors
    /// `Retriable` if a broker does not answer, or still loads groups when the time is over: the
    /// list would lack its groups.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.cluster
            .refresh(Some(&[]), self.cluster.generation(), false)
            .await?;
        let deadline = Instant::now() + self.cluster.request_timeout();
        let mut groups = Vec::new();
        for (broker, _, _) in self.cluster.brokers() {
            let response = self.list_groups_of(broker, deadline).await?;
            groups.extend(response.groups.into_iter().map(|group| GroupListing {
                group_id: group.group_id.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
            }));
        }
        groups.sort();
        // A group whose coordinator moves between two questions is told of twice.
        groups.dedup_by(|a, b| a.group_id == b.group_id);
        Ok(groups)
    }

    async fn list_groups_of(
        &self,
        broker: BrokerId,
        deadline: Instant,
    ) -> Result<ListGroupsResponse, ClientError> {
        let request = ListGroupsRequest::default();
        let what = format!("list the groups of broker {broker}");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let call = self
                .cluster
                .call(broker, &request, LIST_GROUPS_VERSION_MAX, left);
            let error = match call.await {
                Ok(response) => match error_code(response.error_code) {
                    None => return Ok(response),
                    Some(code) => ClientError::from_code(code, &what),
                },
                Err(error @ CallError::Unsupported { .. }) => {
                    return Err(ClientError::invalid(format!("{what}: {error}")));
                }
                Err(error) => ClientError::retriable(format!("{what}: {error}")),
            };
            if !error.is_retriable() || Instant::now() + RETRY_BACKOFF >= deadline {
                return Err(error);
            }
            sleep(RETRY_BACKOFF).await;
        }
    }

    /// Describes `groups`, each as its coordinator sees it; groups that do not exist are left out.
    ///
    /// # Errors
    /// `Retriable` if a coordinator cannot be found or does not answer.
    pub async fn describe_groups(
        &self,
        groups: &[&str],
    ) -> Result<Vec<GroupDescription>, ClientError> {
        let mut descriptions = Vec::new();
        for group in groups {
            descriptions.extend(self.describe_group(group).await?);
        }
        Ok(descriptions)
    }

    async fn describe_group(&self, group: &str) -> Result<Option<GroupDescription>, ClientError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        let coordinator = Coordinator::new(group);
        let request = Repeatable {
            request: &request,
            version_max: DESCRIBE_GROUPS_VERSION_MAX,
            changes: false,
            what: format!("describe group {group}"),
        };
        let answer = coordinator
            .call_until(&self.cluster, &request, |response| {
                error_code(response.groups.first()?.error_code)
            })
            .await?;
        let Some(described) = answer.response.groups.into_iter().next() else {
            return Err(ClientError::retriable(format!(
                "{request}: the answer does not name it"
            )));
        };
        let exists = described.group_state.as_str() != "Dead";
        Ok(exists.then(|| description(described, answer.broker)))
    }

    /// Deletes groups without members, and with them their offsets. Each group has its own result:
    /// they have different coordinators.
    ///
    /// # Errors
    /// For each group `Invalid` if it has members or does not exist, `UnknownOutcome` if the
    /// answer was lost.
    pub async fn delete_groups(
        &self,
        groups: &[&str],
    ) -> BTreeMap<String, Result<(), ClientError>> {
        let mut results = BTreeMap::new();
        for group in groups {
            results.insert((*group).to_owned(), self.delete_group(group).await);
        }
        results
    }

    async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        let request = Repeatable {
            request: &request,
            version_max: DELETE_GROUPS_VERSION_MAX,
            changes: true,
            what: format!("delete group {group}"),
        };
        let answer = Coordinator::new(group)
            .call_until(&self.cluster, &request, |response| {
                group_wide(response.results.iter().map(|result| result.error_code))
            })
            .await?;
        match answer.response.results.first() {
            Some(result) => refused(&request.what, result.error_code, answer.in_doubt),
            None => Err(ClientError::unknown(format!(
                "{request}: the answer does not name it"
            ))),
        }
    }
}

fn description(group: DescribedGroup, coordinator: BrokerId) -> GroupDescription {
    let of_consumers = group.protocol_type.as_str() == CONSUMERS;
    let members = group.members.into_iter();
    GroupDescription {
        group_id: group.group_id.to_string(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        assignor: group.protocol_data.to_string(),
        coordinator,
        members: members.map(|m| member(m, of_consumers)).collect(),
    }
}

fn member(member: DescribedGroupMember, of_consumers: bool) -> MemberDescription {
    let assignment = if of_consumers {
        decode_assignment(&member.member_assignment)
    } else {
        Ok(Vec::new())
    };
    MemberDescription {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment: assignment.map(|mut partitions| {
            partitions.sort();
            partitions
        }),
    }
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from(group.to_owned()))
}

/// The code in `codes` that is about the coordinator and not about a part of the request: the
/// request must go to the coordinator again.
pub(super) fn group_wide(mut codes: impl Iterator<Item = i16>) -> Option<ErrorCode> {
    codes.find_map(|code| {
        error_code(code).filter(|code| {
            matches!(
                code,
                ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress
            )
        })
    })
}

/// The result of a change that a coordinator answered with `code`, and what to do about a refusal.
pub(super) fn refused(what: &str, code: i16, in_doubt: bool) -> Result<(), ClientError> {
    let advice = match error_code(code) {
        Some(ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId) => {
            Some("the group has members; stop them first")
        }
        Some(ErrorCode::GroupSubscribedToTopic) => {
            Some("members of the group subscribe to the topic; stop them first")
        }
        _ => None,
    };
    let result = changed(what, code, advice);
    if in_doubt {
        result.map_err(ClientError::in_doubt)
    } else {
        result
    }
}
