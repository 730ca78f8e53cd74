//! Creating and deleting topics, and changing their configurations.

use super::fixture::{Cluster, code, ids};
use super::{ConfigAlteration, ConfigOp, ConfigReplacement, NewTopic, TopicSelector};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::metadata::image::MetadataDelta;
use crate::metadata::record::{ConfigResource, MetadataRecord};
use crate::offset::NO_BROKER_EPOCH;

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: -1,
        replication_factor: -1,
        ..NewTopic::default()
    }
}

fn assigned(assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments = assignments
        .iter()
        .map(|(index, replicas)| (*index, ids(replicas)));
    NewTopic {
        assignments: assignments.collect(),
        ..topic("t")
    }
}

fn configured(key: &str, value: Option<&str>) -> NewTopic {
    NewTopic {
        configs: vec![(key.to_owned(), value.map(str::to_owned))],
        ..topic("t")
    }
}

fn check(new: NewTopic, expected: Option<ErrorCode>) {
    let mut cluster = Cluster::of(3);
    cluster.create(topic("exists.already")).unwrap();
    assert_eq!(code(cluster.create(new.clone())), expected, "{new:?}");
    assert_eq!(cluster.records.is_empty(), expected.is_some());
}

#[test]
fn names_are_checked() {
    let too_long = "x".repeat(250);
    for bad in [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "é",
        "__cluster_metadata",
        &too_long,
    ] {
        check(topic(bad), Some(ErrorCode::InvalidTopicException));
    }
    check(
        topic("exists_already"),
        Some(ErrorCode::InvalidTopicException),
    );
    check(topic("exists.already"), Some(ErrorCode::TopicAlreadyExists));
    check(topic("exists-already"), None);
    check(topic(&"x".repeat(249)), None);
}

#[test]
fn shapes_are_checked() {
    for (partitions, factor, expected) in [
        (0, 1, Some(ErrorCode::InvalidPartitions)),
        (-2, 1, Some(ErrorCode::InvalidPartitions)),
        (10_001, 1, Some(ErrorCode::PolicyViolation)),
        (1, 0, Some(ErrorCode::InvalidReplicationFactor)),
        (1, -2, Some(ErrorCode::InvalidReplicationFactor)),
        (1, 4, Some(ErrorCode::InvalidReplicationFactor)),
        (6, 3, None),
    ] {
        check(
            NewTopic {
                partitions,
                replication_factor: factor,
                ..topic("t")
            },
            expected,
        );
    }
}

#[test]
fn kafka1653_assignments_are_checked() {
    let bad = Some(ErrorCode::InvalidReplicaAssignment);
    check(assigned(&[(0, &[3, 1]), (1, &[1, 2])]), None);
    check(assigned(&[(0, &[1, 1])]), bad);
    check(assigned(&[(0, &[1, 2]), (1, &[1])]), bad);
    check(assigned(&[(0, &[1]), (2, &[1])]), bad);
    check(assigned(&[(0, &[1]), (0, &[2])]), bad);
    check(assigned(&[(0, &[9])]), bad);
    check(assigned(&[(0, &[])]), bad);
    let both = NewTopic {
        partitions: 1,
        ..assigned(&[(0, &[1])])
    };
    check(both, Some(ErrorCode::InvalidRequest));
}

#[test]
fn configurations_are_checked() {
    check(configured("min.insync.replicas", Some("2")), None);
    check(
        configured("min.insync.replicas", Some("0")),
        Some(ErrorCode::InvalidConfig),
    );
    check(
        configured("min.insync.replicas", None),
        Some(ErrorCode::InvalidConfig),
    );
    check(
        configured("min.insink.replicas", Some("2")),
        Some(ErrorCode::InvalidConfig),
    );
}

#[test]
fn a_topic_is_born_in_sync_under_its_preferred_leader() {
    let mut cluster = Cluster::of(3);
    let six = NewTopic {
        partitions: 6,
        replication_factor: 3,
        ..topic("t")
    };
    let topic_id = cluster.create(six).unwrap();
    let mut leaders = [0; 4];
    for (_, partition) in cluster.topic("t").partitions() {
        assert_eq!(
            (&partition.isr, partition.topic_id),
            (&partition.replicas, topic_id)
        );
        assert_eq!(partition.leader, partition.replicas.first().copied());
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (0, 0));
        leaders[partition.leader.unwrap().0 as usize] += 1;
    }
    assert_eq!(leaders, [0, 2, 2, 2]);
    cluster.check_snapshot();
}

#[test]
fn validation_alone_creates_nothing_and_a_name_twice_is_refused() {
    let mut cluster = Cluster::of(1);
    let topics = vec![topic("a"), topic("b"), topic("a")];
    for validate_only in [true, false] {
        let decision = cluster.controller.handle_create_topics(
            cluster.next_offset,
            topics.clone(),
            validate_only,
        );
        let answers: Vec<_> = cluster.take(decision).into_iter().map(code).collect();
        let twice = Some(ErrorCode::InvalidRequest);
        assert_eq!(answers, [twice, None, twice]);
        assert_eq!(cluster.records.is_empty(), validate_only);
    }
}

fn delete(cluster: &mut Cluster, selector: TopicSelector) -> Option<ErrorCode> {
    let decision = cluster
        .controller
        .handle_delete_topics(cluster.next_offset, &[selector]);
    code(cluster.take(decision).remove(0))
}

#[test]
fn a_topic_created_again_is_another_topic() {
    let mut cluster = Cluster::of(1);
    let first = cluster.topic_on(&[1], &[("retention.ms", "5")]);
    let before = cluster.image().clone();
    assert_eq!(
        delete(&mut cluster, TopicSelector::Name("t".to_owned())),
        None
    );
    let second = cluster.topic_on(&[1], &[]);
    assert_ne!(first, second);
    assert!(cluster.image().configs().of_topic(&"t".into()).is_empty());

    let delta = MetadataDelta::between(&before, cluster.image());
    assert_eq!(
        delta.deleted_topics.into_keys().collect::<Vec<_>>(),
        [first]
    );
    assert_eq!(delta.partitions[0].registration.topic_id, second);
    assert_eq!(
        delta.configs.into_iter().collect::<Vec<_>>(),
        [ConfigResource::Topic("t".into())]
    );

    let unknown = Some(ErrorCode::UnknownTopicId);
    assert_eq!(delete(&mut cluster, TopicSelector::Id(first)), unknown);
    assert_eq!(
        delete(&mut cluster, TopicSelector::Id(TopicId::ZERO)),
        unknown
    );
    assert_eq!(delete(&mut cluster, TopicSelector::Id(second)), None);
    let unknown = Some(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(
        delete(&mut cluster, TopicSelector::Name("t".to_owned())),
        unknown
    );
}

fn alter(
    cluster: &mut Cluster,
    resource: ConfigResource,
    ops: &[(&str, ConfigOp)],
) -> Option<ErrorCode> {
    let ops = ops
        .iter()
        .map(|(key, op)| (key.to_string(), op.clone()))
        .collect();
    let alterations = [ConfigAlteration { resource, ops }];
    let next_offset = cluster.next_offset;
    let decision =
        cluster
            .controller
            .handle_incremental_alter_configs(next_offset, &alterations, false);
    code(cluster.take(decision).remove(0))
}

fn set(value: &str) -> ConfigOp {
    ConfigOp::Set(Some(value.to_owned()))
}

#[test]
fn single_keys_are_set_and_deleted() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1], &[("retention.ms", "5")]);
    let t = ConfigResource::Topic("t".into());
    let mut check = |ops: &[(&str, ConfigOp)], expected: Option<ErrorCode>, records: usize| {
        assert_eq!(alter(&mut cluster, t.clone(), ops), expected, "{ops:?}");
        assert_eq!(cluster.records.len(), records);
    };
    check(
        &[
            ("segment.bytes", set("65536")),
            ("retention.ms", ConfigOp::Delete),
        ],
        None,
        2,
    );
    check(
        &[
            ("segment.bytes", set("65536")),
            ("retention.ms", ConfigOp::Delete),
        ],
        None,
        0,
    );
    let invalid = Some(ErrorCode::InvalidConfig);
    check(
        &[("segment.bytes", set("x")), ("retention.ms", set("9"))],
        invalid,
        0,
    );
    check(&[("no.such.key", set("x"))], invalid, 0);
    check(&[("segment.bytes", ConfigOp::Set(None))], invalid, 0);
    check(&[("segment.bytes", ConfigOp::EditList)], invalid, 0);
    let twice = [
        ("segment.bytes", set("65536")),
        ("segment.bytes", ConfigOp::Delete),
    ];
    check(&twice, Some(ErrorCode::InvalidRequest), 0);
    cluster.check_snapshot();

    let none = ConfigResource::Topic("none".into());
    let unknown = Some(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(&mut cluster, none, &[]), unknown);
    assert_eq!(
        alter(&mut cluster, ConfigResource::Broker(BrokerId(1)), &[]),
        invalid
    );
    assert_eq!(
        alter(&mut cluster, ConfigResource::AllBrokers, &[]),
        invalid
    );
}

#[test]
fn a_replacement_returns_the_other_keys_to_their_defaults() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1], &[("retention.ms", "5"), ("segment.bytes", "65536")]);
    let resource = ConfigResource::Topic("t".into());
    let overrides = vec![("retention.ms".to_owned(), Some("6".to_owned()))];
    let replacement = [ConfigReplacement {
        resource: resource.clone(),
        overrides,
    }];
    let next_offset = cluster.next_offset;
    let decision = cluster
        .controller
        .handle_alter_configs(next_offset, &replacement, false);
    assert_eq!(code(cluster.take(decision).remove(0)), None);
    let stored: Vec<_> = cluster.image().configs().of(&resource).iter().collect();
    assert_eq!(stored, [(&"retention.ms".to_owned(), &"6".to_owned())]);
}

#[test]
fn kip966_another_min_insync_replicas_clears_the_elr_first() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[("min.insync.replicas", "2")]);
    cluster.alter(cluster.alteration(&[1])).unwrap();
    assert_eq!(cluster.state().2, [2]);
    let resource = ConfigResource::Topic("t".into());
    alter(&mut cluster, resource, &[("min.insync.replicas", set("1"))]);
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![]));
    assert!(matches!(
        cluster.records.as_slice(),
        [
            MetadataRecord::PartitionChange(_),
            MetadataRecord::Config { .. }
        ]
    ));
}

#[test]
fn allowing_unclean_elections_holds_them() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    cluster.alter(cluster.alteration(&[1])).unwrap();
    cluster.fall_silent(&[1]);
    assert_eq!(cluster.state().0, None);
    let resource = ConfigResource::Topic("t".into());
    alter(
        &mut cluster,
        resource,
        &[("unclean.leader.election.enable", set("true"))],
    );
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    cluster.start(1, NO_BROKER_EPOCH);
}
