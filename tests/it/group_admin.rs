//! The administration of groups through real brokers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker::client::group::{
    BoxFuture, Commits, GroupConfig, RebalanceEvent, RebalanceListener, Resumption,
};
use broker::client::{
    Acks, Admin, Consumer, ConsumerConfig, ErrorKind, GroupDescription, NewTopic, OffsetSpec,
};
use broker::id::TopicPartition;

use crate::cluster::{Cluster, PATIENCE, record};

const GROUP: &str = "g";
const RECORDS: i64 = 10;
/// The timestamp of record 0; each later one is a millisecond younger.
const FIRST_TIMESTAMP: i64 = 1_000_000;

struct Quiet;

impl RebalanceListener for Quiet {
    fn assigned<'a>(&'a mut self, _: Commits<'a>, _: RebalanceEvent) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
    fn revoked<'a>(&'a mut self, _: Commits<'a>, _: RebalanceEvent) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
    fn lost(&mut self, _: RebalanceEvent) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn resumed(&mut self, _: Resumption) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn partitions() -> Vec<TopicPartition> {
    (0..2)
        .map(|index| TopicPartition::new("t", index))
        .collect()
}

async fn cluster_with_records(brokers: usize) -> Cluster {
    let extra = [
        "group.initial.rebalance.delay.ms=0",
        "offsets.topic.num.partitions=4",
    ];
    let cluster = Cluster::start(brokers, &extra);
    cluster.serving().await;
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 2,
        replication_factor: brokers as i16,
        configs: Vec::new(),
    };
    cluster.admin().await.create_topic(topic).await.unwrap();
    let producer = cluster.producer(Acks::All).await;
    for partition in 0..2 {
        for value in 0..RECORDS {
            let mut record = record("t", partition, value.to_string());
            record.timestamp = Some(FIRST_TIMESTAMP + value);
            producer.send(record).await.unwrap();
        }
    }
    cluster
}

async fn offsets(admin: &Admin) -> BTreeMap<TopicPartition, i64> {
    let offsets = admin.group_offsets(GROUP, None).await.unwrap();
    let pairs = offsets.into_iter();
    pairs
        .map(|(partition, committed)| (partition, committed.offset))
        .collect()
}

/// Resets both partitions and returns what the group then has.
async fn reset(admin: &Admin, to: OffsetSpec) -> Vec<i64> {
    let results = admin
        .reset_group_offsets(GROUP, &partitions(), to)
        .await
        .unwrap();
    let told: BTreeMap<_, _> = results
        .into_iter()
        .map(|(p, offset)| (p, offset.unwrap()))
        .collect();
    assert_eq!(
        offsets(admin).await,
        told,
        "what was told is what is committed"
    );
    told.into_values().collect()
}

async fn described(admin: &Admin) -> Option<GroupDescription> {
    admin.describe_groups(&[GROUP]).await.unwrap().pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_reset_and_outlive_their_coordinator() {
    let mut cluster = cluster_with_records(3).await;
    let admin = cluster.admin().await;
    assert_eq!(reset(&admin, OffsetSpec::Latest).await, [RECORDS, RECORDS]);
    assert_eq!(reset(&admin, OffsetSpec::Earliest).await, [0, 0]);
    assert_eq!(
        reset(&admin, OffsetSpec::Offset(99)).await,
        [RECORDS, RECORDS]
    );
    assert_eq!(
        reset(&admin, OffsetSpec::Timestamp(FIRST_TIMESTAMP + 50)).await,
        [10, 10]
    );
    assert_eq!(
        reset(&admin, OffsetSpec::Timestamp(FIRST_TIMESTAMP + 6)).await,
        [6, 6]
    );
    let coordinator = described(&admin).await.unwrap().coordinator;
    cluster.kill(coordinator.0);
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        match admin.group_offsets(GROUP, None).await {
            Ok(offsets) => break offsets,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert!(
        after.values().all(|committed| committed.offset == 6),
        "{after:?}"
    );
    assert_eq!(after.len(), 2);
    assert_ne!(described(&admin).await.unwrap().coordinator, coordinator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_listed_described_and_protected_by_its_members() {
    let cluster = cluster_with_records(1).await;
    let admin = cluster.admin().await;
    assert!(described(&admin).await.is_none(), "there is no group yet");
    let config = ConsumerConfig {
        bootstrap: cluster.bootstrap(),
        group: Some(GroupConfig {
            group_id: GROUP.to_owned(),
            heartbeat_interval: Duration::from_millis(100),
            ..GroupConfig::default()
        }),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::start(config).await.unwrap();
    consumer
        .subscribe(vec!["t".to_owned()], Box::new(Quiet))
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consumer.assignment().len() < 2 {
        consumer.poll(Duration::from_millis(20)).await.unwrap();
        assert!(Instant::now() < deadline, "no assignment");
    }
    let group = described(&admin).await.unwrap();
    assert_eq!(
        (group.state.as_str(), group.assignor.as_str()),
        ("Stable", "range")
    );
    assert_eq!(group.members.len(), 1);
    assert_eq!(group.members[0].assignment, Ok(partitions()));
    assert_eq!(
        group.members[0].member_id,
        consumer.group_metadata().unwrap().member_id
    );
    let listed = admin.list_groups().await.unwrap();
    assert_eq!(
        (listed[0].group_id.as_str(), listed[0].state.as_str()),
        (GROUP, "Stable")
    );

    // Its members would overwrite what an administrator sets.
    let wanted = partitions()
        .into_iter()
        .map(|partition| (partition, 3))
        .collect();
    let refused = admin.alter_group_offsets(GROUP, &wanted).await.unwrap();
    let refused = refused.into_values().chain(
        admin
            .delete_group_offsets(GROUP, &partitions())
            .await
            .unwrap()
            .into_values(),
    );
    for result in refused.chain(admin.delete_groups(&[GROUP]).await.into_values()) {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains("stop them first"), "{error}");
    }

    consumer.close(PATIENCE).await;
    assert_eq!(described(&admin).await.unwrap().state, "Empty");
    assert_eq!(reset(&admin, OffsetSpec::Offset(3)).await, [3, 3]);
    let gone = admin
        .delete_group_offsets(GROUP, &partitions()[..1])
        .await
        .unwrap();
    assert!(gone.into_values().all(|result| result.is_ok()));
    assert_eq!(
        offsets(&admin).await,
        BTreeMap::from([(partitions()[1].clone(), 3)])
    );
    assert_eq!(admin.delete_groups(&[GROUP]).await[GROUP], Ok(()));
    assert!(described(&admin).await.is_none(), "the group is gone");
    assert!(offsets(&admin).await.is_empty());
    assert!(admin.list_groups().await.unwrap().is_empty());
}
