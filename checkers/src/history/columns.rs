//! A history as the checkers read it: rows by partition, keys and texts interned.
//!
//! Built in one pass over the operations; memory is linear in them. Events are named by their
//! *position* in `History::ops`, which is also the clock. The position of each consumer is
//! followed through `assign`, `seek` and `poll`, and is unknown whenever the history leaves doubt.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::history::action::{Action, Bound, Poll, Position, Send};
use crate::history::group::{Rebalance, Resume};
use crate::history::key::Key;
use crate::history::op::{Op, OpType};
use crate::history::outcome::proves_failure;
use crate::history::read::History;
use crate::history::record::{Record, RecordValue};

/// The completion of what never completed: later than everything.
pub(crate) const NEVER: u32 = u32::MAX;
/// No offset: none was acknowledged, or the consumer's position is unknown.
pub(crate) const NO_OFFSET: i64 = -1;
/// Values from here on are indexes into `Columns::foreign`; those of sends stay below.
pub(crate) const FOREIGN: u64 = 1 << 63;

/// A whole history by partition.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// In the order of their keys.
    pub(crate) partitions: Vec<Partition>,
    /// The texts of payloads that did not decode.
    pub(crate) foreign: Vec<Box<str>>,
    /// The events of the nemesis.
    pub(crate) nemesis: Vec<u32>,
}

/// What the history says about one partition.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// Its name.
    pub(crate) key: Key,
    /// Sends in the order of their completions; those that never completed are last.
    pub(crate) sends: Vec<SendRow>,
    /// Polls that returned records of this partition, in the order of their completions.
    pub(crate) polls: Vec<PollRow>,
    /// The offsets of the records of all polls.
    pub(crate) offsets: Vec<i64>,
    /// Their values.
    pub(crate) values: Vec<u64>,
    /// Reads of the end of the log, in the order of their completions.
    pub(crate) ends: Vec<EndRow>,
}

/// One record that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendRow {
    pub(crate) value: u64,
    /// Where it was acknowledged, or `NO_OFFSET`.
    pub(crate) offset: i64,
    pub(crate) invoked: u32,
    pub(crate) completed: u32,
    /// A small number for the process.
    pub(crate) process: u32,
    pub(crate) outcome: Outcome,
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an offset.
    Acked,
    /// Certainly without effect.
    Failed,
    /// Done without an offset, as with acks=0: where it is, and whether it is, is in doubt.
    Unplaced,
    /// In doubt.
    Unknown,
}

/// One poll, as far as it concerns one partition; it returned at least one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollRow {
    /// Offset of its first record.
    pub(crate) first: i64,
    /// Offset of its last record.
    pub(crate) last: i64,
    /// Where the consumer stood before, or `NO_OFFSET`.
    pub(crate) from: i64,
    /// The event that put it there.
    pub(crate) from_event: u32,
    pub(crate) completed: u32,
    /// Its first record in `Partition::offsets` and `Partition::values`.
    start: usize,
    len: u32,
    /// Whether each record follows its predecessor without gap.
    pub(crate) contiguous: bool,
}

/// One read of the end of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndRow {
    pub(crate) end: i64,
    pub(crate) invoked: u32,
    pub(crate) completed: u32,
}

impl Partition {
    pub(crate) fn new(key: Key) -> Self {
        let (sends, polls, ends) = (vec![], vec![], vec![]);
        Self {
            key,
            sends,
            polls,
            offsets: vec![],
            values: vec![],
            ends,
        }
    }

    /// The offsets of a poll, in the order of its records.
    pub(crate) fn offsets_of(&self, poll: &PollRow) -> &[i64] {
        self.offsets
            .get(poll.start..poll.start + poll.len as usize)
            .unwrap_or_default()
    }

    /// The values of a poll, in the order of its records.
    pub(crate) fn values_of(&self, poll: &PollRow) -> &[u64] {
        self.values
            .get(poll.start..poll.start + poll.len as usize)
            .unwrap_or_default()
    }

    /// Adds a poll, unless it returned nothing.
    pub(crate) fn push_poll(
        &mut self,
        completed: u32,
        (from, from_event): (i64, u32),
        records: impl Iterator<Item = (i64, u64)>,
    ) {
        let start = self.offsets.len();
        for (offset, value) in records {
            self.offsets.push(offset);
            self.values.push(value);
        }
        let added = self.offsets.get(start..).unwrap_or_default();
        let (Some(&first), Some(&last)) = (added.first(), added.last()) else {
            return;
        };
        let follows = |pair: &[i64]| matches!(pair, [a, b] if a.checked_add(1) == Some(*b));
        let (contiguous, len) = (added.windows(2).all(follows), added.len() as u32);
        let row = PollRow {
            first,
            last,
            from,
            from_event,
            completed,
            start,
            len,
            contiguous,
        };
        self.polls.push(row);
    }
}

/// Where a consumer stands in one partition: the offset, and the event that put it there.
type Standing = (i64, u32);

impl Columns {
    /// One pass over the history.
    pub(crate) fn build(history: &History) -> Self {
        let mut builder = Builder::default();
        let gaps = history.header.settings.offset_gaps;
        for (position, op) in history.ops.iter().enumerate() {
            let position = position as u32;
            if let Action::Nemesis(_) = &op.action {
                builder.columns.nemesis.push(position);
            }
            builder.touch(&op.action);
            if op.kind == OpType::Invoke {
                if let Action::Subscribe(subscribe) = &op.action {
                    builder.subscribe(&subscribe.consumer, op.process);
                }
                if history.partner(position).is_none() {
                    builder.never_completes(op, position);
                }
                continue;
            }
            let invoked = history.partner(position).unwrap_or(position);
            builder.complete(op, (invoked, position), gaps);
        }
        builder.finish()
    }
}

#[derive(Default)]
struct Builder {
    columns: Columns,
    keys: FxHashMap<Key, usize>,
    processes: FxHashMap<u64, u32>,
    consumers: FxHashMap<u64, FxHashMap<usize, Standing>>,
    /// The process that polls for a member of a group.
    pollers: FxHashMap<Box<str>, u64>,
    open_sends: Vec<(usize, SendRow)>,
    foreign: FxHashMap<Box<str>, u64>,
}

impl Builder {
    fn complete(&mut self, op: &Op, span: (u32, u32), gaps: bool) {
        let known = op.kind == OpType::Ok;
        match &op.action {
            Action::Send(sends) => sends.iter().for_each(|send| {
                let (key, row) = self.send_row(send, op, span);
                self.partition(key).sends.push(row);
            }),
            Action::Poll(poll) => {
                self.poll(poll, op, span);
                if !known {
                    self.consumers.remove(&op.process);
                }
            }
            Action::ListOffsets(bounds) if known => {
                for bound in bounds.iter().filter(|bound| bound.bound == Bound::End) {
                    let key = self.key(&bound.key);
                    if let Some(end) = bound.offset {
                        let row = EndRow {
                            end,
                            invoked: span.0,
                            completed: span.1,
                        };
                        self.partition(key).ends.push(row);
                    }
                }
            }
            Action::Assign(keys) => {
                let keys: Vec<usize> = keys.iter().map(|key| self.key(key)).collect();
                let standing = self.consumers.entry(op.process).or_default();
                standing.retain(|key, _| known && keys.contains(key));
            }
            Action::Seek(positions) => self.seek(positions, op, span.1, gaps),
            Action::Rebalance(event) => self.rebalance(event),
            Action::Resume(resume) => self.resume(resume, span.1),
            Action::Leave(_) | Action::Crash(_) => drop(self.consumers.remove(&op.process)),
            Action::Subscribe(_)
            | Action::Process(_)
            | Action::Commit(_)
            | Action::Committed(_)
            | Action::DeleteOffsets(_)
            | Action::ListOffsets(_)
            | Action::Admin(_)
            | Action::Nemesis(_) => {}
        }
    }

    /// Every partition that a group names has its place.
    fn touch(&mut self, action: &Action) {
        let mut touch = |key: &Key| {
            self.key(key);
        };
        match action {
            Action::Rebalance(event) => event.partitions.iter().for_each(touch),
            Action::Resume(resume) => touch(&resume.key),
            Action::Process(process) => process.records.keys().for_each(touch),
            Action::Commit(commit) => commit.offsets.keys().for_each(touch),
            Action::Committed(committed) => committed.offsets.keys().for_each(touch),
            Action::DeleteOffsets(deleted) => deleted.keys.iter().for_each(touch),
            _ => {}
        }
    }

    /// A member stands nowhere until it is told where a partition starts.
    fn subscribe(&mut self, consumer: &str, process: u64) {
        self.pollers.insert(consumer.into(), process);
        self.consumers.remove(&process);
    }

    /// A partition that changes hands, in either direction, is left for good.
    fn rebalance(&mut self, event: &Rebalance) {
        let poller = self.pollers.get(&event.consumer);
        let Some(standing) = poller.and_then(|process| self.consumers.get_mut(process)) else {
            return;
        };
        for key in &event.partitions {
            if let Some(number) = self.keys.get(key) {
                standing.remove(number);
            }
        }
    }

    fn resume(&mut self, resume: &Resume, at: u32) {
        let key = self.key(&resume.key);
        if let Some(process) = self.pollers.get(&resume.consumer) {
            let standing = self.consumers.entry(*process).or_default();
            standing.insert(key, (resume.offset, at));
        }
    }

    fn never_completes(&mut self, op: &Op, position: u32) {
        if let Action::Send(sends) = &op.action {
            for send in sends {
                let row = self.send_row(send, op, (position, NEVER));
                self.open_sends.push(row);
            }
        }
        // What a consumer does after an open operation is another process.
        self.consumers.remove(&op.process);
    }

    fn send_row(&mut self, send: &Send, op: &Op, span: (u32, u32)) -> (usize, SendRow) {
        let offset = send.offset.filter(|offset| *offset >= 0);
        let outcome = match (op.kind, offset) {
            (OpType::Ok, Some(_)) => Outcome::Acked,
            (OpType::Ok, None) => Outcome::Unplaced,
            (OpType::Fail, _) if proves_failure(op.error.as_ref()) => Outcome::Failed,
            _ => Outcome::Unknown,
        };
        let next = self.processes.len() as u32;
        let process = *self.processes.entry(op.process).or_insert(next);
        let offset = offset
            .filter(|_| outcome == Outcome::Acked)
            .unwrap_or(NO_OFFSET);
        let (invoked, completed) = span;
        let row = SendRow {
            value: send.value,
            offset,
            invoked,
            completed,
            process,
            outcome,
        };
        (self.key(&send.key), row)
    }

    fn poll(&mut self, poll: &Poll, op: &Op, span: (u32, u32)) {
        for (key, records) in &poll.records {
            let Some(Record(last, _)) = records.last() else {
                continue;
            };
            let key = self.key(key);
            let standing = self.consumers.entry(op.process).or_default();
            let after = (last.saturating_add(1), span.1);
            let from = standing.insert(key, after).unwrap_or((NO_OFFSET, NEVER));
            let (texts, numbers) = (&mut self.columns.foreign, &mut self.foreign);
            let records = records.iter().map(|Record(offset, value)| match value {
                RecordValue::Unique(value) if *value < FOREIGN => (*offset, *value),
                value => (
                    *offset,
                    FOREIGN | number_of_text(texts, numbers, value.to_string()),
                ),
            });
            if let Some(partition) = self.columns.partitions.get_mut(key) {
                partition.push_poll(span.1, from, records);
            }
        }
    }

    fn seek(&mut self, positions: &BTreeMap<Key, Position>, op: &Op, at: u32, gaps: bool) {
        for (key, position) in positions {
            let key = self.key(key);
            let offset = match position {
                Position::Offset(offset) if *offset >= 0 => Some(*offset),
                Position::Beginning if !gaps => Some(0),
                _ => None,
            };
            let standing = self.consumers.entry(op.process).or_default();
            match offset.filter(|_| op.kind == OpType::Ok) {
                Some(offset) => drop(standing.insert(key, (offset, at))),
                None => drop(standing.remove(&key)),
            }
        }
    }

    fn key(&mut self, key: &Key) -> usize {
        if let Some(number) = self.keys.get(key) {
            return *number;
        }
        let number = self.columns.partitions.len();
        self.keys.insert(key.clone(), number);
        self.columns.partitions.push(Partition::new(key.clone()));
        number
    }

    fn partition(&mut self, number: usize) -> &mut Partition {
        self.columns
            .partitions
            .get_mut(number)
            .expect("invariant: numbers come from `key`")
    }

    fn finish(mut self) -> Columns {
        for (key, row) in std::mem::take(&mut self.open_sends) {
            self.partition(key).sends.push(row);
        }
        self.columns.partitions.sort_by(|a, b| a.key.cmp(&b.key));
        self.columns
    }
}

/// The same text gets the same number, so that two readers of one corrupt record agree.
#[cold]
fn number_of_text(
    texts: &mut Vec<Box<str>>,
    numbers: &mut FxHashMap<Box<str>, u64>,
    text: String,
) -> u64 {
    let text = text.into_boxed_str();
    *numbers.entry(text.clone()).or_insert_with(|| {
        texts.push(text);
        texts.len() as u64 - 1
    })
}
