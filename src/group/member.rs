//! One member of a group: who it is, what it knows, what it waits for.

use std::time::Duration;

use bytes::Bytes;

use super::records::MemberMetadata;
use super::request::{GroupCaller, JoinRequest, RequestId};
use super::response::DescribedMember;
use crate::time::Time;

/// A member of a group.
#[expect(
    clippy::struct_field_names,
    reason = "`member_id` is Kafka's word, and `id` alone could be the instance's"
)]
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) caller: GroupCaller,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The assignors it knows, the best first, each with its metadata.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// The JoinGroup that waits for the others.
    pub(super) joining: Option<RequestId>,
    /// The SyncGroup that waits for the leader's decision.
    pub(super) syncing: Option<RequestId>,
    /// It has joined this generation and not asked for its assignment yet.
    pub(super) owes_sync: bool,
    /// It waits in its first JoinGroup, for which its client cannot wait for ever.
    pub(super) is_new: bool,
    /// When it is taken for dead, unless it waits for an answer of the coordinator.
    pub(super) session_ends: Time,
    /// The order of arrival; the leader is the first.
    pub(super) arrival: u64,
}

impl Member {
    pub(super) fn new(
        member_id: String,
        caller: GroupCaller,
        request: &JoinRequest,
        arrival: u64,
    ) -> Self {
        Self {
            member_id,
            instance_id: request.instance_id.clone(),
            caller,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            owes_sync: false,
            is_new: false,
            session_ends: Time::ZERO,
            arrival,
        }
    }

    /// A member from the group's record.
    pub(super) fn loaded(metadata: MemberMetadata, protocol: &str, arrival: u64) -> Self {
        let millis = |millis: i32| Duration::from_millis(millis.max(0) as u64);
        Self {
            member_id: metadata.member_id,
            instance_id: metadata.instance_id,
            caller: GroupCaller {
                client_id: metadata.client_id,
                client_host: metadata.client_host,
            },
            session_timeout: millis(metadata.session_timeout_ms),
            rebalance_timeout: millis(metadata.rebalance_timeout_ms),
            protocols: vec![(protocol.to_owned(), metadata.subscription)],
            assignment: metadata.assignment,
            joining: None,
            syncing: None,
            owes_sync: false,
            is_new: false,
            session_ends: Time::ZERO,
            arrival,
        }
    }

    /// A member that waits for the coordinator does not expire: it cannot send heartbeats then.
    /// A new one does: nobody sees whether its client is gone, and a retry is another member.
    pub(super) fn can_expire(&self) -> bool {
        self.is_new || (self.joining.is_none() && self.syncing.is_none())
    }

    /// Its metadata for `protocol`, empty if it does not know that.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|(name, _)| name == protocol);
        known
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// What the group's record says of it, with `assignment` as what it was given.
    pub(super) fn to_metadata(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        MemberMetadata {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.caller.client_id.clone(),
            client_host: self.caller.client_host.clone(),
            rebalance_timeout_ms: millis(self.rebalance_timeout),
            session_timeout_ms: millis(self.session_timeout),
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub(super) fn describe(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.caller.client_id.clone(),
            client_host: self.caller.client_host.clone(),
            metadata: protocol.map(|name| self.metadata(name)).unwrap_or_default(),
            assignment: protocol
                .map(|_| self.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
