//! Requests of connections: one file for each API, or for a few that share their answer's way.
//!
//! In: decoded requests of served versions. Out: effects. Invariant: each request is answered,
//! omitted or closed exactly once; only what a request's version carries is set in its answer.

mod delete_groups;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Broker;
use super::controller::Caller;
use super::effects::{Effect, RequestId};
use super::forward::is_from_broker;
use super::quorum_fetch_wire::is_quorum_fetch;
use crate::id::TopicPartition;
use crate::protocol::versions::{self, Audience};
use crate::protocol::{Request, RequestHeader};
use crate::time::Now;

pub(super) use init_producer_id::ProducerIds;
pub(super) use join_group::join_response;
pub(super) use leave_group::leave_response;
pub(super) use list_offsets::OffsetLookups;
pub(super) use offset_commit::offset_commit_response;
pub(super) use offset_delete::offset_delete_response;
pub(super) use produce::{HeldProduce, ProduceRequests};
pub(super) use sync_group::sync_response;

impl Broker {
    /// A request arrived on a connection.
    pub fn handle_request(&mut self, now: Now, id: RequestId, request: Request) {
        if self.closing.is_flushing() {
            self.close(id, "the broker stops");
            return;
        }
        if self.is_too_early(&request) {
            self.close(id, "the broker starts and knows the cluster not yet");
            return;
        }
        self.dispatch_request(now, id, request);
        self.settle(now);
    }

    fn close(&mut self, request: RequestId, reason: &str) {
        let reason = reason.to_owned();
        self.effects.push(Effect::Close { request, reason });
    }

    /// Whether a client asks a broker that would have to answer from metadata of the past, such
    /// as that a topic does not exist. Kafka's opens its listener only then.
    fn is_too_early(&self, request: &Request) -> bool {
        let api = request.header.api;
        !self.lifecycle.has_served()
            && api != ApiKey::ApiVersions
            && versions::served(api).is_some_and(|row| row.audience == Audience::Client)
            && !is_from_broker(&request.header)
    }

    fn dispatch_request(&mut self, now: Now, id: RequestId, request: Request) {
        let Request { header, body } = request;
        match body {
            RequestKind::ApiVersions(body) => {
                self.respond(id, versions::api_versions(&body, header.version));
            }
            RequestKind::Metadata(body) => self.handle_metadata(now, id, header.version, body),
            RequestKind::Produce(body) => self.handle_produce(now, id, header.version, body),
            RequestKind::Fetch(body) if is_quorum_fetch(&body) => {
                self.handle_quorum_request(now, id, header.api, RequestKind::Fetch(body));
            }
            RequestKind::Fetch(body) => self.handle_fetch(now, id, header.version, body),
            RequestKind::ListOffsets(body) => {
                self.handle_list_offsets(now, id, header.version, body);
            }
            RequestKind::OffsetForLeaderEpoch(body) => {
                self.handle_offset_for_leader_epoch(id, body);
            }
            RequestKind::DescribeCluster(body) => {
                self.handle_describe_cluster(id, header.version, &body);
            }
            RequestKind::DescribeConfigs(body) => {
                self.handle_describe_configs(id, header.version, body);
            }
            RequestKind::FindCoordinator(body) => {
                self.handle_find_coordinator(now, id, header.version, body);
            }
            body @ (RequestKind::JoinGroup(_)
            | RequestKind::SyncGroup(_)
            | RequestKind::Heartbeat(_)
            | RequestKind::LeaveGroup(_)
            | RequestKind::OffsetCommit(_)
            | RequestKind::OffsetFetch(_)
            | RequestKind::OffsetDelete(_)
            | RequestKind::DescribeGroups(_)
            | RequestKind::ListGroups(_)
            | RequestKind::DeleteGroups(_)) => {
                self.dispatch_group_request(now, id, &header, body);
            }
            RequestKind::InitProducerId(body) => self.handle_init_producer_id(now, id, &body),
            body @ (RequestKind::Vote(_)
            | RequestKind::BeginQuorumEpoch(_)
            | RequestKind::EndQuorumEpoch(_)
            | RequestKind::FetchSnapshot(_)) => {
                self.handle_quorum_request(now, id, header.api, body);
            }
            body @ (RequestKind::CreateTopics(_)
            | RequestKind::DeleteTopics(_)
            | RequestKind::AlterConfigs(_)
            | RequestKind::IncrementalAlterConfigs(_)) => {
                self.handle_controller_request(now, id, header, body);
            }
            body @ (RequestKind::BrokerRegistration(_)
            | RequestKind::BrokerHeartbeat(_)
            | RequestKind::AlterPartition(_)
            | RequestKind::AssignReplicasToDirs(_)
            | RequestKind::AllocateProducerIds(_)) => {
                self.serve_controller(now, Caller::Remote(id), header.version, body);
            }
            _ => {
                let reason = format!("{:?} is not served", header.api);
                self.effects.push(Effect::Close {
                    request: id,
                    reason,
                });
            }
        }
    }

    fn dispatch_group_request(
        &mut self,
        now: Now,
        id: RequestId,
        header: &RequestHeader,
        body: RequestKind,
    ) {
        let version = header.version;
        match body {
            RequestKind::JoinGroup(body) => self.handle_join_group(now, id, header, body),
            RequestKind::SyncGroup(body) => self.handle_sync_group(now, id, header, body),
            RequestKind::Heartbeat(body) => self.handle_group_heartbeat(now, id, header, &body),
            RequestKind::LeaveGroup(body) => self.handle_leave_group(now, id, header, body),
            RequestKind::OffsetCommit(body) => self.handle_offset_commit(now, id, header, body),
            RequestKind::OffsetFetch(body) => self.handle_offset_fetch(now, id, version, body),
            RequestKind::OffsetDelete(body) => self.handle_offset_delete(now, id, header, body),
            RequestKind::DescribeGroups(body) => {
                self.handle_describe_groups(now, id, version, body);
            }
            RequestKind::ListGroups(body) => self.handle_list_groups(now, id, version, &body),
            RequestKind::DeleteGroups(body) => self.handle_delete_groups(now, id, header, body),
            _ => self.close(id, "not a request of a group"),
        }
    }

    /// A partition's name, which shares the text of a topic that the metadata knows.
    fn partition_name(&self, topic: &str, partition: i32) -> TopicPartition {
        match self.image.topics().named(topic) {
            Some(image) => TopicPartition::new(Arc::clone(image.name()), partition),
            None => TopicPartition::new(topic, partition),
        }
    }
}

/// A topic's name on the wire.
pub(super) fn wire_topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A text on the wire.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
