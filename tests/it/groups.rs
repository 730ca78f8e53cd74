//! Groups over the wire: members by hand against real nodes.

use std::time::{Duration, Instant};

use broker::client::NewTopic;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest, MetadataRequest,
    ResponseKind, TopicName,
};

use crate::cluster::{Cluster, PATIENCE};
use crate::group_wire::{
    Member, Wire, coordinator, group, join_alone, join_request, retry, sync_request, text,
};
use crate::requests::{batch, produce};

/// The topic of groups.
const OFFSETS: &str = "__consumer_offsets";
/// Groups that begin at once.
const SETTINGS: &[&str] = &[
    "offsets.topic.num.partitions=5",
    "group.initial.rebalance.delay.ms=0",
];

fn topic(name: &str, replication_factor: i16) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication_factor,
        configs: Vec::new(),
    }
}

/// A node with the topic `t`.
async fn one_node() -> Cluster {
    let cluster = Cluster::start(1, SETTINGS);
    cluster.serving().await;
    let admin = cluster.admin().await;
    admin.create_topic(topic("t", 1)).await.unwrap();
    cluster
}

/// The groups of `wire`'s node that are empty.
fn empty_groups(wire: &mut Wire) -> Vec<String> {
    let request = ListGroupsRequest::default().with_states_filter(vec![text("empty")]);
    match wire.call(ApiKey::ListGroups, 5, request) {
        ResponseKind::ListGroups(listed) => {
            assert_eq!(listed.error_code, 0);
            let groups = listed.groups.iter();
            groups.map(|group| group.group_id.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_joins_commits_reads_back_and_leaves() {
    let cluster = one_node().await;
    let member = retry(&cluster, "g", |wire| match wire.committed("g", "t") {
        Ok(-1) => Ok(join_alone(wire, "g", None)),
        Ok(offset) => panic!("{offset} was never committed"),
        Err(code) => Err(code),
    })
    .await;
    let (_, mut wire) = coordinator(&cluster, "g").await;
    assert_eq!(wire.heartbeat(&member), 0);
    assert_eq!(wire.commit(&member, "t", 17), 0);
    assert_eq!(wire.committed("g", "t"), Ok(17));
    let zombie = Member {
        generation: member.generation - 1,
        ..member.clone()
    };
    assert_eq!(wire.commit(&zombie, "t", 3), 22, "ILLEGAL_GENERATION");
    assert_eq!(wire.commit(&member, "no-such-topic", 3), 3);
    describe_stable(&mut wire, &member);
    let identity = MemberIdentity::default().with_member_id(text(&member.id));
    let leave = LeaveGroupRequest::default()
        .with_group_id(group("g"))
        .with_members(vec![identity]);
    match wire.call(ApiKey::LeaveGroup, 4, leave) {
        ResponseKind::LeaveGroup(left) => {
            assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(wire.heartbeat(&member), 25, "UNKNOWN_MEMBER_ID");
    assert_eq!(empty_groups(&mut wire), ["g"]);
    assert_eq!(wire.committed("g", "t"), Ok(17));
}

fn describe_stable(wire: &mut Wire, member: &Member) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group("g"), group("none")]);
    let ResponseKind::DescribeGroups(described) = wire.call(ApiKey::DescribeGroups, 5, request)
    else {
        panic!("another API's answer");
    };
    let [stable, none] = &described.groups[..] else {
        panic!("{described:?}");
    };
    assert_eq!(
        (&*stable.group_state, &*stable.protocol_data),
        ("Stable", "range")
    );
    let [only] = &stable.members[..] else {
        panic!("{stable:?}");
    };
    assert_eq!(
        (&*only.member_id, &*only.client_id),
        (&*member.id, "by-hand")
    );
    assert!(
        only.client_host.starts_with("/127."),
        "{}",
        &*only.client_host
    );
    assert_eq!(only.member_assignment, "all");
    assert_eq!((none.error_code, &*none.group_state), (0, "Dead"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kip1043_a_group_that_does_not_exist_is_an_error_since_version_6() {
    let cluster = one_node().await;
    retry(&cluster, "none", |wire| wire.committed("none", "t")).await;
    let (_, mut wire) = coordinator(&cluster, "none").await;
    for (version, error) in [(0, 0), (5, 0), (6, 69)] {
        let request = DescribeGroupsRequest::default().with_groups(vec![group("none")]);
        match wire.call(ApiKey::DescribeGroups, version, request) {
            ResponseKind::DescribeGroups(described) => {
                let [none] = &described.groups[..] else {
                    panic!("{described:?}");
                };
                assert_eq!((none.error_code, &*none.group_state), (error, "Dead"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kip394_kip559_every_version_of_join_and_sync_is_served() {
    let cluster = one_node().await;
    retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    for (join, sync) in [(0, 0), (1, 1), (3, 2), (4, 3), (6, 4), (9, 5)] {
        let id = format!("g-{join}");
        let mut member = Member::nobody(&id);
        let (_, mut wire) = coordinator(&cluster, &id).await;
        let mut joined = wire.join(join, join_request(&member));
        if join >= 4 {
            assert_eq!(joined.error_code, 79, "KIP-394, version {join}");
            member.id = joined.member_id.to_string();
            joined = wire.join(join, join_request(&member));
        }
        assert_eq!(joined.error_code, 0, "version {join}: {joined:?}");
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.members.len(), 1);
        member.id = joined.member_id.to_string();
        member.generation = joined.generation_id;
        let mut request = sync_request(&member, b"mine");
        if sync >= 5 {
            let refused = wire.sync(sync, request.clone());
            assert_eq!(refused.error_code, 23, "KIP-559: no protocol was told");
            request = request
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range")));
        }
        let synced = wire.sync(sync, request);
        assert_eq!((synced.error_code, synced.assignment), (0, "mine".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_survive_a_restart_and_go_when_deleted() {
    let mut cluster = one_node().await;
    retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    let (_, mut wire) = coordinator(&cluster, "g").await;
    assert_eq!(wire.commit(&Member::nobody("g"), "t", 5), 0);
    assert_eq!(
        wire.commit(&Member::nobody("g"), "t", 4),
        0,
        "the last writer wins"
    );
    cluster.kill(1);
    cluster.restart(1);
    cluster.serving().await;
    let offset = retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    assert_eq!(offset, 4);
    let (_, mut wire) = coordinator(&cluster, "g").await;
    let groups = vec![group("g"), group("none")];
    let request = DeleteGroupsRequest::default().with_groups_names(groups);
    match wire.call(ApiKey::DeleteGroups, 2, request) {
        ResponseKind::DeleteGroups(deleted) => {
            let codes: Vec<_> = deleted.results.iter().map(|one| one.error_code).collect();
            assert_eq!(codes, [0, 69], "GROUP_ID_NOT_FOUND");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(wire.committed("g", "t"), Ok(-1));
    assert!(empty_groups(&mut wire).is_empty());
    cluster.kill(1);
    cluster.restart(1);
    cluster.serving().await;
    let offset = retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    assert_eq!(offset, -1, "tombstones count");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_19154_offsets_die_with_their_topic() {
    let cluster = one_node().await;
    retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    let (_, mut wire) = coordinator(&cluster, "g").await;
    assert_eq!(wire.commit(&Member::nobody("g"), "t", 5), 0);
    let admin = cluster.admin().await;
    admin.delete_topic("t").await.unwrap();
    admin.create_topic(topic("t", 1)).await.unwrap();
    let gone = |wire: &mut Wire| match wire.committed("g", "t") {
        Ok(-1) => Ok(()),
        Ok(_) => Err(0),
        Err(code) => Err(code),
    };
    retry(&cluster, "g", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offsets_topic_is_internal_and_refuses_producers() {
    let cluster = one_node().await;
    let address = cluster.bootstrap()[0];
    let mut wire = Wire::connect(address).unwrap();
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(OFFSETS))));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(true);
    let deadline = Instant::now() + PATIENCE;
    let topic = loop {
        match wire.call(ApiKey::Metadata, 9, request.clone()) {
            ResponseKind::Metadata(mut seen) if seen.topics[0].error_code == 0 => {
                break seen.topics.remove(0);
            }
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(topic.is_internal);
    assert_eq!(topic.partitions.len(), 5, "as configured for this topic");
    match wire.call(ApiKey::Produce, 8, produce(OFFSETS, batch())) {
        ResponseKind::Produce(answer) => {
            let code = answer.responses[0].partition_responses[0].error_code;
            assert_eq!(code, 17, "INVALID_TOPIC_EXCEPTION");
        }
        other => panic!("{other:?}"),
    }
}
