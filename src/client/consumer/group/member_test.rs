//! A member against a scripted coordinator: what each answer makes of its membership.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use tokio::time::{Instant, timeout};

use super::script::{LONG, Scripted, group, grow, next};
use super::*;
use crate::client::Consumer;
use crate::config::sabotage::{Sabotage, plant_in_thread};
use crate::error::ErrorCode;

const JOINED: [&str; 4] = [
    "join ",
    "join m1",
    "assigned m1 1 t-0",
    "resumed t-0 0 Reset",
];

#[tokio::test]
async fn it_takes_the_id_it_is_told_and_starts_where_the_policy_says() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    assert_eq!(broker.story(), JOINED);
    let metadata = consumer.group_metadata().unwrap();
    assert_eq!(
        (metadata.member_id.as_str(), metadata.generation_id),
        ("m1", 1)
    );
}

#[tokio::test]
async fn it_starts_at_the_committed_offset() {
    let broker = Scripted::start().await;
    broker.script().committed.insert(0, 2);
    let mut consumer = broker.member(group()).await;
    assert_eq!(next(&mut consumer).await.offset, 2);
    assert_eq!(
        broker.story().last().unwrap(),
        "resumed t-0 2 Committed",
        "told before the record was given out"
    );
}

/// What the answers to heartbeats do: what was fetched is never given out afterwards.
#[tokio::test]
async fn what_a_heartbeat_is_answered_decides_what_is_owned() {
    let cases = [
        (ErrorCode::RebalanceInProgress, "revoked m1 1 t-0", "m1"),
        (ErrorCode::IllegalGeneration, "lost m1 1 t-0", "m1"),
        (ErrorCode::UnknownMemberId, "lost m1 1 t-0", "m2"),
    ];
    for (code, given_up, joins_as) in cases {
        let broker = Scripted::start().await;
        let mut consumer = broker.member(group()).await;
        assert_eq!(next(&mut consumer).await.offset, 0);
        broker.story();
        // The records behind the first are fetched already; the group has come further.
        broker.script().committed.insert(0, 2);
        broker.script().heartbeat = Some(code);
        alarmed(&consumer).await;
        let given_out = broker.poll_until(&mut consumer, "resumed").await;
        let told = broker.story();
        assert_eq!(told.first().unwrap(), given_up, "{code}: {told:?}");
        let assigned = format!("assigned {joins_as} 2 t-0");
        assert!(told.contains(&assigned), "{code}: {told:?}");
        let first = match given_out.first() {
            Some(offset) => *offset,
            None => next(&mut consumer).await.offset,
        };
        assert_eq!(first, 2, "{code}: from the new generation's start");
    }
}

#[tokio::test]
async fn the_planted_buffer_outlives_the_ownership() {
    plant_in_thread(Some(Sabotage::BufferKeptAfterRevocation));
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.script().committed.insert(0, 2);
    broker.script().heartbeat = Some(ErrorCode::UnknownMemberId);
    alarmed(&consumer).await;
    let given_out = next(&mut consumer).await.offset;
    plant_in_thread(None);
    assert_eq!(given_out, 1, "it was fetched before the partition was lost");
}

/// Waits until a heartbeat has raised an alarm.
async fn alarmed(consumer: &Consumer) {
    let shared = consumer.group.as_ref().unwrap().shared();
    let raised = async {
        while shared.alarm().is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, raised).await.expect("an alarm");
}

#[tokio::test]
async fn a_fenced_instance_says_so_and_stays_fenced() {
    let broker = Scripted::start().await;
    let mut consumer = broker
        .member(GroupConfig {
            group_instance_id: Some("i".to_owned()),
            ..group()
        })
        .await;
    next(&mut consumer).await;
    broker.story();
    broker.script().heartbeat = Some(ErrorCode::FencedInstanceId);
    alarmed(&consumer).await;
    let error = consumer.poll(LONG).await.unwrap_err();
    assert_eq!(error.kind, crate::client::ErrorKind::Fenced);
    assert_eq!(broker.story(), ["lost m1 1 t-0"]);
}

/// A session that a test can freeze through.
const SHORT: Duration = Duration::from_millis(60);

fn short_session() -> GroupConfig {
    GroupConfig {
        session_timeout: SHORT,
        heartbeat_interval: SHORT / 2,
        ..group()
    }
}

/// A freeze of the whole process: the heartbeat task does not run either.
#[tokio::test]
async fn a_zombie_asks_before_it_gives_anything_out() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(short_session()).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.story();
    broker.script().committed.insert(0, 2);
    broker.script().heartbeat = Some(ErrorCode::UnknownMemberId);
    std::thread::sleep(SHORT * 2);
    assert_eq!(
        next(&mut consumer).await.offset,
        2,
        "the buffered 1 is not its own"
    );
    assert_eq!(broker.story()[0], "lost m1 1 t-0");
}

#[tokio::test]
async fn the_leader_joins_again_when_the_topic_grows() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    next(&mut consumer).await;
    broker.story();
    grow(&broker.partitions);
    broker.poll_until(&mut consumer, "assigned").await;
    assert_eq!(
        broker.story()[..3],
        ["revoked m1 1 t-0", "join m1", "assigned m1 2 t-0 t-1"]
    );
}

/// A member of a cooperative group that was given its first record.
async fn cooperative() -> (Scripted, Consumer) {
    let broker = Scripted::start().await;
    let mut consumer = broker
        .member(GroupConfig {
            assignors: vec![AssignorKind::CooperativeSticky],
            ..group()
        })
        .await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.story();
    (broker, consumer)
}

#[tokio::test]
async fn a_cooperative_member_keeps_what_does_not_move() {
    let (broker, mut consumer) = cooperative().await;
    grow(&broker.partitions);
    broker.poll_until(&mut consumer, "assigned").await;
    assert_eq!(broker.story()[..2], ["join m1", "assigned m1 2 t-1"]);
}

#[tokio::test]
async fn a_cooperative_member_that_is_refused_loses_what_it_kept() {
    let (broker, mut consumer) = cooperative().await;
    broker.script().committed.insert(0, 2);
    broker
        .script()
        .joins
        .push_back(Some(ErrorCode::UnknownMemberId));
    broker.script().heartbeat = Some(ErrorCode::RebalanceInProgress);
    alarmed(&consumer).await;
    assert_eq!(next(&mut consumer).await.offset, 2);
    assert_eq!(
        broker.story(),
        [
            "join m1",
            "lost m1 1 t-0",
            "join ",
            "join m2",
            "assigned m2 2 t-0",
            "resumed t-0 2 Committed"
        ]
    );
}

#[tokio::test]
async fn joins_are_repeated_while_the_coordinator_loads_or_moves() {
    let broker = Scripted::start().await;
    broker.script().joins.extend([
        Some(ErrorCode::CoordinatorLoadInProgress),
        Some(ErrorCode::NotCoordinator),
        Some(ErrorCode::CoordinatorNotAvailable),
    ]);
    let mut consumer = broker.member(group()).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    let told = broker.story();
    assert_eq!(told[..3], ["join ", "join ", "join "]);
    assert_eq!(told[3..], JOINED);
}

#[tokio::test]
async fn who_does_not_poll_leaves_unless_it_is_static() {
    for instance in [None, Some("i".to_owned())] {
        let is_static = instance.is_some();
        let broker = Scripted::start().await;
        let mut consumer = broker
            .member(GroupConfig {
                group_instance_id: instance,
                max_poll_interval: Duration::from_millis(20),
                ..group()
            })
            .await;
        next(&mut consumer).await;
        alarmed(&consumer).await;
        broker.poll_until(&mut consumer, "assigned m2").await;
        let told = broker.story();
        let left = told.iter().any(|line| line == "leave m1");
        assert_eq!(left, !is_static, "{told:?}");
        assert!(told.contains(&"lost m1 1 t-0".to_owned()), "{told:?}");
    }
}

#[tokio::test]
async fn closing_leaves_unless_it_is_static() {
    for instance in [None, Some("i".to_owned())] {
        let is_static = instance.is_some();
        let broker = Scripted::start().await;
        let mut consumer = broker
            .member(GroupConfig {
                group_instance_id: instance,
                enable_auto_commit: true,
                ..group()
            })
            .await;
        next(&mut consumer).await;
        broker.story();
        consumer.close(LONG).await;
        let mut expected = vec!["commit 1 {0: 1}", "revoked m1 1 t-0"];
        if !is_static {
            expected.push("leave m1");
        }
        assert_eq!(broker.story(), expected);
    }
}

#[tokio::test]
async fn a_new_subscription_is_told_to_the_group() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    next(&mut consumer).await;
    broker.story();
    let group = consumer.group.as_mut().unwrap();
    group.topics.push("u".to_owned());
    broker.poll_until(&mut consumer, "assigned").await;
    assert_eq!(broker.story()[..2], ["revoked m1 1 t-0", "join m1"]);
}

/// Processing takes longer than the rebalance: the old generation is over for the coordinator, and
/// the consumer has not polled since.
#[tokio::test]
async fn a_commit_before_the_poll_that_adopts_a_rebalance_costs_nothing() {
    let (broker, mut consumer) = cooperative().await;
    // As a poll begins it that has records to give out before it has ended.
    let own = vec![TopicPartition::new("t", 0)];
    let group = consumer.group.as_mut().unwrap();
    group.start_join(&consumer.cluster, own);
    let shared = Arc::clone(&group.committer.shared);
    let joined = async {
        while shared
            .beating()
            .is_none_or(|(next, _)| next.generation_id == 1)
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, joined).await.expect("the next generation");
    assert_eq!(shared.identity().generation_id, 1, "not adopted yet");
    let refused = consumer.commit_sync(None).await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::RebalanceInProgress));
    assert_eq!(refused.kind, crate::client::ErrorKind::Retriable);
    assert_eq!(next(&mut consumer).await.offset, 1, "the buffer is its own");
    consumer.commit_sync(None).await.unwrap();
    assert_eq!(
        broker.story(),
        ["join m1", "assigned m1 2 ", "commit 2 {0: 2}"]
    );
}

/// The process is frozen while a poll waits for the committed offsets of a new partition.
#[tokio::test]
async fn a_zombie_that_froze_within_a_poll_gives_nothing_out_either() {
    let broker = Scripted::start().await;
    let mut consumer = broker
        .member(GroupConfig {
            assignors: vec![AssignorKind::CooperativeSticky],
            ..short_session()
        })
        .await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.story();
    broker.script().before_offset_fetch = Some(|script| {
        std::thread::sleep(SHORT * 2);
        script.committed.insert(0, 2);
        script.heartbeat = Some(ErrorCode::UnknownMemberId);
    });
    grow(&broker.partitions);
    consumer.group.as_mut().unwrap().next_refresh = Instant::now();
    assert_eq!(
        next(&mut consumer).await.offset,
        2,
        "the buffered 1 is another's: {:?}",
        broker.story()
    );
    let told = broker.story();
    assert!(
        told.contains(&"lost m1 2 t-0 t-1".to_owned()),
        "frozen: {told:?}"
    );
}

/// As Java's client: a static member of an older broker may get what an earlier life subscribed to.
#[tokio::test]
async fn it_joins_again_when_it_is_given_a_topic_that_it_does_not_read() {
    let broker = Scripted::start().await;
    broker.script().assigned = Some(vec![TopicPartition::new("other", 0)]);
    let mut consumer = broker.member(group()).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    assert_eq!(
        broker.story(),
        [
            "join ",
            "join m1",
            "assigned m1 1 ",
            "join m1",
            "assigned m1 2 t-0",
            "resumed t-0 0 Reset"
        ]
    );
}

#[tokio::test]
async fn a_sync_that_is_not_answered_is_asked_again_after_the_request_timeout() {
    let broker = Scripted::start().await;
    broker.script().forgotten.push(ApiKey::SyncGroup);
    let mut consumer = broker.consumer(group(), Duration::from_millis(300)).await;
    broker.subscribe(&mut consumer).unwrap();
    timeout(LONG, broker.poll_until(&mut consumer, "assigned"))
        .await
        .expect("long before max.poll.interval.ms");
    assert_eq!(
        broker.story()[..5],
        [
            "join ",
            "join m1",
            "forgot SyncGroup",
            "join m1",
            "assigned m1 2 t-0"
        ]
    );
}

#[tokio::test]
async fn what_is_read_without_the_group_and_with_it_does_not_mix() {
    let broker = Scripted::start().await;
    let mut consumer = broker.consumer(group(), LONG).await;
    consumer.assign(vec![TopicPartition::new("t", 0)]);
    let error = broker.subscribe(&mut consumer).unwrap_err();
    assert_eq!(error.kind, crate::client::ErrorKind::Invalid);
    consumer.assign(Vec::new());
    broker.subscribe(&mut consumer).unwrap();
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.subscribe(&mut consumer).expect("it is subscribed");
}
