//! Commits over a socket: one node, eight connections, each with 64 requests in flight.
//!
//! One OffsetCommit (version 7) carries one offset of a group without members. The node decodes,
//! coordinates, appends to `__consumer_offsets` and answers; the clients share its cores.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use broker::protocol::{RequestHeader, codec};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest, RequestKind,
    TopicName, create_topics_request::CreatableTopic,
};
use kafka_protocol::protocol::StrBytes;

use crate::nodes::Nodes;

const COMMITS: usize = 20_000;
const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the error code stands in the answer to a commit (version 7) for a partition of topic "t":
/// after the correlation id, the throttle time, one topic, its name, one partition and its index.
const ERROR_CODE: std::ops::Range<usize> = 23..25;

fn request(api: ApiKey, version: i16, body: &RequestKind) -> Bytes {
    let header = RequestHeader {
        api,
        version,
        correlation_id: 1,
        client_id: None,
        peer: None,
    };
    codec::encode_request(&header, body).unwrap()
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn commit() -> Bytes {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(17);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name())
        .with_partitions(vec![partition]);
    let body = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    request(ApiKey::OffsetCommit, 7, &body.into())
}

fn create_topic() -> Bytes {
    let topic = CreatableTopic::default()
        .with_name(name())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let body = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    request(ApiKey::CreateTopics, 2, &body.into())
}

/// Its answer creates `__consumer_offsets`.
fn find_coordinator() -> Bytes {
    let body = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    request(ApiKey::FindCoordinator, 1, &body.into())
}

fn read_response(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

fn call(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    read_response(stream)
}

/// Connects and waits until the group's coordinator takes a commit.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    call(&mut stream, &create_topic());
    let deadline = Instant::now() + PATIENCE;
    loop {
        call(&mut stream, &find_coordinator());
        let response = call(&mut stream, &commit());
        if response.get(ERROR_CODE) == Some(&[0, 0][..]) {
            return stream;
        }
        assert!(Instant::now() < deadline, "no coordinator: {response:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn expect_success(stream: &mut TcpStream) {
    let response = read_response(stream);
    assert_eq!(response.get(ERROR_CODE), Some(&[0, 0][..]), "{response:?}");
}

fn commit_all(stream: &mut TcpStream, request: &[u8], count: usize) {
    for index in 0..count {
        if index >= IN_FLIGHT {
            expect_success(stream);
        }
        stream.write_all(request).unwrap();
    }
    for _ in 0..count.min(IN_FLIGHT) {
        expect_success(stream);
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let nodes = Nodes::start(1);
    let address = *nodes.addresses.first().unwrap();
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    let request = commit();
    let mut group = criterion.benchmark_group("groups");
    group.sample_size(10);
    group.throughput(Throughput::Elements(COMMITS as u64));
    group.bench_function("wire: 20,000 commits", |bencher| {
        bencher.iter(|| {
            std::thread::scope(|scope| {
                for stream in &mut streams {
                    let request = &request;
                    scope.spawn(move || commit_all(stream, request, COMMITS / CONNECTIONS));
                }
            });
        });
    });
    group.finish();
}
