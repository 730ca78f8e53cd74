//! Partitions of `__consumer_offsets` that come and go, on a disk in memory.

use std::time::Duration;

use uuid::Uuid;

use super::OFFSETS_TOPIC;
use super::broker_test::{INCARNATION, NOW, OTHER, OWN, Rig, broker};
use crate::error::ErrorCode;
use crate::group::{CommitOffset, CommitRequest, GroupCaller, GroupRequest, MemberRequest};
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::metadata::MetadataRecord;
use crate::metadata::record::{LeaderChange, PartitionChange};
use crate::offset::{NO_LEADER_EPOCH, Offset};
use crate::replica::{FetchPosition, FollowerFetch, PartitionRegistration, RoleName};
use crate::storage::Operation;
use crate::time::Now;

const TOPIC: TopicId = TopicId(Uuid::from_u128(100));

fn offsets() -> TopicPartition {
    TopicPartition::new(OFFSETS_TOPIC, 0)
}

/// A topic of one partition that this broker leads, alone in the ISR.
fn topic(name: &str, topic_id: TopicId) -> [MetadataRecord; 2] {
    let registration = PartitionRegistration {
        topic_id,
        replicas: vec![OWN, OTHER],
        isr: vec![OWN],
        leader: Some(OWN),
        ..PartitionRegistration::default()
    };
    [
        MetadataRecord::Topic {
            name: name.into(),
            topic_id,
        },
        MetadataRecord::Partition {
            partition: 0,
            registration,
        },
    ]
}

/// A broker that leads the partition of all groups, and knows the topic `t`.
fn leader() -> Rig {
    let mut rig = Rig::start();
    rig.commit([broker(OWN, INCARNATION, 1), broker(OTHER, Uuid::nil(), 2)]);
    rig.commit(topic("t", TopicId(Uuid::from_u128(7))));
    rig.commit(topic(OFFSETS_TOPIC, TOPIC));
    rig
}

fn change(isr: &[BrokerId], leader: Option<BrokerId>) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionChange {
        isr: Some(isr.to_vec()),
        leader: leader.map_or(LeaderChange::Unchanged, LeaderChange::Leader),
        ..PartitionChange::new(TOPIC, 0)
    })
}

fn commit(rig: &mut Rig, offset: Offset) {
    commit_of(rig, 0, offset);
}

fn commit_of(rig: &mut Rig, partition: i32, offset: Offset) {
    let topic = rig.broker.image.topics().named("t");
    let offset = CommitOffset {
        offset,
        topic_id: topic.map(|topic| topic.id()),
        ..CommitOffset::default()
    };
    let request = CommitRequest {
        member: MemberRequest {
            group_id: "g".to_owned(),
            generation_id: -1,
            ..MemberRequest::default()
        },
        offsets: vec![(TopicPartition::new("t", partition), offset)],
        knows_group_id_not_found: true,
    };
    ask(rig, GroupRequest::Commit(request));
}

fn ask(rig: &mut Rig, request: GroupRequest) {
    let caller = GroupCaller::default();
    let coordinator = &mut rig.broker.groups.coordinator;
    coordinator.handle_request(NOW, 0, 1, caller, request);
    rig.broker.settle(NOW);
    rig.perform();
}

/// What the coordinator would tell, if it serves the group.
fn committed(rig: &Rig) -> Result<Option<Offset>, ErrorCode> {
    let name = TopicPartition::new("t", 0);
    let coordinator = &rig.broker.groups.coordinator;
    let found = coordinator.committed(0, "g")?;
    let found = found.get(&name);
    Ok(found.map(|offset| offset.offset))
}

/// The other replica has everything below `offset`.
fn follow(rig: &mut Rig, leader_epoch: i32, offset: Offset) {
    let fetch = FollowerFetch {
        replica: OTHER,
        broker_epoch: 2,
        position: FetchPosition {
            current_leader_epoch: leader_epoch,
            fetch_offset: offset,
            last_fetched_epoch: NO_LEADER_EPOCH,
            log_start_offset: 0,
        },
    };
    rig.broker.with_replica(NOW, &offsets(), |replica| {
        replica.handle_follower_fetch(NOW, &fetch);
    });
    rig.broker.settle(NOW);
    rig.perform();
}

#[test]
fn kafka_9065_an_empty_partition_is_served_at_once() {
    let mut rig = leader();
    assert_eq!(committed(&rig), Ok(None));
    commit(&mut rig, 5);
    assert_eq!(committed(&rig), Ok(Some(5)));
}

#[test]
fn a_commit_counts_when_the_high_watermark_covers_it() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], None)]);
    follow(&mut rig, 0, 1);
    commit(&mut rig, 6);
    assert_eq!(committed(&rig), Ok(Some(5)));
    follow(&mut rig, 0, 2);
    assert_eq!(committed(&rig), Ok(Some(6)));
}

/// The next leader may lack what the last one left behind: to tell it now and not later would be
/// to lose it.
#[test]
fn a_partition_is_served_when_all_that_it_holds_is_committed() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], None)]);
    follow(&mut rig, 0, 1);
    commit(&mut rig, 6);
    rig.commit([change(&[OWN, OTHER], Some(OWN))]);
    assert_eq!(committed(&rig), Err(ErrorCode::CoordinatorLoadInProgress));
    follow(&mut rig, 1, 1);
    assert_eq!(committed(&rig), Err(ErrorCode::CoordinatorLoadInProgress));
    follow(&mut rig, 1, 2);
    assert_eq!(
        committed(&rig),
        Ok(Some(6)),
        "not only to the high watermark"
    );
}

/// Its tombstones are more than one batch may hold.
#[test]
fn a_group_with_very_many_offsets_is_deleted_when_all_of_it_is() {
    let mut rig = leader();
    let partition = rig.broker.partitions.get_mut(&offsets()).unwrap();
    partition.config.max_message_bytes = 300;
    for partition in 0..20 {
        commit_of(&mut rig, partition, 5);
    }
    rig.commit([change(&[OWN, OTHER], None)]);
    follow(&mut rig, 0, 20);
    let group_id = "g".to_owned();
    ask(&mut rig, GroupRequest::DeleteGroup { group_id });
    let state = |rig: &Rig| {
        let described = rig.broker.groups.coordinator.describe(0, "g");
        described.unwrap().state
    };
    let log = rig.broker.partitions[&offsets()].replica.log();
    assert_eq!(log.log_end_offset(), 41, "twenty offsets, and the group");
    for (followed, expected) in [(30, "Empty"), (41, "Dead")] {
        follow(&mut rig, 0, followed);
        assert_eq!(state(&rig), expected, "replicated below {followed}");
    }
}

#[test]
fn who_leads_no_more_coordinates_no_more() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], Some(OTHER))]);
    assert_eq!(committed(&rig), Err(ErrorCode::NotCoordinator));
    rig.commit([change(&[OWN, OTHER], Some(OWN))]);
    follow(&mut rig, 2, 1);
    assert_eq!(committed(&rig), Ok(Some(5)));
}

#[test]
fn a_failed_disk_ends_the_coordinator() {
    let mut rig = leader();
    let failed = |replica: &mut crate::replica::Replica| replica.handle_storage_failed(NOW);
    rig.broker.with_replica(NOW, &offsets(), failed);
    let replica = &rig.broker.partitions[&offsets()].replica;
    assert_eq!(replica.role(), RoleName::Offline);
    assert_eq!(committed(&rig), Err(ErrorCode::NotCoordinator));
}

#[test]
fn the_next_incarnation_of_the_offsets_topic_begins_empty() {
    let mut rig = leader();
    commit(&mut rig, 5);
    let removal = MetadataRecord::RemoveTopic { topic_id: TOPIC };
    let again = topic(OFFSETS_TOPIC, TopicId(Uuid::from_u128(101)));
    rig.commit(std::iter::once(removal).chain(again));
    assert_eq!(committed(&rig), Ok(None));
}

#[test]
fn kafka_19154_offsets_go_with_their_topic_even_if_it_went_between_two_coordinators() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], Some(OTHER))]);
    let topic_id = TopicId(Uuid::from_u128(7));
    rig.commit([MetadataRecord::RemoveTopic { topic_id }]);
    rig.commit([change(&[OWN], Some(OWN))]);
    assert_eq!(committed(&rig), Ok(None));
    let log_end = rig.broker.partitions[&offsets()].replica.log();
    assert_eq!(log_end.log_end_offset(), 2, "the deletion is stored");
    rig.commit(topic("t", TopicId(Uuid::from_u128(8))));
    assert_eq!(committed(&rig), Ok(None));
}

/// By the name alone the new topic would inherit: nobody lived to store the deletion.
#[test]
fn kafka_19154_a_topic_made_anew_between_two_coordinators_inherits_nothing() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], Some(OTHER))]);
    let topic_id = TopicId(Uuid::from_u128(7));
    let removal = MetadataRecord::RemoveTopic { topic_id };
    let again = topic("t", TopicId(Uuid::from_u128(8)));
    rig.commit(std::iter::once(removal).chain(again));
    rig.commit([change(&[OWN], Some(OWN))]);
    assert_eq!(committed(&rig), Ok(None));
    commit(&mut rig, 1);
    rig.commit([change(&[OWN], Some(OTHER))]);
    rig.commit([change(&[OWN], Some(OWN))]);
    assert_eq!(committed(&rig), Ok(Some(1)), "its own offset stays");
}

/// The deletion waits for the other replica; until then nobody may be told the old offset.
#[test]
fn kafka_19154_a_topic_made_anew_is_not_told_the_offset_that_is_being_deleted() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN, OTHER], None)]);
    follow(&mut rig, 0, 1);
    let name = TopicPartition::new("t", 0);
    let is_told = |rig: &Rig| {
        let coordinator = &rig.broker.groups.coordinator;
        let offset = coordinator.committed(0, "g").unwrap()[&name];
        rig.broker.is_of_present_topic(&name, offset)
    };
    assert!(is_told(&rig));
    let topic_id = TopicId(Uuid::from_u128(7));
    let removal = MetadataRecord::RemoveTopic { topic_id };
    let again = topic("t", TopicId(Uuid::from_u128(8)));
    rig.commit(std::iter::once(removal).chain(again));
    assert!(!is_told(&rig));
}

#[test]
fn a_load_goes_on_once_the_disk_has_what_it_needs() {
    let mut rig = leader();
    commit(&mut rig, 5);
    rig.commit([change(&[OWN], Some(OTHER))]);
    // Full, as the system says it of descriptors, too.
    rig.disks[0].set_fault(|operation, _| {
        (operation == Operation::Read).then_some(std::io::ErrorKind::StorageFull)
    });
    rig.commit([change(&[OWN], Some(OWN))]);
    let in_progress = Err(ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(committed(&rig), in_progress);
    let after = |millis| Now {
        time: NOW.time + Duration::from_millis(millis),
        ..NOW
    };
    rig.broker.handle_timeout(after(100));
    rig.perform();
    assert_eq!(committed(&rig), in_progress);
    rig.disks[0].clear_fault();
    assert!(rig.broker.next_timeout() <= Some(after(200).time));
    rig.broker.handle_timeout(after(200));
    rig.perform();
    assert_eq!(committed(&rig), Ok(Some(5)));
}

/// A broker that was paused must not tell the offsets of before, nor keep members alive.
#[test]
fn without_a_lease_nothing_is_coordinated() {
    let rig = leader();
    assert!(!rig.broker.lifecycle.has_lease(NOW));
    assert_eq!(committed(&rig), Ok(None), "it leads and has loaded");
    let partition = rig.broker.served_partition(NOW, "g");
    let coordinator = &rig.broker.groups.coordinator;
    let refusal = Err(ErrorCode::NotCoordinator);
    assert_eq!(coordinator.check_served(partition, "g"), refusal);
}

#[test]
fn offsets_go_with_their_topic() {
    let mut rig = leader();
    commit(&mut rig, 5);
    let topic_id = TopicId(Uuid::from_u128(7));
    rig.commit([MetadataRecord::RemoveTopic { topic_id }]);
    assert_eq!(committed(&rig), Ok(None));
}

#[test]
fn a_commit_on_its_way_goes_with_its_topic() {
    let mut rig = leader();
    rig.commit([change(&[OWN, OTHER], None)]);
    commit(&mut rig, 5);
    assert_eq!(committed(&rig), Ok(None));
    let topic_id = TopicId(Uuid::from_u128(7));
    rig.commit([MetadataRecord::RemoveTopic { topic_id }]);
    rig.commit(topic("t", TopicId(Uuid::from_u128(8))));
    follow(&mut rig, 0, 1);
    follow(&mut rig, 0, 2);
    assert_eq!(committed(&rig), Ok(None));
    let replica = &rig.broker.partitions[&offsets()].replica;
    assert_eq!(replica.high_watermark(), 2, "the commit and its deletion");
}
