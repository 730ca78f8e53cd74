//! What trust in a disk costs: recovery, checked reads, and acknowledgements that wait for fsync.
//!
//! `recovery` opens a log of one segment as after a crash: every batch is read and its checksum
//! compared; `read` reads the same log as a follower does, with the same comparison. `flush` is a
//! node with `flush.messages=1` on a disk whose syncs take 1 ms: one record in each request, one
//! request in flight for each producer, by one producer and by 64.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark uses sockets and clocks, and fails by panicking"
)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use broker::config::Settings;
use broker::id::{BrokerId, TopicId, TopicPartition};
use broker::protocol::{RequestHeader, codec};
use broker::record::{BatchBuilder, Compression};
use broker::shell::{Node, RealDisk, RealFile, Status};
use broker::storage::{
    DirectoryIdentity, Disk, DiskFile, DiskReply, DiskRequest, LogDirectory, LogOptions,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, ProduceRequest, RequestKind, TopicName,
    create_topics_request::CreatableTopic, produce_request,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LOG_BYTES: usize = 256 << 20;
const BATCH_BYTES: usize = 16 << 10;
const SYNC: Duration = Duration::from_millis(1);
const ROUNDS: u64 = 100;

fn log() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn open(path: &Path) -> (LogDirectory<RealDisk>, i64) {
    let identity = DirectoryIdentity {
        cluster_id: "c".to_owned(),
        node_id: BrokerId(1),
        new_directory_id: Uuid::from_u128(5),
    };
    let opened = LogDirectory::open(RealDisk, path.to_owned(), &identity).unwrap();
    let end = opened
        .1
        .logs
        .first()
        .map_or(0, |log| log.state.log_end_offset);
    (opened.0, end)
}

/// Fills a log; returns its bytes and its end.
fn fill(path: &Path) -> (u64, i64) {
    let (mut directory, _) = open(path);
    let create = DiskRequest::CreateLog {
        log: log(),
        topic_id: TopicId(Uuid::from_u128(7)),
        options: LogOptions::default(),
    };
    directory.execute(create).unwrap();
    let (mut bytes, mut end) = (0, 0);
    while bytes < LOG_BYTES {
        let mut batch = BatchBuilder::new(Compression::None).with_position(end, 1);
        while batch.plain_bytes() < BATCH_BYTES {
            batch.append(end, None, Some(&[end as u8; 1000]), &[]);
            end += 1;
        }
        let batches = batch.build();
        bytes += batches.len();
        let append = DiskRequest::Append {
            log: log(),
            batches,
        };
        directory.execute(append).unwrap();
    }
    directory
        .execute(DiskRequest::Flush { log: log() })
        .unwrap();
    (bytes as u64, end)
}

fn read_all(directory: &mut LogDirectory<RealDisk>, end: i64) {
    let mut start = 0;
    while start < end {
        let read = DiskRequest::Read {
            log: log(),
            start,
            end,
            max_bytes: 1 << 20,
            minimum_one_batch: true,
        };
        let Ok(DiskReply::Read { batches }) = directory.execute(read) else {
            panic!("offset {start} cannot be read");
        };
        let last = broker::record::Batches::new(batches).last().unwrap();
        start = last.unwrap().header().next_offset();
    }
}

fn bench_log(criterion: &mut Criterion) {
    let data = tempfile::tempdir().unwrap();
    let (bytes, end) = fill(data.path());
    let mut group = criterion.benchmark_group("log");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("recovery", |bencher| {
        bencher.iter(|| assert_eq!(open(data.path()).1, end));
    });
    let (mut directory, _) = open(data.path());
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_all(&mut directory, end));
    });
    group.finish();
}

/// The machine's files, whose syncs take as long as told and do nothing else.
#[derive(Clone, Debug)]
struct SlowSync;

#[derive(Debug)]
struct SlowFile(RealFile);

impl Disk for SlowSync {
    type File = SlowFile;

    fn open(&self, path: &Path) -> io::Result<SlowFile> {
        RealDisk.open(path).map(SlowFile)
    }

    fn create(&self, path: &Path) -> io::Result<SlowFile> {
        RealDisk.create(path).map(SlowFile)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        RealDisk.is_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        std::thread::sleep(SYNC);
        Ok(())
    }
}

impl DiskFile for SlowFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_at(bytes, position)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        std::thread::sleep(SYNC);
        Ok(())
    }
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
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(-1, None, Some(&[7; 100]), &[]);
    let records = Some(batch.build());
    let partition = produce_request::PartitionProduceData::default().with_records(records);
    let topic = produce_request::TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![partition]);
    let body = ProduceRequest::default()
        .with_acks(-1)
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

fn start_node(data: &Path) -> Node {
    let log_dirs = format!("log.dirs={}", data.display());
    let pairs = [
        "node.id=1",
        &log_dirs,
        "listeners=PLAINTEXT://127.0.0.1:0",
        "log.flush.interval.messages=1",
    ];
    let settings = Settings::parse("", &pairs).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::start_with_disk(settings, listener, &SlowSync).unwrap();
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

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn read_response(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Each producer sends its next record when the last one is acknowledged.
fn produce_rounds(producers: &mut [TcpStream], request: &[u8]) {
    for _ in 0..ROUNDS {
        for producer in &mut *producers {
            producer.write_all(request).unwrap();
        }
        for producer in &mut *producers {
            let response = read_response(producer);
            // Correlation id, one topic "t", one partition: index, then the error code.
            assert_eq!(response.get(19..21), Some(&[0, 0][..]), "{response:?}");
        }
    }
}

fn bench_flush(criterion: &mut Criterion) {
    let data = tempfile::tempdir().unwrap();
    let node = start_node(data.path());
    let mut first = connect(&node);
    first.write_all(&create_topic()).unwrap();
    read_response(&mut first);
    let request = produce();
    let mut group = criterion.benchmark_group("flush");
    group.sample_size(10);
    for count in [1, 64] {
        let mut producers: Vec<_> = (0..count).map(|_| connect(&node)).collect();
        group.throughput(Throughput::Elements(ROUNDS * count));
        group.bench_function(format!("{count} producers"), |bencher| {
            bencher.iter(|| produce_rounds(&mut producers, &request));
        });
    }
    group.finish();
    node.kill();
}

fn benches(criterion: &mut Criterion) {
    bench_log(criterion);
    bench_flush(criterion);
}

criterion_group!(all, benches);
criterion_main!(all);
