//! The consumer against a scripted broker.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ApiKey, FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, RequestKind,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::client::error::ErrorKind;
use crate::client::fake_broker::{FakeBroker, Received, TOPIC};
use crate::error::ErrorCode;
use crate::record::{BatchBuilder, Compression};

/// Longer than any script takes.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for a request to leave.
const SHORT: Duration = Duration::from_millis(50);

async fn consumer(broker: &FakeBroker, reset: AutoOffsetReset) -> Consumer {
    let config = ConsumerConfig {
        bootstrap: vec![broker.address],
        auto_offset_reset: reset,
        retry_backoff: Duration::from_millis(5),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::start(config).await.unwrap();
    consumer.assign(vec![partition()]);
    consumer
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// The offset that a fetch asks for.
fn fetch_offset(request: &Received) -> Offset {
    let RequestKind::Fetch(body) = &request.body else {
        panic!("no fetch request: {:?}", request.body);
    };
    body.topics[0].partitions[0].fetch_offset
}

fn fetched(code: i16, records: Bytes) -> FetchResponse {
    fetched_from(0, code, records)
}

fn fetched_from(index: i32, code: i16, records: Bytes) -> FetchResponse {
    let data = PartitionData::default()
        .with_partition_index(index)
        .with_error_code(code)
        .with_records(Some(records));
    let topic = FetchableTopicResponse::default()
        .with_topic(topic())
        .with_partitions(vec![data]);
    FetchResponse::default().with_responses(vec![topic])
}

/// A batch of records from `base_offset` on, appended in `leader_epoch`.
fn records(base_offset: Offset, leader_epoch: i32, values: &[&str]) -> Bytes {
    let builder = BatchBuilder::new(Compression::None);
    let mut builder = builder.with_position(base_offset, leader_epoch);
    for value in values {
        builder.append(1, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// Answers a ListOffsets request; which timestamp it asked for.
fn answer_list_offsets(request: Received, offset: Offset) -> i64 {
    let RequestKind::ListOffsets(body) = &request.body else {
        panic!("no ListOffsets request: {:?}", request.body);
    };
    let partition = &body.topics[0].partitions[0];
    let (asked, index) = (partition.timestamp, partition.partition_index);
    let partition = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_offset(offset)
        .with_leader_epoch(-1);
    let topic = ListOffsetsTopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    request.answer(ListOffsetsResponse::default().with_topics(vec![topic]));
    asked
}

/// Answers an OffsetForLeaderEpoch request; which epoch it asked for.
fn answer_epoch_end(request: Received, leader_epoch: i32, end_offset: Offset) -> i32 {
    let RequestKind::OffsetForLeaderEpoch(body) = &request.body else {
        panic!("no OffsetForLeaderEpoch request: {:?}", request.body);
    };
    let asked = body.topics[0].partitions[0].leader_epoch;
    let end = EpochEndOffset::default()
        .with_leader_epoch(leader_epoch)
        .with_end_offset(end_offset);
    let topic = OffsetForLeaderTopicResult::default()
        .with_topic(topic())
        .with_partitions(vec![end]);
    request.answer(OffsetForLeaderEpochResponse::default().with_topics(vec![topic]));
    asked
}

fn values(records: &[ConsumerRecord]) -> Vec<(Offset, &[u8])> {
    let value = |record: &'_ ConsumerRecord| record.offset;
    let offsets = records.iter().map(value);
    offsets
        .zip(
            records
                .iter()
                .map(|record| record.value.as_deref().unwrap()),
        )
        .collect()
}

/// Polls while `script` answers the broker's requests.
async fn poll_while(
    consumer: &mut Consumer,
    script: impl Future<Output = ()>,
) -> Result<Vec<ConsumerRecord>, ClientError> {
    tokio::join!(consumer.poll(LONG), script).0
}

#[tokio::test]
async fn out_of_range_without_a_reset_policy_names_the_way_out() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::None).await;
    consumer.seek(&partition(), 99).unwrap();
    let error = poll_while(&mut consumer, async {
        let code = ErrorCode::OffsetOutOfRange.code();
        broker.next().await.answer(fetched(code, Bytes::new()));
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.message.contains("seek") && error.message.contains("99"),
        "{error}"
    );
    // The way out works.
    consumer.seek(&partition(), 0).unwrap();
    let read = poll_while(&mut consumer, async {
        broker
            .next()
            .await
            .answer(fetched(0, records(0, 0, &["a"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(0, &b"a"[..])]);
}

#[tokio::test]
async fn out_of_range_resets_to_the_beginning_if_told_to() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::Earliest).await;
    consumer.seek(&partition(), 99).unwrap();
    let read = poll_while(&mut consumer, async {
        let code = ErrorCode::OffsetOutOfRange.code();
        broker.next().await.answer(fetched(code, Bytes::new()));
        assert_eq!(answer_list_offsets(broker.next().await, 3), -2);
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 3);
        fetch.answer(fetched(0, records(3, 0, &["d"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(3, &b"d"[..])]);
}

#[tokio::test]
async fn a_fetch_that_a_seek_overtook_is_dropped() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::None).await;
    consumer.seek(&partition(), 0).unwrap();
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    let overtaken = broker.next().await;
    assert_eq!(fetch_offset(&overtaken), 0);
    consumer.seek(&partition(), 10).unwrap();
    overtaken.answer(fetched(0, records(0, 0, &["old"])));
    let read = poll_while(&mut consumer, async {
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 10);
        fetch.answer(fetched(0, records(10, 0, &["new"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(10, &b"new"[..])]);
}

#[tokio::test]
async fn a_seek_drops_what_was_buffered() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::None).await;
    consumer.config.max_poll_records = 1;
    consumer.seek(&partition(), 0).unwrap();
    let read = poll_while(&mut consumer, async {
        let batch = records(0, 0, &["a", "b", "c"]);
        broker.next().await.answer(fetched(0, batch));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(0, &b"a"[..])]);
    consumer.seek(&partition(), 2).unwrap();
    let read = poll_while(&mut consumer, async {
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 2);
        // A broker answers with whole batches.
        fetch.answer(fetched(0, records(0, 0, &["a", "b", "c"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(2, &b"c"[..])]);
}

/// A consumer that has read offsets 0 to 4 in epoch 1 and was fenced, since epoch 2 has begun.
async fn fenced_consumer(reset: AutoOffsetReset) -> (FakeBroker, Consumer) {
    let mut broker = FakeBroker::start().await;
    broker.set_leader_epoch(1);
    let mut consumer = consumer(&broker, reset).await;
    consumer.seek(&partition(), 0).unwrap();
    let read = poll_while(&mut consumer, async {
        let batch = records(0, 1, &["a", "b", "c", "d", "e"]);
        broker.next().await.answer(fetched(0, batch));
    })
    .await;
    assert_eq!(read.unwrap().len(), 5);
    broker.set_leader_epoch(2);
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    let fetch = broker.next().await;
    assert_eq!(fetch_offset(&fetch), 5);
    fetch.answer(fetched(ErrorCode::FencedLeaderEpoch.code(), Bytes::new()));
    (broker, consumer)
}

#[tokio::test]
async fn kip320_a_position_that_the_new_leader_confirms_stays() {
    let (mut broker, mut consumer) = fenced_consumer(AutoOffsetReset::None).await;
    let read = poll_while(&mut consumer, async {
        assert_eq!(answer_epoch_end(broker.next().await, 1, 5), 1);
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 5);
        fetch.answer(fetched(0, records(5, 2, &["f"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(5, &b"f"[..])]);
}

#[tokio::test]
async fn kip320_truncation_without_a_reset_policy_is_an_error() {
    for end in [(1, 3), (-1, -1)] {
        let (mut broker, mut consumer) = fenced_consumer(AutoOffsetReset::None).await;
        let error = poll_while(&mut consumer, async {
            assert_eq!(answer_epoch_end(broker.next().await, end.0, end.1), 1);
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("truncated"), "{error}");
        assert!(error.message.contains("seek"), "{error}");
    }
}

#[tokio::test]
async fn kip320_truncation_goes_back_to_where_the_logs_agree() {
    let (mut broker, mut consumer) = fenced_consumer(AutoOffsetReset::Earliest).await;
    let read = poll_while(&mut consumer, async {
        assert_eq!(answer_epoch_end(broker.next().await, 1, 3), 1);
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 3);
        fetch.answer(fetched(0, records(3, 2, &["D"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(3, &b"D"[..])]);
}

#[tokio::test]
async fn kip320_a_log_that_does_not_know_the_epoch_is_a_reset() {
    let (mut broker, mut consumer) = fenced_consumer(AutoOffsetReset::Earliest).await;
    let read = poll_while(&mut consumer, async {
        assert_eq!(answer_epoch_end(broker.next().await, -1, -1), 1);
        assert_eq!(answer_list_offsets(broker.next().await, 0), -2);
        broker
            .next()
            .await
            .answer(fetched(0, records(0, 2, &["A"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(0, &b"A"[..])]);
}

#[tokio::test]
async fn a_corrupt_batch_is_an_error_and_the_position_stays() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::None).await;
    consumer.seek(&partition(), 0).unwrap();
    let error = poll_while(&mut consumer, async {
        let mut batch = records(0, 0, &["a"]).to_vec();
        *batch.last_mut().unwrap() ^= 1;
        broker.next().await.answer(fetched(0, batch.into()));
    })
    .await
    .unwrap_err();
    assert_eq!(error.code, Some(ErrorCode::CorruptMessage));
    assert_eq!(consumer.position(&partition()), Some(0));
}

#[tokio::test]
async fn a_leader_that_does_not_answer_holds_up_only_its_own_partitions() {
    let mut frozen = FakeBroker::start().await;
    let mut healthy = frozen.start_another().await;
    frozen.partitions().store(2, Ordering::Release);
    let mut consumer = consumer(&frozen, AutoOffsetReset::Earliest).await;
    consumer.assign(vec![partition(), TopicPartition::new(TOPIC, 1)]);
    let read = poll_while(&mut consumer, async {
        // Forgotten, so that it is never answered.
        assert_eq!(frozen.next().await.api, ApiKey::ListOffsets);
        assert_eq!(answer_list_offsets(healthy.next().await, 7), -2);
        let fetch = healthy.next().await;
        assert_eq!(fetch_offset(&fetch), 7);
        fetch.answer(fetched_from(1, 0, records(7, 0, &["h"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(7, &b"h"[..])]);
    assert_eq!(consumer.position(&partition()), None);
}

#[tokio::test]
async fn a_position_that_was_looked_up_for_an_earlier_wish_is_dropped() {
    let mut broker = FakeBroker::start().await;
    let mut consumer = consumer(&broker, AutoOffsetReset::Earliest).await;
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    let overtaken = broker.next().await;
    consumer.seek_to_end(&partition()).unwrap();
    assert_eq!(answer_list_offsets(overtaken, 3), -2);
    let read = poll_while(&mut consumer, async {
        assert_eq!(answer_list_offsets(broker.next().await, 9), -1);
        let fetch = broker.next().await;
        assert_eq!(fetch_offset(&fetch), 9);
        fetch.answer(fetched(0, records(9, 0, &["end"])));
    })
    .await;
    assert_eq!(values(&read.unwrap()), [(9, &b"end"[..])]);
}
