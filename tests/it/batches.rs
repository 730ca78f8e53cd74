//! Damaged batches in well-formed produce requests: refused with an error code, never appended.

use std::io::{Read, Write};
use std::net::TcpStream;

use broker::client::{Acks, NewTopic};
use broker::error::ErrorCode;
use broker::protocol::codec;
use broker::record::batch_crc;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseKind};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::cluster::{Cluster, PATIENCE, record};
use crate::requests::{batch, frame, produce};

const TOPIC: &str = "t";
/// Where a batch's leader epoch begins; brokers write it, so what a client sends is of no matter.
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// A connection that sends requests one by one.
struct Raw(TcpStream);

impl Raw {
    fn to(cluster: &Cluster) -> Self {
        let stream = TcpStream::connect(cluster.bootstrap()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Produces `records`; the error code and the offset of the answer.
    fn produce(&mut self, records: Bytes) -> (i16, i64) {
        let version = 9;
        let request = frame(ApiKey::Produce, version, &produce(TOPIC, records));
        self.0.write_all(&request).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        let (_, body) = codec::decode_response(ApiKey::Produce, version, answer.into()).unwrap();
        let ResponseKind::Produce(body) = body else {
            panic!("not the answer to a produce request: {body:?}");
        };
        let partition = &body.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }
}

async fn cluster() -> Cluster {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: 1,
        replication_factor: 1,
        configs: Vec::new(),
    };
    cluster.admin().await.create_topic(topic).await.unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_batch_is_appended() {
    let cluster = cluster().await;
    let mut raw = Raw::to(&cluster);
    let good = batch();
    for length in 0..good.len() {
        let (code, _) = raw.produce(good.slice(..length));
        let want = ErrorCode::InvalidRecord.code();
        assert_eq!(code, want, "{length} of {} bytes", good.len());
    }
    for at in (8..good.len()).filter(|at| !(LEADER_EPOCH_AT..MAGIC_AT).contains(at)) {
        for bit in [0x01, 0x80] {
            let mut bad = BytesMut::from(&good[..]);
            bad[at] ^= bit;
            let (code, _) = raw.produce(bad.freeze());
            assert_ne!(code, 0, "a batch with byte {at} xor {bit} was appended");
            if at >= CRC_AT {
                assert_eq!(code, ErrorCode::CorruptMessage.code(), "{at} xor {bit}");
            }
        }
    }
    // A second batch, and a batch with something behind it: Kafka takes exactly one.
    let twice = Bytes::from([&good[..], &good[..]].concat());
    assert_eq!(raw.produce(twice).0, ErrorCode::InvalidRecord.code());
    assert_eq!(raw.produce(good), (0, 0), "nothing was appended before");
    assert_eq!(cluster.read_all(TOPIC, 0).await, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_can_be_read_even_if_its_crc_covers_nonsense() {
    let cluster = cluster().await;
    let mut raw = Raw::to(&cluster);
    let good = batch();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut appended = 0;
    for _ in 0..400 {
        let mut bad = BytesMut::from(&good[..]);
        // Not the compression: a batch whose records do not unpack is refused by another rule.
        let at = ATTRIBUTES_AT + 2 + random.next_u32() as usize % (good.len() - ATTRIBUTES_AT - 2);
        bad[at] = random.next_u32() as u8;
        let crc = batch_crc(&bad);
        bad[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        appended += usize::from(raw.produce(bad.freeze()).0 == 0);
    }
    assert!(appended > 0, "a byte of a value is nobody's business");
    let producer = cluster.producer(Acks::All).await;
    producer.send(record(TOPIC, 0, "last")).await.unwrap();
    let read = cluster.clients().read_all_bytes(TOPIC, 0).await;
    assert_eq!(read.len(), 3 * appended + 1);
    assert_eq!(read.last().unwrap(), b"last");
}
