//! How records change the image, and which records it refuses.

use uuid::Uuid;

use super::{ImageError, LoadError, MetadataDelta, MetadataImage};
use crate::id::{BrokerId, TopicId};
use crate::metadata::record::{
    BrokerRegistration, ConfigResource, LeaderChange, MetadataRecord, PartitionChange,
};
use crate::replica::PartitionRegistration;

const TOPIC: TopicId = TopicId(Uuid::from_u128(5));

fn broker(broker_epoch: i64) -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        broker_id: BrokerId(1),
        incarnation_id: Uuid::from_u128(1),
        broker_epoch,
        endpoints: Vec::new(),
        rack: None,
        directories: Vec::new(),
        offline_directories: Vec::new(),
        fenced: true,
        in_controlled_shutdown: false,
    })
}

fn partition(partition: i32) -> MetadataRecord {
    let registration = PartitionRegistration {
        topic_id: TOPIC,
        replicas: vec![BrokerId(1), BrokerId(2)],
        isr: vec![BrokerId(1), BrokerId(2)],
        leader: Some(BrokerId(1)),
        ..PartitionRegistration::default()
    };
    MetadataRecord::Partition {
        partition,
        registration,
    }
}

fn change(leader: LeaderChange) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionChange {
        leader,
        ..PartitionChange::new(TOPIC, 0)
    })
}

fn topic() -> MetadataRecord {
    MetadataRecord::Topic {
        name: "t".into(),
        topic_id: TOPIC,
    }
}

fn fold(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::empty();
    for (offset, record) in (0..).zip(records) {
        image.apply(record, offset).unwrap();
    }
    image
}

#[test]
fn kip631_the_leader_epoch_grows_exactly_with_a_leader_field() {
    for (leader, epochs, now) in [
        (LeaderChange::Unchanged, (0, 1), Some(BrokerId(1))),
        (LeaderChange::NoLeader, (1, 1), None),
        (LeaderChange::Leader(BrokerId(2)), (1, 1), Some(BrokerId(2))),
        (LeaderChange::Leader(BrokerId(1)), (1, 1), Some(BrokerId(1))),
    ] {
        let image = fold(&[topic(), partition(0), change(leader)]);
        let partition = image.topics().partition(TOPIC, 0).unwrap();
        assert_eq!((partition.leader_epoch, partition.partition_epoch), epochs);
        assert_eq!(partition.leader, now);
    }
}

#[test]
fn records_that_contradict_the_image_are_refused_and_change_nothing() {
    let image = fold(&[broker(0), topic(), partition(0)]);
    let fence = MetadataRecord::BrokerRegistrationChange {
        broker_id: BrokerId(1),
        broker_epoch: -1,
        fenced: Some(false),
        in_controlled_shutdown: None,
    };
    let producer_ids = |next_producer_id| MetadataRecord::ProducerIds {
        broker_id: BrokerId(1),
        broker_epoch: 0,
        next_producer_id,
    };
    let nowhere = PartitionChange::new(TOPIC, 7);
    let no_topic = MetadataRecord::RemoveTopic {
        topic_id: TopicId::ZERO,
    };
    let stranger = MetadataRecord::UnregisterBroker {
        broker_id: BrokerId(9),
        broker_epoch: 0,
    };
    let bad = MetadataRecord::PartitionChange(nowhere);
    for record in [
        broker(0),
        fence,
        topic(),
        partition(0),
        partition(2),
        bad,
        no_topic,
        stranger,
    ] {
        let mut after = image.clone();
        assert!(after.apply(&record, 9).is_err(), "{record:?}");
        assert_eq!(after, image);
    }
    let mut after = fold(&[producer_ids(1000)]);
    assert!(matches!(
        after.apply(&producer_ids(999), 9),
        Err(ImageError::ProducerIdsGoBack { .. })
    ));
    let back = after.apply(&MetadataRecord::NoOp, 0);
    assert_eq!(back, Err(ImageError::OffsetGoesBack { offset: 0, last: 0 }));
}

#[test]
fn a_snapshot_rebuilds_the_image_and_garbage_is_refused() {
    let value = Some("5".to_owned());
    let resource = ConfigResource::Topic("t".into());
    let image = fold(&[
        broker(0),
        topic(),
        partition(0),
        partition(1),
        change(LeaderChange::NoLeader),
        MetadataRecord::Config {
            resource,
            key: "retention.ms".to_owned(),
            value,
        },
        MetadataRecord::ProducerIds {
            broker_id: BrokerId(1),
            broker_epoch: 0,
            next_producer_id: 1000,
        },
        MetadataRecord::NoOp,
    ]);
    let snapshot = image.to_snapshot();
    assert_eq!(
        MetadataImage::from_snapshot(&snapshot, 7).as_ref(),
        Ok(&image)
    );
    let garbage = MetadataImage::from_snapshot(&snapshot[1..], 7);
    assert!(matches!(garbage, Err(LoadError::Codec(_))));
    let twice = [snapshot.clone(), snapshot].concat();
    assert!(matches!(
        MetadataImage::from_snapshot(&twice, 7),
        Err(LoadError::Image(_))
    ));
}

#[test]
fn a_delta_holds_what_changed_and_nothing_else() {
    let before = fold(&[broker(0), topic(), partition(0), partition(1)]);
    let mut after = before.clone();
    assert!(MetadataDelta::between(&before, &after).is_empty());
    after.apply(&change(LeaderChange::Unchanged), 4).unwrap();
    let delta = MetadataDelta::between(&before, &after);
    let changed: Vec<i32> = delta
        .partitions
        .iter()
        .map(|partition| partition.partition)
        .collect();
    assert_eq!(
        (changed, delta.brokers.len(), delta.configs.len()),
        (vec![0], 0, 0)
    );

    after.apply(&broker(5), 5).unwrap();
    after
        .apply(&MetadataRecord::RemoveTopic { topic_id: TOPIC }, 6)
        .unwrap();
    let delta = MetadataDelta::between(&before, &after);
    assert_eq!(delta.brokers.into_iter().collect::<Vec<_>>(), [BrokerId(1)]);
    assert_eq!(
        delta.deleted_topics.get(&TOPIC).map(|name| &**name),
        Some("t")
    );
    assert!(delta.partitions.is_empty());
    // From nothing to a snapshot: everything is new.
    let delta = MetadataDelta::between(&MetadataImage::empty(), &before);
    assert_eq!((delta.partitions.len(), delta.brokers.len()), (2, 1));
}
