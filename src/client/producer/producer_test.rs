//! The producer against a scripted broker.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceResponse, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinHandle;

use super::*;
use crate::client::error::ErrorKind;
use crate::client::fake_broker::{FakeBroker, PRODUCER_ID, Received, TOPIC};
use crate::client::producer::attempt::{Outcome, Turns, produce};
use crate::error::ErrorCode;
use crate::record::BatchHeader;

type Sent = JoinHandle<Result<RecordMetadata, ClientError>>;

/// A producer whose every record is a batch of its own.
async fn producer(broker: &FakeBroker, change: impl FnOnce(&mut ProducerConfig)) -> Arc<Producer> {
    let mut config = ProducerConfig {
        bootstrap: vec![broker.address],
        linger: Duration::ZERO,
        batch_bytes: 1,
        retry_backoff: Duration::from_millis(5),
        ..ProducerConfig::default()
    };
    change(&mut config);
    Arc::new(Producer::start(config).await.unwrap())
}

fn send(producer: &Arc<Producer>, value: &'static str) -> Sent {
    let record = ProducerRecord {
        topic: TOPIC.to_owned(),
        partition: Some(0),
        value: Some(Bytes::from_static(value.as_bytes())),
        ..ProducerRecord::default()
    };
    let producer = Arc::clone(producer);
    tokio::spawn(async move { producer.send(record).await })
}

/// The batch that a produce request carries.
fn batch(request: &Received) -> Bytes {
    let RequestKind::Produce(body) = &request.body else {
        panic!("no produce request: {:?}", request.body);
    };
    let data = &body.topic_data[0].partition_data[0];
    data.records.clone().unwrap()
}

/// Producer id, epoch and base sequence of the batch in a request.
fn identity(request: &Received) -> (i64, i16, i32) {
    let header = BatchHeader::parse(&batch(request)).unwrap();
    (
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    )
}

fn answer(code: i16, base_offset: i64) -> ProduceResponse {
    let partition = PartitionProduceResponse::default()
        .with_error_code(code)
        .with_base_offset(base_offset);
    let topic = TopicProduceResponse::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_responses(vec![partition]);
    ProduceResponse::default().with_responses(vec![topic])
}

fn appended(request: Received, offset: i64) {
    request.answer(answer(0, offset));
}

fn refuse(request: Received, code: ErrorCode) {
    request.answer(answer(code.code(), -1));
}

#[tokio::test]
async fn kip98_a_lost_response_is_retried_as_the_same_batch() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = send(&producer, "a");
    let first = broker.next().await;
    let bytes = batch(&first);
    assert_eq!(identity(&first), (PRODUCER_ID, 0, 0));
    first.lose();
    let second = broker.next().await;
    assert_eq!(batch(&second), bytes, "a retry that differs is a new batch");
    appended(second, 5);
    assert_eq!(sent.await.unwrap().unwrap().offset, Some(5));
}

#[tokio::test]
async fn not_enough_replicas_is_a_definite_failure() {
    let mut broker = FakeBroker::start().await;
    let limit = Duration::from_millis(200);
    let producer = producer(&broker, |config| config.delivery_timeout = limit).await;
    let mut sent = send(&producer, "a");
    let error = loop {
        tokio::select! {
            result = &mut sent => break result.unwrap().unwrap_err(),
            request = broker.next() => refuse(request, ErrorCode::NotEnoughReplicas),
        }
    };
    assert_eq!(error.kind, ErrorKind::Retriable, "{error}");
    assert_eq!(error.code, Some(ErrorCode::NotEnoughReplicas));
}

#[tokio::test]
async fn silence_after_a_send_leaves_the_outcome_unknown() {
    let mut broker = FakeBroker::start().await;
    let limit = Duration::from_millis(200);
    let producer = producer(&broker, |config| config.delivery_timeout = limit).await;
    let sent = send(&producer, "a");
    let held = broker.next().await;
    let error = sent.await.unwrap().unwrap_err();
    assert!(error.is_unknown_outcome(), "{error}");
    drop(held);
}

#[tokio::test]
async fn a_definite_refusal_does_not_settle_an_earlier_doubt() {
    let mut broker = FakeBroker::start().await;
    let limit = Duration::from_millis(300);
    let producer = producer(&broker, |config| config.delivery_timeout = limit).await;
    let mut sent = send(&producer, "a");
    broker.next().await.lose();
    let error = loop {
        tokio::select! {
            result = &mut sent => break result.unwrap().unwrap_err(),
            request = broker.next() => refuse(request, ErrorCode::NotEnoughReplicas),
        }
    };
    assert!(error.is_unknown_outcome(), "{error}");
}

#[tokio::test]
async fn batches_out_of_order_behind_a_failed_one_are_sent_again_in_order() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let first = send(&producer, "first");
    appended(broker.next().await, 0);
    first.await.unwrap().unwrap();
    let mut sent = Vec::new();
    let mut requests = Vec::new();
    for (sequence, value) in (1..).zip(["a", "b", "c"]) {
        sent.push(send(&producer, value));
        let request = broker.next().await;
        assert_eq!(identity(&request), (PRODUCER_ID, 0, sequence));
        requests.push(request);
    }
    let mut codes = vec![ErrorCode::NotLeaderOrFollower];
    codes.resize(3, ErrorCode::OutOfOrderSequenceNumber);
    for (request, code) in requests.into_iter().zip(codes) {
        refuse(request, code);
    }
    for sequence in 1..4 {
        let again = broker.next().await;
        assert_eq!(identity(&again), (PRODUCER_ID, 0, sequence));
        appended(again, i64::from(sequence));
    }
    for (offset, sent) in (1..).zip(sent) {
        assert_eq!(sent.await.unwrap().unwrap().offset, Some(offset));
    }
}

#[tokio::test]
async fn kafka14359_nothing_is_in_flight_behind_a_first_batch_that_may_be_refused() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = ["a", "b", "c"].map(|value| send(&producer, value));
    refuse(broker.next().await, ErrorCode::NotLeaderOrFollower);
    for sequence in 0..3 {
        let request = broker.next().await;
        let expected = (PRODUCER_ID, 0, sequence);
        assert_eq!(identity(&request), expected, "a later batch would be taken");
        appended(request, i64::from(sequence));
    }
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_leave_together_leave_in_the_order_of_their_sequences() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let mut sent = vec![send(&producer, "first")];
    let first = broker.next().await;
    sent.extend((0..5).map(|_| send(&producer, "behind")));
    let mut outstanding = producer.shared.outstanding.subscribe();
    outstanding.wait_for(|count| *count == 6).await.unwrap();
    appended(first, 0);
    for sequence in 1..6 {
        let request = broker.next().await;
        assert_eq!(identity(&request), (PRODUCER_ID, 0, sequence));
        appended(request, i64::from(sequence));
    }
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_attempt_whose_task_runs_first_leaves_behind_those_before_it() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = send(&producer, "so that leader and connection are known");
    appended(broker.next().await, 0);
    sent.await.unwrap().unwrap();
    let known = producer.shared.cluster.partition(TOPIC, 0);
    let leader = known.and_then(|known| known.leader).unwrap();
    let mut turns = Turns::new();
    let (first, second) = (turns.take(), turns.take());
    let begin = |records: &'static [u8], turn| {
        let shared = Arc::clone(&producer.shared);
        tokio::spawn(async move {
            let partition = TopicPartition::new(TOPIC, 0);
            let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
            let records = Bytes::from_static(records);
            let cluster = &shared.cluster;
            produce(
                cluster,
                leader,
                &partition,
                records,
                Acks::All,
                deadline,
                turn,
            )
            .await
        })
    };
    let late = begin(b"second", second);
    // More than it needs to leave, if nothing holds it.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let early = begin(b"first", first);
    for (records, offset) in [("first", 1), ("second", 2)] {
        let request = broker.next().await;
        assert_eq!(batch(&request), records);
        appended(request, offset);
    }
    for attempt in [early, late] {
        assert!(matches!(attempt.await.unwrap(), Outcome::Appended(Some(_))));
    }
}

#[tokio::test]
async fn kip360_a_batch_that_expires_in_doubt_bumps_the_epoch() {
    let mut broker = FakeBroker::start().await;
    let limit = Duration::from_millis(200);
    let producer = producer(&broker, |config| config.delivery_timeout = limit).await;
    let sent = send(&producer, "a");
    let held = broker.next().await;
    assert!(sent.await.unwrap().unwrap_err().is_unknown_outcome());
    held.lose();
    let _sent = send(&producer, "b");
    let next = broker.next().await;
    assert_eq!(identity(&next), (PRODUCER_ID, 1, 0));
    appended(next, 1);
}

#[tokio::test]
async fn kip360_a_batch_out_of_order_by_itself_fails_and_bumps_the_epoch() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = send(&producer, "a");
    refuse(broker.next().await, ErrorCode::OutOfOrderSequenceNumber);
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    let sent = send(&producer, "b");
    let next = broker.next().await;
    assert_eq!(identity(&next), (PRODUCER_ID, 1, 0));
    appended(next, 0);
    assert_eq!(sent.await.unwrap().unwrap().offset, Some(0));
}

#[tokio::test]
async fn a_fenced_producer_is_told_so() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = send(&producer, "a");
    refuse(broker.next().await, ErrorCode::InvalidProducerEpoch);
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
}

#[tokio::test]
async fn a_dropped_send_leaves_its_record_on_the_way() {
    let mut broker = FakeBroker::start().await;
    let producer = producer(&broker, |_| {}).await;
    let sent = send(&producer, "a");
    let first = broker.next().await;
    sent.abort();
    first.lose();
    let again = broker.next().await;
    assert_eq!(identity(&again), (PRODUCER_ID, 0, 0));
    appended(again, 0);
    let sent = send(&producer, "b");
    let next = broker.next().await;
    assert_eq!(
        identity(&next),
        (PRODUCER_ID, 0, 1),
        "the sequence has no gap"
    );
    appended(next, 1);
    assert_eq!(sent.await.unwrap().unwrap().offset, Some(1));
}
