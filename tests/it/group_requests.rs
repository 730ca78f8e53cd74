//! Requests about groups that a client might send, as raw material of bad input.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, RequestKind, SyncGroupRequest,
};

use crate::group_wire::{group, text};
use crate::requests::name;

/// The group that they are about.
const GROUP: &str = "hostile";

/// For each API a version that carries all the fields of the body, and the body.
pub(crate) fn well_formed(topic: &'static str) -> Vec<(ApiKey, i16, RequestKind)> {
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group(GROUP))
        .with_member_id(text("member"));
    let identity = MemberIdentity::default().with_member_id(text("member"));
    let leave = LeaveGroupRequest::default()
        .with_group_id(group(GROUP))
        .with_members(vec![identity]);
    let describe = DescribeGroupsRequest::default().with_groups(vec![group(GROUP)]);
    let list = ListGroupsRequest::default().with_states_filter(vec![text("Stable")]);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group(GROUP)]);
    vec![
        (ApiKey::JoinGroup, 4, join().into()),
        (ApiKey::SyncGroup, 4, sync().into()),
        (ApiKey::Heartbeat, 4, heartbeat.into()),
        (ApiKey::LeaveGroup, 5, leave.into()),
        (ApiKey::OffsetCommit, 9, commit(topic).into()),
        (ApiKey::OffsetFetch, 7, fetch(topic).into()),
        (ApiKey::OffsetFetch, 9, fetch_of_groups(topic).into()),
        (ApiKey::OffsetDelete, 0, delete_offsets(topic).into()),
        (ApiKey::DescribeGroups, 6, describe.into()),
        (ApiKey::ListGroups, 5, list.into()),
        (ApiKey::DeleteGroups, 2, delete.into()),
    ]
}

fn join() -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x05noise\0\0\0\0"));
    JoinGroupRequest::default()
        .with_group_id(group(GROUP))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(6_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn sync() -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(text("member"))
        .with_assignment(Bytes::from_static(b"assignment"));
    SyncGroupRequest::default()
        .with_group_id(group(GROUP))
        .with_member_id(text("member"))
        .with_assignments(vec![assignment])
}

fn commit(topic: &'static str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(7)
        .with_committed_metadata(Some(text("metadata")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition; 2]);
    OffsetCommitRequest::default()
        .with_group_id(group(GROUP))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn fetch(topic: &'static str) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![0, 1]);
    OffsetFetchRequest::default()
        .with_group_id(group(GROUP))
        .with_topics(Some(vec![topic]))
}

fn fetch_of_groups(topic: &'static str) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![0, 1]);
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group(GROUP))
        .with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![asked; 2])
}

fn delete_offsets(topic: &'static str) -> OffsetDeleteRequest {
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
    OffsetDeleteRequest::default()
        .with_group_id(group(GROUP))
        .with_topics(vec![topic])
}
