//! A logical process: one operation at a time, each recorded at its beginning and its end.
//!
//! In: what to do, and the worker that does it. Out: what came back.
//! Invariant: every invocation gets exactly one completion, whatever becomes of the worker. After
//! an unknown outcome the process goes on under a new number, because the open operation may still
//! take effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkers::history::{
    Action, Bound, Key, ListOffset, OpError, OpType, Poll, Position as HistoryPosition, Record,
    RecordValue, Send,
};

use crate::recorder::Entry;
use crate::worker::driver::Driver;
use crate::worker::protocol::{
    Answer, Command, Edge, Outcome, PolledPartition, PolledValue, Position, WorkerError,
    WorkerErrorKind,
};
use crate::workload::classify;
use crate::workload::session::Session;

/// What the harness grants a worker beyond the client's own timeouts.
const GRACE: Duration = Duration::from_secs(2);

/// A logical process of the history.
#[derive(Debug)]
pub struct Process {
    session: Arc<Session>,
    number: u64,
    node: Box<str>,
    topic: String,
}

/// How an operation ended: what came back, or which class of error.
pub type End<T> = Result<T, OpType>;

impl Process {
    /// A new process of the worker called `node`.
    pub fn new(session: &Arc<Session>, node: impl Into<Box<str>>) -> Self {
        Self {
            number: session.new_process(),
            node: node.into(),
            topic: session.plan.cluster.topic.clone(),
            session: Arc::clone(session),
        }
    }

    /// The same process on another topic.
    pub fn turn_to(&mut self, topic: &str) {
        topic.clone_into(&mut self.topic);
    }

    /// Sends one record; its offset, if the client knows it.
    pub async fn send(
        &mut self,
        driver: &Driver,
        partition: i32,
        bytes: usize,
    ) -> End<Option<i64>> {
        let value = self.session.new_value();
        let key = Key::new(&self.topic, partition);
        let command = Command::Send {
            topic: self.topic.clone(),
            partition,
            value,
            bytes,
        };
        let delivery = self.session.plan.workload.producer.delivery_timeout_ms;
        let deadline = Duration::from_millis(delivery) + GRACE;
        let sent = |offset| {
            Action::Send(vec![Send {
                key: key.clone(),
                value,
                offset,
            }])
        };
        self.perform(
            driver,
            command,
            deadline,
            sent(None),
            |answer| match answer {
                Answer::Sent { offset } => Some((sent(offset), offset)),
                _ => None,
            },
        )
        .await
    }

    /// Takes exactly `partitions`.
    pub async fn assign(&mut self, driver: &Driver, partitions: &[i32]) -> End<()> {
        let keys = partitions
            .iter()
            .map(|&index| Key::new(&self.topic, index))
            .collect();
        let action = Action::Assign(keys);
        let command = Command::Assign {
            topic: self.topic.clone(),
            partitions: partitions.to_vec(),
        };
        let done = action.clone();
        let answer = |answer| matches!(answer, Answer::Done).then_some((done, ()));
        self.perform(driver, command, self.read_deadline(), action, answer)
            .await
    }

    /// Moves to `positions`.
    pub async fn seek(&mut self, driver: &Driver, positions: &[(i32, Position)]) -> End<()> {
        let moves = positions.iter().map(|(index, position)| {
            let position = match position {
                Position::Offset(offset) => HistoryPosition::Offset(*offset),
                Position::Edge(Edge::Beginning) => HistoryPosition::Beginning,
                Position::Edge(Edge::End) => HistoryPosition::End,
            };
            (Key::new(&self.topic, *index), position)
        });
        let action = Action::Seek(moves.collect());
        let command = Command::Seek {
            topic: self.topic.clone(),
            positions: positions.to_vec(),
        };
        let done = action.clone();
        let answer = |answer| matches!(answer, Answer::Done).then_some((done, ()));
        self.perform(driver, command, self.read_deadline(), action, answer)
            .await
    }

    /// Reads on; for each partition that delivered records, the offset after the last one.
    pub async fn poll(&mut self, driver: &Driver) -> End<BTreeMap<i32, i64>> {
        let timeout_ms = self.session.plan.workload.poll_timeout_ms;
        let deadline = self.read_deadline() + Duration::from_millis(timeout_ms);
        let topic = self.topic.clone();
        let asked = Action::Poll(Poll::default());
        self.perform(
            driver,
            Command::Poll { timeout_ms },
            deadline,
            asked,
            |answer| {
                let Answer::Polled { partitions } = answer else {
                    return None;
                };
                let last =
                    |group: &PolledPartition| group.records.last().map(|(offset, _)| offset + 1);
                let next = partitions
                    .iter()
                    .filter_map(|group| Some((group.partition, last(group)?)));
                let next = next.collect();
                Some((Action::Poll(polled(&topic, partitions)), next))
            },
        )
        .await
    }

    /// Reads one bound of `partitions`.
    pub async fn list_offsets(
        &mut self,
        driver: &Driver,
        partitions: &[i32],
        at: Edge,
    ) -> End<BTreeMap<i32, i64>> {
        let bound = match at {
            Edge::Beginning => Bound::Start,
            Edge::End => Bound::End,
        };
        let topic = self.topic.clone();
        let listed = |found: &BTreeMap<i32, i64>| {
            let one = |&index: &i32| ListOffset {
                bound,
                key: Key::new(&topic, index),
                offset: found.get(&index).copied(),
            };
            Action::ListOffsets(partitions.iter().map(one).collect())
        };
        let command = Command::ListOffsets {
            topic: self.topic.clone(),
            partitions: partitions.to_vec(),
            at,
        };
        let asked = listed(&BTreeMap::new());
        self.perform(driver, command, self.read_deadline(), asked, |answer| {
            let Answer::Offsets { partitions } = answer else {
                return None;
            };
            let found = partitions.into_iter().collect();
            Some((listed(&found), found))
        })
        .await
    }

    /// Records that the client process died; the process goes on under a new number.
    pub fn crash(&mut self, reason: &str) {
        self.session.stats.crashed();
        let action = Action::Crash(Some(reason.to_owned()));
        self.record(OpType::Invoke, action.clone(), None);
        self.record(OpType::Info, action, None);
        self.number = self.session.new_process();
    }

    /// One operation, from its invocation to its completion.
    ///
    /// `read` turns the answer into what the completion says and what the caller gets; it refuses
    /// an answer of the wrong kind, which makes the outcome unknown.
    pub(in crate::workload) async fn perform<T>(
        &mut self,
        driver: &Driver,
        command: Command,
        deadline: Duration,
        action: Action,
        read: impl FnOnce(Answer) -> Option<(Action, T)>,
    ) -> End<T> {
        self.session.stats.invoked();
        self.record(OpType::Invoke, action.clone(), None);
        let begin = Instant::now();
        let outcome = driver.call(command, deadline).await;
        let latency = begin.elapsed();
        let (kind, action, error, value) = match outcome {
            Ok(Outcome::Ok(answer)) => match read(answer) {
                Some((action, value)) => (OpType::Ok, action, None, Some(value)),
                None => (OpType::Info, action, Some(wrong_answer()), None),
            },
            Ok(Outcome::Error(error)) => {
                let kind = kind_of(&action, &error);
                (kind, action, Some(classify::op_error(&error)), None)
            }
            Err(error) => (
                OpType::Info,
                action,
                Some(classify::call_error(&error)),
                None,
            ),
        };
        self.session.stats.completed(kind, &action, latency);
        self.record(kind, action, error);
        if kind == OpType::Info {
            self.number = self.session.new_process();
        }
        value.ok_or(kind)
    }

    fn record(&self, kind: OpType, action: Action, error: Option<OpError>) {
        let node = Some(self.node.clone());
        self.session.recorder.record(Entry {
            process: self.number,
            kind,
            action,
            error,
            node,
        });
    }

    /// The number of its next operation.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The topic that it works on: the plan's own unless it has turned to another.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How long a read may take with the client's own retries.
    pub(in crate::workload) fn read_deadline(&self) -> Duration {
        Duration::from_millis(self.session.plan.workload.request_timeout_ms) * 3 + GRACE
    }
}

fn kind_of(action: &Action, error: &WorkerError) -> OpType {
    match action {
        Action::Send(_) => classify::send_error(error),
        _ => OpType::Fail,
    }
}

fn wrong_answer() -> OpError {
    let error = WorkerError {
        kind: WorkerErrorKind::Invalid,
        code: None,
        message: "the worker answered another question".to_owned(),
    };
    classify::op_error(&error)
}

/// What a poll returned, in the words of the history.
pub(in crate::workload) fn polled(topic: &str, partitions: Vec<PolledPartition>) -> Poll {
    let record = |(offset, value)| match value {
        PolledValue::Value(value) => Record(offset, RecordValue::Unique(value)),
        PolledValue::Corrupt { corrupt } => Record(offset, RecordValue::Foreign(corrupt.into())),
    };
    let mut records: BTreeMap<Key, Vec<Record>> = BTreeMap::new();
    for group in partitions {
        // A worker may name a partition twice; none of its records is dropped.
        let of_partition = records.entry(Key::new(topic, group.partition)).or_default();
        of_partition.extend(group.records.into_iter().map(record));
    }
    Poll { records }
}
