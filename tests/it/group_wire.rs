//! A member of a group by hand: one request after the other, of any version.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use broker::protocol::{RequestHeader, codec};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, OffsetFetchRequest, RequestKind, ResponseKind, SyncGroupRequest,
    SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::{Cluster, PATIENCE};

/// The pause between two questions for something that is on its way.
const PAUSE: Duration = Duration::from_millis(20);

/// A text on the wire.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A group's id on the wire.
pub(crate) fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

/// One connection.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    pub(crate) fn send(
        &mut self,
        api: ApiKey,
        version: i16,
        body: impl Into<RequestKind>,
    ) -> std::io::Result<()> {
        let header = RequestHeader {
            api,
            version,
            correlation_id: 7,
            client_id: Some(text("by-hand")),
            peer: None,
        };
        let frame = codec::encode_request(&header, &body.into()).unwrap();
        self.0.write_all(&frame)
    }

    pub(crate) fn receive(&mut self, api: ApiKey, version: i16) -> std::io::Result<ResponseKind> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame)?;
        let (_, response) = codec::decode_response(api, version, Bytes::from(frame)).unwrap();
        Ok(response)
    }

    pub(crate) fn call(
        &mut self,
        api: ApiKey,
        version: i16,
        body: impl Into<RequestKind>,
    ) -> ResponseKind {
        self.send(api, version, body).unwrap();
        self.receive(api, version).unwrap()
    }

    pub(crate) fn join(&mut self, version: i16, request: JoinGroupRequest) -> JoinGroupResponse {
        match self.call(ApiKey::JoinGroup, version, request) {
            ResponseKind::JoinGroup(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn sync(&mut self, version: i16, request: SyncGroupRequest) -> SyncGroupResponse {
        match self.call(ApiKey::SyncGroup, version, request) {
            ResponseKind::SyncGroup(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// The answer's code.
    pub(crate) fn heartbeat(&mut self, member: &Member) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group(&member.group))
            .with_generation_id(member.generation)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text));
        match self.call(ApiKey::Heartbeat, 4, request) {
            ResponseKind::Heartbeat(response) => response.error_code,
            other => panic!("{other:?}"),
        }
    }

    /// Commits an offset of partition 0 of `topic`; the answer's code.
    pub(crate) fn commit(&mut self, member: &Member, topic: &str, offset: i64) -> i16 {
        self.send_commit(member, topic, offset).unwrap();
        self.receive_commit().unwrap()
    }

    pub(crate) fn send_commit(
        &mut self,
        member: &Member,
        topic: &str,
        offset: i64,
    ) -> std::io::Result<()> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group(&member.group))
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_topics(vec![topic]);
        self.send(ApiKey::OffsetCommit, 8, request)
    }

    pub(crate) fn receive_commit(&mut self) -> std::io::Result<i16> {
        match self.receive(ApiKey::OffsetCommit, 8)? {
            ResponseKind::OffsetCommit(response) => Ok(response.topics[0].partitions[0].error_code),
            other => panic!("{other:?}"),
        }
    }

    /// The committed offset of partition 0 of `topic`, or the answer's code.
    pub(crate) fn committed(&mut self, group_id: &str, topic: &str) -> Result<i64, i16> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group(group_id))
            .with_topics(Some(vec![topic]));
        match self.call(ApiKey::OffsetFetch, 7, request) {
            ResponseKind::OffsetFetch(response) if response.error_code == 0 => {
                Ok(response.topics[0].partitions[0].committed_offset)
            }
            ResponseKind::OffsetFetch(response) => Err(response.error_code),
            other => panic!("{other:?}"),
        }
    }
}

/// What a member knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
}

impl Member {
    /// An administrator, who needs no generation.
    pub(crate) fn nobody(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
        }
    }
}

/// A request to join with the protocol `range`, by a member that may not have an id yet.
pub(crate) fn join_request(member: &Member) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    JoinGroupRequest::default()
        .with_group_id(group(&member.group))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(&member.id))
        .with_group_instance_id(member.instance.as_deref().map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// A leader's request that gives `assignment` to itself.
pub(crate) fn sync_request(member: &Member, assignment: &'static [u8]) -> SyncGroupRequest {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(text(&member.id))
        .with_assignment(Bytes::from_static(assignment));
    SyncGroupRequest::default()
        .with_group_id(group(&member.group))
        .with_generation_id(member.generation)
        .with_member_id(text(&member.id))
        .with_group_instance_id(member.instance.as_deref().map(text))
        .with_assignments(vec![own])
}

/// Joins a group alone, by version 5 or later, and is assigned `b"all"`.
pub(crate) fn join_alone(wire: &mut Wire, group: &str, instance: Option<&str>) -> Member {
    let mut member = Member {
        instance: instance.map(str::to_owned),
        ..Member::nobody(group)
    };
    let mut joined = wire.join(5, join_request(&member));
    if joined.error_code == 79 {
        member.id = joined.member_id.to_string();
        joined = wire.join(5, join_request(&member));
    }
    assert_eq!(joined.error_code, 0, "{joined:?}");
    member.id = joined.member_id.to_string();
    member.generation = joined.generation_id;
    let synced = wire.sync(3, sync_request(&member, b"all"));
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"all"[..])
    );
    member
}

/// Asks every node until one tells the coordinator of `group`, and it answers: its id and a
/// connection to it.
pub(crate) async fn coordinator(cluster: &Cluster, group: &str) -> (i32, Wire) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut seen = Vec::new();
        for address in cluster.bootstrap() {
            match found_by(address, group) {
                Ok((id, address)) => match Wire::connect(address) {
                    Ok(wire) => return (id, wire),
                    Err(error) => seen.push(error.to_string()),
                },
                Err(why) => seen.push(why),
            }
        }
        assert!(Instant::now() < deadline, "no coordinator: {seen:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn found_by(address: SocketAddr, group: &str) -> Result<(i32, SocketAddr), String> {
    let mut wire = Wire::connect(address).map_err(|error| error.to_string())?;
    let request = FindCoordinatorRequest::default().with_key(text(group));
    let sent = wire.send(ApiKey::FindCoordinator, 3, request);
    let answer = sent.and_then(|()| wire.receive(ApiKey::FindCoordinator, 3));
    match answer.map_err(|error| error.to_string())? {
        ResponseKind::FindCoordinator(found) if found.error_code == 0 => {
            let address = format!("{}:{}", &*found.host, found.port);
            Ok((found.node_id.0, address.parse().unwrap()))
        }
        other => Err(format!("{other:?}")),
    }
}

/// Asks the coordinator, whoever it is then, until `ask` has an answer.
pub(crate) async fn retry<T>(
    cluster: &Cluster,
    group: &str,
    mut ask: impl FnMut(&mut Wire) -> Result<T, i16>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (id, mut wire) = coordinator(cluster, group).await;
        match ask(&mut wire) {
            Ok(answer) => return answer,
            Err(code) => assert!(Instant::now() < deadline, "node {id} answers {code}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
