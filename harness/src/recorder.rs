//! The recorder: the only writer of a run's `history.jsonl` and `events.jsonl`.
//!
//! In: invocations and completions from all logical processes at once. Out: one line each, in the
//! format of the checkers, in a total order.
//! Invariant: `index` is strictly increasing and `time` never goes back; if one call of `record`
//! returns before another begins, its line comes first; the header comes before all.
//! Source: Jepsen's history, checkers.md §4.2 (the order of the indexes is the checkers' clock).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use checkers::history::{Action, Header, Op, OpError, OpType};
use serde::Serialize;

pub mod clock;
pub mod lines;

pub use clock::Clock;
pub use lines::{LineSender, LineWriter, WriteError};

#[cfg(test)]
#[path = "recorder/recorder_test.rs"]
mod recorder_test;

/// A line of the history file: the header comes first.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Header(Box<Header>),
    Op(Op),
}

/// Stamps operations and hands them to the writer. Clones write the same history.
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: Clock,
    sequencer: Arc<Mutex<Sequencer>>,
}

#[derive(Debug)]
struct Sequencer {
    /// The first line, until it is written.
    header: Option<Box<Header>>,
    next_index: u64,
    lines: LineSender<Line>,
}

/// One line to be, before it has its place and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The logical process.
    pub process: u64,
    /// Invocation, or how the operation ended.
    pub kind: OpType,
    /// What it does, with what is known of the result.
    pub action: Action,
    /// Why it did not end well.
    pub error: Option<OpError>,
    /// Which client or node did it.
    pub node: Option<Box<str>>,
}

impl Recorder {
    /// Creates the history file, which must not exist, with its header.
    pub fn create(
        path: &Path,
        header: Header,
        clock: Clock,
    ) -> Result<(Self, LineWriter), WriteError> {
        let (recorder, writer) = Self::open(path, header, clock)?;
        recorder.begin(|_| ());
        Ok((recorder, writer))
    }

    /// Creates the history file, which must not exist; its header waits for `begin`, or for the
    /// first operation.
    pub fn open(
        path: &Path,
        header: Header,
        clock: Clock,
    ) -> Result<(Self, LineWriter), WriteError> {
        let (lines, writer) = LineWriter::create(path)?;
        let sequencer = Arc::new(Mutex::new(Sequencer {
            header: Some(Box::new(header)),
            next_index: 0,
            lines,
        }));
        Ok((Self { clock, sequencer }, writer))
    }

    /// Writes the header, with what is known by now, unless it is written.
    pub fn begin(&self, complete: impl FnOnce(&mut Header)) {
        let mut sequencer = self.lock();
        if let Some(header) = &mut sequencer.header {
            complete(header);
        }
        sequencer.begin();
    }

    /// Appends one line; its index.
    pub fn record(&self, entry: Entry) -> u64 {
        // Time, index and place in the queue are taken under one lock: that makes them agree.
        let mut sequencer = self.lock();
        sequencer.begin();
        let index = sequencer.next_index;
        sequencer.next_index += 1;
        let Entry {
            process,
            kind,
            action,
            error,
            node,
        } = entry;
        let time = self.clock.now_nanos();
        sequencer.lines.append(Line::Op(Op {
            index,
            time,
            process,
            kind,
            action,
            error,
            node,
        }));
        index
    }

    /// The clock of the run.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn lock(&self) -> MutexGuard<'_, Sequencer> {
        let sequencer = self.sequencer.lock();
        sequencer.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sequencer {
    fn begin(&mut self) {
        if let Some(header) = self.header.take() {
            self.lines.append(Line::Header(header));
        }
    }
}
