//! The commit modes against a scripted coordinator: what is committed, when, and what is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::script::{LONG, Scripted, group, next};
use super::*;
use crate::client::fake_broker::TOPIC;
use crate::client::{Consumer, ErrorKind};
use crate::config::sabotage::{Sabotage, plant_in_thread};
use crate::error::ErrorCode;

fn auto() -> GroupConfig {
    GroupConfig {
        enable_auto_commit: true,
        auto_commit_interval: Duration::ZERO,
        ..group()
    }
}

/// The commits after each of two polls.
async fn two_polls() -> [Vec<String>; 2] {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(auto()).await;
    let mut commits = Vec::new();
    for offset in 0..2 {
        assert_eq!(next(&mut consumer).await.offset, offset);
        // Asynchronous commits have ended before a synchronous one of another partition begins.
        let other = [(TopicPartition::new(TOPIC, 7), 7)].into();
        consumer.commit_sync(Some(other)).await.unwrap();
        let mut told = broker.story();
        told.retain(|line| line.starts_with("commit"));
        assert!(told.pop().unwrap().contains("{7: "), "{told:?}");
        told.dedup();
        commits.push(told);
    }
    commits.try_into().unwrap()
}

#[tokio::test]
async fn auto_commits_what_the_previous_poll_gave_out() {
    let [first, second] = two_polls().await;
    // As in Java, the position at which the policy has put it counts as consumed.
    assert_eq!(first, ["commit 1 {0: 0}"]);
    assert_eq!(second, ["commit 1 {0: 1}"]);
}

#[tokio::test]
async fn the_planted_commit_of_the_current_poll_runs_ahead() {
    plant_in_thread(Some(Sabotage::AutoCommitOfCurrentPoll));
    let [first, second] = two_polls().await;
    plant_in_thread(None);
    assert_eq!(first, ["commit 1 {0: 1}"]);
    assert_eq!(second, ["commit 1 {0: 2}"]);
}

#[tokio::test]
async fn the_planted_timer_lets_no_poll_commit() {
    plant_in_thread(Some(Sabotage::AutoCommitNeverDue));
    let commits = two_polls().await;
    plant_in_thread(None);
    assert_eq!(commits, [Vec::<String>::new(), Vec::new()]);
}

#[tokio::test]
async fn the_planted_commit_goes_one_too_far() {
    plant_in_thread(Some(Sabotage::OffByOneCommittedOffset));
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    next(&mut consumer).await;
    consumer.commit_sync(None).await.unwrap();
    plant_in_thread(None);
    assert_eq!(broker.story().last().unwrap(), "commit 1 {0: 2}");
}

#[tokio::test]
async fn auto_commits_before_it_revokes() {
    let broker = Scripted::start().await;
    let mut consumer = broker
        .member(GroupConfig {
            enable_auto_commit: true,
            ..group()
        })
        .await;
    assert_eq!(next(&mut consumer).await.offset, 0);
    broker.story();
    broker.script().heartbeat = Some(ErrorCode::RebalanceInProgress);
    let given_out = broker.poll_until(&mut consumer, "revoked").await;
    let behind = given_out.last().map_or(1, |offset| offset + 1);
    assert_eq!(
        broker.story()[..2],
        [
            format!("commit 1 {{0: {behind}}}"),
            "revoked m1 1 t-0".to_owned()
        ]
    );
}

/// What the coordinator answers, the attempts, and what the caller is told.
type Case = (&'static [Option<ErrorCode>], usize, Result<(), ErrorKind>);

/// What a synchronous commit makes of the answers to its attempts; `None` is a lost answer.
#[tokio::test]
async fn a_synchronous_commit_tries_until_it_is_known() {
    use ErrorCode::*;
    let refusal = |kind| Err(kind);
    let cases: [Case; 10] = [
        (&[], 1, Ok(())),
        (&[Some(NotCoordinator)], 2, Ok(())),
        (&[Some(CoordinatorLoadInProgress); 2], 3, Ok(())),
        (&[None], 2, Ok(())),
        (&[Some(IllegalGeneration)], 1, refusal(ErrorKind::Fenced)),
        (&[Some(UnknownMemberId)], 1, refusal(ErrorKind::Fenced)),
        (&[Some(FencedInstanceId)], 1, refusal(ErrorKind::Fenced)),
        (
            &[Some(RebalanceInProgress)],
            1,
            refusal(ErrorKind::Retriable),
        ),
        (
            &[None, Some(IllegalGeneration)],
            2,
            refusal(ErrorKind::UnknownOutcome),
        ),
        (
            &[Some(CoordinatorLoadInProgress), Some(IllegalGeneration)],
            2,
            refusal(ErrorKind::Fenced),
        ),
    ];
    for (answers, attempts, expected) in cases {
        let broker = Scripted::start().await;
        let config = GroupConfig {
            // Not found out by a heartbeat first.
            heartbeat_interval: Duration::from_secs(10),
            ..group()
        };
        let mut consumer = broker.member(config).await;
        next(&mut consumer).await;
        broker.story();
        broker.script().commits.extend(answers);
        let result = consumer.commit_sync(None).await;
        assert_eq!(result.map_err(|error| error.kind), expected, "{answers:?}");
        let told = broker.story();
        assert_eq!(told, vec!["commit 1 {0: 1}"; attempts], "{answers:?}");
    }
}

#[tokio::test]
async fn a_negative_offset_is_not_committed() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    next(&mut consumer).await;
    let negative = || Some([(TopicPartition::new(TOPIC, 0), -1)].into());
    let refused = consumer.commit_sync(negative()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    let told = Arc::new(Mutex::new(None));
    let callback = Arc::clone(&told);
    consumer.commit_async(
        negative(),
        Box::new(move |ended| *callback.lock().unwrap() = Some(ended)),
    );
    assert_eq!(*told.lock().unwrap(), Some(Err(refused)));
    let commits = broker
        .story()
        .into_iter()
        .filter(|line| line.starts_with("commit"));
    assert_eq!(commits.count(), 0);
}

#[tokio::test]
async fn an_asynchronous_commit_is_tried_once_and_says_what_is_known() {
    let cases = [
        (None, ErrorKind::UnknownOutcome),
        (Some(ErrorCode::NotCoordinator), ErrorKind::UnknownOutcome),
        (
            Some(ErrorCode::CoordinatorLoadInProgress),
            ErrorKind::Retriable,
        ),
        (Some(ErrorCode::UnknownMemberId), ErrorKind::Fenced),
    ];
    for (answer, expected) in cases {
        let broker = Scripted::start().await;
        let mut consumer = broker.member(group()).await;
        next(&mut consumer).await;
        broker.story();
        broker.script().commits.push_back(answer);
        let (tell, told) = oneshot::channel();
        let callback = |result| drop(tell.send(result));
        consumer.commit_async(None, Box::new(callback));
        let result: Result<(), ClientError> = told.await.unwrap();
        assert_eq!(result.unwrap_err().kind, expected, "{answer:?}");
        assert_eq!(broker.story(), ["commit 1 {0: 1}"], "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_and_callbacks_keep_their_order() {
    let broker = Scripted::start().await;
    let mut consumer = broker.member(group()).await;
    next(&mut consumer).await;
    broker.story();
    let called = Arc::new(Mutex::new(Vec::new()));
    let at = |offset| Some([(TopicPartition::new(TOPIC, 0), offset)].into());
    for offset in 0..50 {
        let called = Arc::clone(&called);
        consumer.commit_async(
            at(offset),
            Box::new(move |_| called.lock().unwrap().push(offset)),
        );
    }
    consumer.commit_sync(at(50)).await.unwrap();
    let sent = (0..=50).map(|offset| format!("commit 1 {{0: {offset}}}"));
    assert_eq!(broker.story(), sent.collect::<Vec<_>>());
    assert_eq!(*called.lock().unwrap(), (0..50).collect::<Vec<_>>());
    consumer.close(LONG).await;
}

/// A commit whose answer never comes, of a member whose commits may take 50 ms.
async fn unanswered() -> (
    Scripted,
    Consumer,
    oneshot::Receiver<Result<(), ClientError>>,
) {
    let broker = Scripted::start().await;
    let config = GroupConfig {
        api_timeout: Duration::from_millis(50),
        ..group()
    };
    let mut consumer = broker.member(config).await;
    next(&mut consumer).await;
    broker.story();
    broker.script().forgotten.push(ApiKey::OffsetCommit);
    let (tell, told) = oneshot::channel();
    consumer.commit_async(None, Box::new(|result| drop(tell.send(result))));
    broker
        .poll_until(&mut consumer, "forgot OffsetCommit")
        .await;
    (broker, consumer, told)
}

#[tokio::test]
async fn a_synchronous_commit_waits_no_longer_than_its_time_for_those_before_it() {
    let (broker, mut consumer, _told) = unanswered().await;
    let sync = timeout(LONG, consumer.commit_sync(None)).await;
    let error = sync.expect("default.api.timeout.ms").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retriable);
    assert_eq!(
        broker.story(),
        ["forgot OffsetCommit"],
        "nothing of it was sent"
    );
}

#[tokio::test]
async fn a_callback_is_called_even_if_the_consumer_ends_before_the_answer() {
    let (_broker, consumer, told) = unanswered().await;
    drop(consumer);
    let result = timeout(LONG, told).await.expect("a callback");
    let error = result.expect("called, not dropped").unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownOutcome);
}

/// As Java's client with `assign`: a group without members takes the commit of no generation.
#[tokio::test]
async fn a_consumer_that_is_no_member_commits_without_a_generation() {
    let broker = Scripted::start().await;
    let mut consumer = broker.consumer(group(), LONG).await;
    let partition = TopicPartition::new(TOPIC, 0);
    consumer.assign(vec![partition.clone()]);
    assert_eq!(next(&mut consumer).await.offset, 0);
    consumer.commit_sync(None).await.unwrap();
    assert_eq!(broker.story(), ["commit -1 {0: 1}"]);
    let used = Some(ErrorCode::UnknownMemberId);
    broker.script().commits.push_back(used);
    let error = consumer.commit_sync(None).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ErrorKind::Fenced, used));
}
