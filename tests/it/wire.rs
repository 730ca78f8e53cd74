//! Bad input on a live node: an error or a closed connection, and the node serves on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use broker::client::Acks;
use broker::error::ErrorCode;
use broker::protocol::versions::SERVED;
use broker::protocol::{RequestHeader, codec};
use broker::record::{BatchBuilder, Compression};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::{Cluster, record};

/// Sends `bytes`, ends the sending side, and returns all that comes back.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_close_their_connection_only() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let address = cluster.bootstrap()[0];
    let hostile: &[&[u8]] = &[
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x02\0\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &frame(b"\x7f\xff\0\0\0\0\0\x01"),
        &frame(b"\0\x03\x7f\xff\0\0\0\x01"),
        &frame(b"\0\x03\0\0\0\0\0\x01\xff\xff\x7f\xff\xff\xff"),
        &frame(b"\0\0\0\x09\0\0\0\x01\xff\xff\0garbage"),
        &frame(b"\0\x03\0\x01\0\0\0\x01")[..9],
    ];
    for bytes in hostile {
        let answer = exchange(address, bytes);
        assert!(answer.is_empty(), "{bytes:?} was answered by {answer:?}");
    }
    // ApiVersions of an unknown version is answered (KIP-511), also to a half-closed socket.
    let answer = exchange(address, &frame(b"\0\x12\0\x63\0\0\0\x09"));
    assert_eq!(answer.get(4..10), Some(&b"\0\0\0\x09\0\x23"[..]));
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("auto", 0, "alive")).await.unwrap();
    assert_eq!(cluster.read_all("auto", 0).await, ["alive"]);
}

/// The next number of a generator that needs no dependency (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A frame of a served version with a random body, or a valid one with a few bytes changed.
fn hostile_frame(state: &mut u64) -> Vec<u8> {
    let row = &SERVED[next(state) as usize % SERVED.len()];
    let version = row.min + (next(state) % (row.max - row.min + 1) as u64) as i16;
    let mut body = (row.api as i16).to_be_bytes().to_vec();
    body.extend_from_slice(&version.to_be_bytes());
    body.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
    // Small numbers decode as lengths and ids; they reach deeper than noise does.
    let length = next(state) % 80;
    body.extend((0..length).map(|_| (next(state) % 256 >> (next(state) % 8)) as u8));
    frame(&body)
}

#[tokio::test(flavor = "multi_thread")]
async fn random_frames_never_hurt_the_node() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let address = cluster.bootstrap()[0];
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    println!("SEED={seed}");
    let mut state = seed;
    for _ in 0..1000 {
        let bytes = hostile_frame(&mut state);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&bytes).unwrap();
        drop(stream);
    }
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("auto", 0, "alive")).await.unwrap();
    assert_eq!(cluster.read_all("auto", 0).await, ["alive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_batches_are_refused_and_not_in_the_log() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("t", 0, "good")).await.unwrap();
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1, None, Some(b"value"), &[]);
    let batch = builder.build();
    let mut flipped = batch.to_vec();
    flipped[65] ^= 1;
    let cases: [(&[u8], i16); 5] = [
        (&flipped, ErrorCode::CorruptMessage.code()),
        (&batch[..batch.len() - 1], ErrorCode::InvalidRecord.code()),
        (&batch[..20], ErrorCode::InvalidRecord.code()),
        (b"", ErrorCode::InvalidRecord.code()),
        (
            &[&batch[..], &batch[..]].concat(),
            ErrorCode::InvalidRecord.code(),
        ),
    ];
    for (records, want) in cases {
        let code = produce_raw(cluster.bootstrap()[0], records);
        assert_eq!(code, want, "{} bytes", records.len());
    }
    assert_eq!(cluster.read_all("t", 0).await, ["good"]);
}

/// Produces raw bytes to partition 0 of topic "t" and returns the error code.
fn produce_raw(address: SocketAddr, records: &[u8]) -> i16 {
    let partition =
        PartitionProduceData::default().with_records(Some(bytes::Bytes::copy_from_slice(records)));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![partition]);
    let body = ProduceRequest::default()
        .with_acks(1)
        .with_timeout_ms(1000)
        .with_topic_data(vec![topic]);
    let (api, version) = (ApiKey::Produce, 9);
    let header = RequestHeader {
        api,
        version,
        correlation_id: 1,
        client_id: None,
    };
    let answer = exchange(
        address,
        &codec::encode_request(&header, &body.into()).unwrap(),
    );
    let (_, body) = codec::decode_response(api, version, answer[4..].to_vec().into()).unwrap();
    let ResponseKind::Produce(body) = body else {
        panic!("a produce is answered as one");
    };
    body.responses[0].partition_responses[0].error_code
}
