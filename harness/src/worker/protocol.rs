//! The line protocol between the harness and a worker: one JSON object a line, both ways.
//!
//! In: requests on the worker's stdin. Out: a greeting, then one reply for each request, on its
//! stdout, in any order; stderr is kept as the worker's log. A client in any language can be put
//! under test by speaking these lines. What a member of a group needs beyond them is in `group`.
//!
//! Invariant: the worker answers every request exactly once with the request's `id`; a request
//! that it cannot understand is answered with the error kind `invalid`. End of input ends it.
//!
//! ```text
//! ← {"protocol":2,"client":"verdict-rust 0.1.0"}
//! → {"id":1,"op":"open","bootstrap":["127.0.1.1:9092"],"producer":{"acks":"all",…},…}
//! ← {"id":1,"ok":"done"}
//! → {"id":2,"op":"send","topic":"t","partition":3,"value":17,"bytes":200}
//! ← {"id":2,"ok":{"sent":{"offset":4}}}
//! → {"id":3,"op":"assign","topic":"t","partitions":[0,3]}
//! → {"id":3,"op":"seek","topic":"t","positions":[[0,"beginning"],[3,17]]}
//! → {"id":4,"op":"poll","timeout_ms":200}
//! ← {"id":4,"ok":{"polled":{"partitions":[{"partition":3,"records":[[4,17]]}]}}}
//! → {"id":5,"op":"list-offsets","topic":"t","partitions":[3],"at":"end"}
//! ← {"id":5,"ok":{"offsets":{"partitions":[[3,5]]}}}
//! ← {"id":6,"error":{"kind":"unknown-outcome","code":"REQUEST_TIMED_OUT","message":"…"}}
//! ```
//! Sends and processing may overlap with everything. All other requests act on the one consumer of
//! the worker in the order of their lines; the reply to `commit-async` comes with its callback,
//! and does not hold up what follows. A worker never decides whether an error means "failed" or
//! "unknown": it reports what it saw, and the table in the checkers decides.

use serde::{Deserialize, Serialize};

pub mod group;

pub use group::{Ack, Event, GroupOptions, Told};

/// The version of this protocol, sent in the greeting: 2 knows groups.
pub const PROTOCOL_VERSION: u32 = 2;

/// The first line of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The client under test and its version, for the report.
    pub client: String,
}

/// One line to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the harness, unique in the worker's life.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What the harness can ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Command {
    /// Starts the clients; the first request of a worker.
    Open(Box<OpenOptions>),
    /// Sends one record; answered by [`Answer::Sent`].
    Send {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        partition: i32,
        /// The unique value that the payload carries (`worker::payload` states its bytes).
        value: u64,
        /// The payload's size in bytes.
        bytes: usize,
    },
    /// Replaces the assignment; a seek of every partition of it follows.
    Assign {
        /// The topic's name.
        topic: String,
        /// The partitions' indexes.
        partitions: Vec<i32>,
    },
    /// Moves the positions of assigned partitions.
    Seek {
        /// The topic's name.
        topic: String,
        /// Pairs of partition and where the next poll reads first.
        positions: Vec<(i32, Position)>,
    },
    /// Reads on from the positions; answered by [`Answer::Polled`], which may be empty.
    Poll {
        /// How long to wait for a first record, in milliseconds.
        timeout_ms: u64,
    },
    /// Asks for an end of partitions; answered by [`Answer::Offsets`].
    ListOffsets {
        /// The topic's name.
        topic: String,
        /// The partitions' indexes.
        partitions: Vec<i32>,
        /// Which end.
        at: Edge,
    },
    /// Joins the group of the open options to read a topic; the polls that follow do the work.
    Subscribe {
        /// The topic's name.
        topic: String,
    },
    /// Takes the time of processing one record inside the worker, as an application would.
    Process {
        /// The partition's index.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// How long it takes, in milliseconds.
        process_ms: u64,
    },
    /// Commits the positions behind all that polls returned, and retries until it is known.
    CommitSync,
    /// Commits the same, once; the reply comes with the callback.
    CommitAsync,
    /// Asks for the committed offsets of the group; answered by [`Answer::Committed`].
    Committed {
        /// The topic's name.
        topic: String,
        /// The partitions' indexes.
        partitions: Vec<i32>,
    },
    /// Closes the consumer, which leaves its group unless it is a static member.
    Leave,
    /// Closes the clients; the worker exits after the answer.
    Close,
}

/// The clients that a worker opens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenOptions {
    /// Addresses to start from, `host:port`.
    pub bootstrap: Vec<String>,
    /// The client id on the wire.
    pub client_id: String,
    /// How long one request to a broker may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Opens a producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<ProducerOptions>,
    /// Opens a consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<ConsumerOptions>,
    /// The planted bug that the clients shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<String>,
}

/// The producer's settings, named as Kafka names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerOptions {
    /// `0`, `1` or `all`.
    pub acks: Acks,
    /// Whether retries are deduplicated by the broker.
    pub idempotence: bool,
    /// The compression of batches.
    pub compression: Compression,
    /// How long a batch waits for more records, in milliseconds.
    pub linger_ms: u64,
    /// How long a send may take with all its retries, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// The pause before a retry, in milliseconds.
    pub retry_backoff_ms: u64,
    /// Unanswered produce requests per connection.
    pub max_in_flight: usize,
}

/// The consumer's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerOptions {
    /// Records that one poll returns at most.
    pub max_poll_records: usize,
    /// How long a broker may hold a fetch, in milliseconds.
    pub fetch_max_wait_ms: u64,
    /// Bytes of one partition in one fetch.
    pub partition_fetch_bytes: i32,
    /// Makes it able to join a group and to ask for its offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupOptions>,
}

/// When a send counts as acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// Without any answer.
    #[serde(rename = "0")]
    Zero,
    /// By the leader alone.
    #[serde(rename = "1")]
    One,
    /// By all in-sync replicas.
    #[serde(rename = "all")]
    All,
}

/// The compression of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Plain.
    None,
    /// gzip.
    Gzip,
    /// Snappy in Xerial's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// One end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The log start offset.
    Beginning,
    /// The end that consumers may read up to, exclusive.
    End,
}

/// Where reading goes on: an edge by name, or an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    /// An offset.
    Offset(i64),
    /// `"beginning"` or `"end"`.
    Edge(Edge),
}

/// One line from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's id.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was not, or nobody knows.
    Error(WorkerError),
}

/// What a successful request yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing to say.
    Done,
    /// The record is acknowledged.
    Sent {
        /// Its offset; absent with `acks=0`.
        offset: Option<i64>,
    },
    /// What a poll returned, in the order of delivery within each partition.
    Polled {
        /// One entry for each partition that delivered records.
        partitions: Vec<PolledPartition>,
    },
    /// The offsets asked for.
    Offsets {
        /// Pairs of partition and offset.
        partitions: Vec<(i32, i64)>,
    },
    /// The committed offsets asked for.
    Committed {
        /// Pairs of partition and offset; null where there is none.
        partitions: Vec<(i32, Option<i64>)>,
    },
}

/// The records of one partition in one poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolledPartition {
    /// The partition's index.
    pub partition: i32,
    /// Pairs of offset and value.
    pub records: Vec<(i64, PolledValue)>,
}

/// What the payload of a polled record carried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PolledValue {
    /// The value of an intact payload.
    Value(u64),
    /// A payload that no send produced.
    Corrupt {
        /// Why, with the first bytes in hex.
        corrupt: String,
    },
}

/// An error as the client reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// The client's class of the error.
    pub kind: WorkerErrorKind,
    /// Kafka's name of the code, such as `NOT_ENOUGH_REPLICAS`, if a broker answered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For people.
    pub message: String,
}

/// The classes of errors, coarse on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerErrorKind {
    /// The client gave up, and says that the request had no effect.
    Retriable,
    /// The request may have had its effect.
    UnknownOutcome,
    /// A newer instance has taken over.
    Fenced,
    /// The request can never succeed.
    Invalid,
    /// The client is closed.
    Closed,
}
