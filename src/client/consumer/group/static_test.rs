//! A static member that loses its coordinator while it joins: what may have fenced it.

use super::script::{LONG, Script, Scripted, group, next};
use super::*;
use crate::client::{Consumer, ErrorKind};
use crate::error::ErrorCode;

const FENCED: Option<ErrorCode> = Some(ErrorCode::FencedInstanceId);

async fn member(broker: &Scripted) -> Consumer {
    let group = GroupConfig {
        group_instance_id: Some("i".to_owned()),
        ..group()
    };
    broker.member(group).await
}

/// Polls until it is fenced.
async fn is_fenced(consumer: &mut Consumer) {
    let error = consumer.poll(LONG).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    let again = consumer.poll(LONG).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Fenced, "it stays so");
}

/// A coordinator that was cut off names a member whom its successor does not know.
#[tokio::test]
async fn a_name_that_died_with_its_coordinator_fences_nobody() {
    let unstored: [fn(&mut Script) -> Option<ErrorCode>; 3] = [
        |script| {
            script.joins.push_back(FENCED);
            Some(ErrorCode::NotCoordinator)
        },
        |script| {
            script.joins.push_back(FENCED);
            Some(ErrorCode::CoordinatorNotAvailable)
        },
        |script| {
            script.joins.push_back(FENCED);
            None
        },
    ];
    for sync in unstored {
        let broker = Scripted::start().await;
        broker.script().instead_of_sync = Some(sync);
        let mut consumer = member(&broker).await;
        assert_eq!(next(&mut consumer).await.offset, 0);
        assert_eq!(
            broker.story(),
            [
                "join ",
                "join m1",
                "join m1",
                "join ",
                "join m2",
                "assigned m2 2 t-0",
                "resumed t-0 0 Reset"
            ]
        );
    }
}

/// The assignment was about to be stored when the next rebalance began, and then it was cut off.
#[tokio::test]
async fn a_name_that_died_after_two_rebalances_fences_nobody() {
    let broker = Scripted::start().await;
    broker.script().instead_of_sync = Some(|script| {
        let codes = [ErrorCode::NotCoordinator, ErrorCode::FencedInstanceId];
        script.joins.extend(codes.map(Some));
        Some(ErrorCode::RebalanceInProgress)
    });
    let mut consumer = member(&broker).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    let told = broker.story();
    assert_eq!(told[..4], ["join ", "join m1", "join m1", "join m1"]);
    assert_eq!(told[4..6], ["join ", "join m2"]);
}

/// Its first join was thought lost, and takes the place of the second when it arrives.
#[tokio::test]
async fn a_join_that_arrives_late_fences_nobody() {
    let broker = Scripted::start().await;
    broker.script().joins.extend([None, FENCED]);
    let mut consumer = member(&broker).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    let told = broker.story();
    assert_eq!(told[..4], ["join ", "join ", "join ", "join m1"]);
}

#[tokio::test]
async fn a_slow_leader_costs_no_name() {
    let broker = Scripted::start().await;
    broker.script().instead_of_sync = Some(|_| None);
    let mut consumer = member(&broker).await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    let told = broker.story();
    assert_eq!(
        told[..4],
        ["join ", "join m1", "join m1", "assigned m1 2 t-0"]
    );
}

#[tokio::test]
async fn who_never_lost_its_coordinator_was_fenced_by_another() {
    let broker = Scripted::start().await;
    broker.script().joins.push_back(FENCED);
    is_fenced(&mut member(&broker).await).await;
    assert_eq!(broker.story(), ["join "]);
    broker.script().instead_of_sync = Some(|_| FENCED);
    is_fenced(&mut member(&broker).await).await;
    assert_eq!(broker.story(), ["join ", "join m1"]);
}

#[tokio::test]
async fn who_is_fenced_again_was_fenced_by_another() {
    let broker = Scripted::start().await;
    broker.script().joins.extend([None, FENCED, FENCED]);
    is_fenced(&mut member(&broker).await).await;
    assert_eq!(broker.story(), ["join ", "join ", "join "]);
}

/// Who was told to ask later has left nothing at the coordinator that could have fenced it.
#[tokio::test]
async fn who_was_told_to_ask_later_was_fenced_by_another() {
    let later = ErrorCode::CoordinatorLoadInProgress;
    for refusals in [
        vec![later],
        vec![ErrorCode::NotCoordinator],
        vec![later; 10],
    ] {
        let broker = Scripted::start().await;
        let joins = refusals.len() + 1;
        broker.script().joins.extend(refusals.into_iter().map(Some));
        broker.script().joins.push_back(FENCED);
        is_fenced(&mut member(&broker).await).await;
        assert_eq!(broker.story(), vec!["join "; joins]);
    }
}

/// A join that ends without an assignment has stored nothing.
#[tokio::test]
async fn a_name_that_a_failed_join_left_fences_nobody() {
    let broker = Scripted::start().await;
    let refused = |_: &mut Script| Some(ErrorCode::InconsistentGroupProtocol);
    broker.script().instead_of_sync = Some(refused);
    let mut consumer = member(&broker).await;
    let error = consumer.poll(LONG).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let moved = Some(ErrorCode::NotCoordinator);
    broker.script().joins.extend([moved, FENCED]);
    assert_eq!(next(&mut consumer).await.offset, 0);
    let told = broker.story();
    assert_eq!(
        told[..6],
        ["join ", "join m1", "join m1", "join m1", "join ", "join m2"]
    );
}

/// It still owns partitions while it joins, and a commit tells it that it is fenced.
#[tokio::test]
async fn a_join_ends_with_the_member_that_is_fenced() {
    let broker = Scripted::start().await;
    let group = GroupConfig {
        group_instance_id: Some("i".to_owned()),
        assignors: vec![AssignorKind::CooperativeSticky],
        ..group()
    };
    let mut consumer = broker.member(group).await;
    next(&mut consumer).await;
    broker.story();
    let busy = Some(ErrorCode::CoordinatorLoadInProgress);
    broker.script().joins.extend(vec![busy; 100_000]);
    broker.script().heartbeat = Some(ErrorCode::RebalanceInProgress);
    broker.poll_until(&mut consumer, "join m1").await;
    broker.script().commits.push_back(FENCED);
    consumer.commit_sync(None).await.unwrap_err();
    is_fenced(&mut consumer).await;
    assert!(consumer.group.as_ref().unwrap().joining.is_empty());
    assert!(!broker.story().contains(&"join ".to_owned()));
    broker.script().joins.clear();
    broker.subscribe(&mut consumer).unwrap();
    broker.poll_until(&mut consumer, "assigned m2").await;
    let told = broker.story();
    assert_eq!(told[..3], ["join ", "join m2", "assigned m2 2 t-0"]);
}

/// The commit before a join is the first to tell it.
#[tokio::test]
async fn a_member_whose_last_commit_is_fenced_does_not_join() {
    let broker = Scripted::start().await;
    let group = GroupConfig {
        group_instance_id: Some("i".to_owned()),
        enable_auto_commit: true,
        ..group()
    };
    let mut consumer = broker.member(group).await;
    next(&mut consumer).await;
    broker.story();
    broker.script().commits.push_back(FENCED);
    broker.script().heartbeat = Some(ErrorCode::RebalanceInProgress);
    let shared = Arc::clone(&consumer.group.as_ref().unwrap().committer.shared);
    while shared.alarm().is_none() {
        tokio::task::yield_now().await;
    }
    is_fenced(&mut consumer).await;
    assert_eq!(broker.story(), ["commit 1 {0: 1}", "lost m1 1 t-0"]);
}

/// Every coordinator knows the name of who has been a member: it is stored with the assignment.
#[tokio::test]
async fn a_member_that_is_fenced_was_fenced_by_another() {
    let broker = Scripted::start().await;
    let mut consumer = member(&broker).await;
    next(&mut consumer).await;
    broker.story();
    let moved = Some(ErrorCode::NotCoordinator);
    broker.script().joins.extend([moved, FENCED]);
    broker.script().heartbeat = Some(ErrorCode::RebalanceInProgress);
    let shared = Arc::clone(&consumer.group.as_ref().unwrap().committer.shared);
    while shared.alarm().is_none() {
        tokio::task::yield_now().await;
    }
    is_fenced(&mut consumer).await;
    assert_eq!(broker.story()[1..], ["join m1", "join m1"]);
}
