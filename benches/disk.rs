//! What trust in a disk costs: recovery, checked reads, and acknowledgements that wait for fsync.
//!
//! `recovery` opens a log of one segment as after a crash: every batch is read and its checksum
//! compared; `read` reads the same log as a follower does, with the same comparison. `flush` is a
//! node with `flush.messages=1` on a disk whose syncs take 1 ms: one record in each request, one
//! request in flight for each producer, by one producer and by 64. All producers are one thread
//! that copies bytes between sockets, so that what is measured is the node.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark uses sockets and clocks, and fails by panicking"
)]

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use broker::config::Settings;
use broker::id::{BrokerId, TopicId, TopicPartition};
use broker::protocol::{RequestHeader, codec};
use broker::record::{BatchBuilder, Compression};
use broker::shell::{Node, RealDisk, RealFile, Shutdown, Status};
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
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
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
    let node = Node::start_with_disk(settings, listener, &SlowSync, &Shutdown::new().1).unwrap();
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

/// Producers, each on its own connection.
struct Producers {
    poll: Poll,
    events: Events,
    each: Vec<Producer>,
}

struct Producer {
    stream: TcpStream,
    /// What came of the answer under way.
    answer: Vec<u8>,
    /// Requests whose answer has not come.
    left: u64,
}

impl Producers {
    fn connect(node: &Node, count: usize) -> Self {
        let poll = Poll::new().unwrap();
        let producer = |token| {
            let stream = std::net::TcpStream::connect(node.address()).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(token), Interest::READABLE)
                .unwrap();
            Producer {
                stream,
                answer: Vec::new(),
                left: 0,
            }
        };
        let each = (0..count).map(producer).collect();
        Self {
            poll,
            events: Events::with_capacity(count),
            each,
        }
    }

    /// Each producer sends `request` so many times, the next when the last one is answered.
    fn send(&mut self, request: &[u8], times: u64, check: impl Fn(&[u8])) {
        for producer in &mut self.each {
            producer.left = times;
            producer.stream.write_all(request).unwrap();
        }
        let mut busy = self.each.len();
        while busy > 0 {
            self.poll.poll(&mut self.events, None).unwrap();
            for event in &self.events {
                let producer = self.each.get_mut(event.token().0).unwrap();
                if let Some(answer) = producer.read_answer() {
                    check(&answer);
                    producer.left -= 1;
                    if producer.left == 0 {
                        busy -= 1;
                    } else {
                        producer.stream.write_all(request).unwrap();
                    }
                }
            }
        }
    }
}

impl Producer {
    /// The answer without its length, once all of it is there.
    fn read_answer(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 512];
        let count = match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the node closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        };
        self.answer.extend_from_slice(buffer.get(..count).unwrap());
        let length = u32::from_be_bytes(*self.answer.first_chunk()?) as usize;
        assert!(self.answer.len() <= 4 + length, "one request, one answer");
        (self.answer.len() == 4 + length).then(|| self.answer.drain(..).skip(4).collect())
    }
}

/// Correlation id, one topic "t", one partition: index, then the error code.
fn is_acknowledged(answer: &[u8]) {
    assert_eq!(answer.get(19..21), Some(&[0, 0][..]), "{answer:?}");
}

fn bench_flush(criterion: &mut Criterion) {
    let data = tempfile::tempdir().unwrap();
    let node = start_node(data.path());
    Producers::connect(&node, 1).send(&create_topic(), 1, |_| ());
    let request = produce();
    let mut group = criterion.benchmark_group("flush");
    group.sample_size(10);
    for count in [1, 64] {
        let mut producers = Producers::connect(&node, count);
        group.throughput(Throughput::Elements(ROUNDS * count as u64));
        group.bench_function(format!("{count} producers"), |bencher| {
            bencher.iter(|| producers.send(&request, ROUNDS, is_acknowledged));
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
