//! Bytes a second into one node, against the same bytes through a loopback socket into a file.
//!
//! One connection, acks=1, batches of 64 KiB with records of 1 KiB, five requests in flight; the
//! copy reads 64 KiB at a time and writes them. Neither flushes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark uses sockets and clocks, and fails by panicking"
)]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use broker::config::Settings;
use broker::protocol::{RequestHeader, codec};
use broker::record::{BatchBuilder, Compression};
use broker::shell::{Node, Status};
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, ProduceRequest, RequestKind, TopicName,
    create_topics_request::CreatableTopic, produce_request,
};
use kafka_protocol::protocol::StrBytes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOTAL_BYTES: usize = 64 << 20;
const BATCH_BYTES: usize = 64 << 10;
const RECORD_BYTES: usize = 1 << 10;
const IN_FLIGHT: usize = 5;

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = [7; RECORD_BYTES - 12];
    while builder.plain_bytes() + RECORD_BYTES <= BATCH_BYTES {
        builder.append(-1, None, Some(&value), &[]);
    }
    builder.build()
}

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

fn produce() -> Bytes {
    let partition = produce_request::PartitionProduceData::default().with_records(Some(batch()));
    let topic = produce_request::TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![partition]);
    let body = ProduceRequest::default()
        .with_acks(1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    request(ApiKey::Produce, 8, &body.into())
}

fn create_topic() -> Bytes {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let body = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    request(ApiKey::CreateTopics, 2, &body.into())
}

fn read_response(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

fn start_node(data: &Path) -> Node {
    let log_dirs = format!("log.dirs={}", data.display());
    // Retention keeps the disk from filling while the benchmark repeats.
    let pairs = [
        "node.id=1",
        &log_dirs,
        "listeners=PLAINTEXT://127.0.0.1:0",
        "log.segment.bytes=67108864",
        "log.retention.bytes=268435456",
        "log.retention.check.interval.ms=500",
        "log.segment.delete.delay.ms=0",
    ];
    let node = Node::start(Settings::parse("", &pairs).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut status = node.status();
    runtime
        .block_on(status.wait_for(|status| *status == Status::Serving))
        .unwrap();
    node
}

/// Produces `TOTAL_BYTES` and waits for the last acknowledgement.
fn produce_all(stream: &mut TcpStream, request: &[u8]) {
    let mut in_flight = VecDeque::new();
    for index in 0..TOTAL_BYTES / BATCH_BYTES {
        if in_flight.len() == IN_FLIGHT {
            read_response(stream);
            in_flight.pop_front();
        }
        stream.write_all(request).unwrap();
        in_flight.push_back(index);
    }
    for _ in in_flight {
        read_response(stream);
    }
}

fn bench_node(group: &mut BenchmarkGroup<'_, WallTime>) {
    let data = tempfile::tempdir().unwrap();
    let node = start_node(data.path());
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&create_topic()).unwrap();
    read_response(&mut stream);
    let request = produce();
    stream.write_all(&request).unwrap();
    let response = read_response(&mut stream);
    // Correlation id, one topic "t", one partition: index, then the error code.
    assert_eq!(response.get(19..21), Some(&[0, 0][..]), "{response:?}");
    group.bench_function("node acks=1", |bencher| {
        bencher.iter(|| produce_all(&mut stream, &request));
    });
    node.kill();
}

fn copy_to_file(listener: &TcpListener, path: &Path) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; BATCH_BYTES];
    let mut file = File::create(path).unwrap();
    let mut written = 0;
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return;
        }
        file.write_all(buffer.get(..count).unwrap()).unwrap();
        written += count;
        if written >= TOTAL_BYTES {
            stream.write_all(b"!").unwrap();
            file = File::create(path).unwrap();
            written = 0;
        }
    }
}

fn bench_copy(group: &mut BenchmarkGroup<'_, WallTime>) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("copy");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let copier = std::thread::spawn(move || copy_to_file(&listener, &path));
    let mut stream = TcpStream::connect(address).unwrap();
    let payload = vec![7; BATCH_BYTES];
    group.bench_function("socket to file", |bencher| {
        bencher.iter(|| {
            for _ in 0..TOTAL_BYTES / BATCH_BYTES {
                stream.write_all(&payload).unwrap();
            }
            stream.read_exact(&mut [0]).unwrap();
        });
    });
    drop(stream);
    copier.join().unwrap();
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("produce");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(TOTAL_BYTES as u64));
    bench_copy(&mut group);
    bench_node(&mut group);
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
