//! Reading a history: JSON Lines in, `History` or the line at fault out.
//!
//! A last line without its newline is what a killed recorder leaves: it is dropped and reported.
//! Any other fault stops the reading, with the line and a remedy: a history with a hole proves
//! nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

use crate::history::action::Action;
use crate::history::group;
use crate::history::header::{FINAL_READS, FORMAT_VERSION, Header};
use crate::history::key::Key;
use crate::history::op::{Op, OpType};

mod by_topic;

/// The largest number of lines: positions are 32 bits wide, and the last is "never".
const LINES_MAX: usize = u32::MAX as usize - 1;
/// Values of sends stay below: the integers that every JSON reader represents.
const VALUES_MAX: u64 = 1 << 53;

/// Why a history cannot be read: `line 7: …; …`.
#[derive(Debug, Error)]
#[error("line {line}: {problem}; {remedy}")]
pub struct ReadError {
    /// The line at fault, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Reads a history line by line; after the header it yields operations.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    line: usize,
    buffer: Vec<u8>,
    truncated_line: Option<usize>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(input: R) -> Result<Self, ReadError> {
        let header = Header::new(crate::history::Settings::default(), serde_json::Value::Null);
        let mut reader = Self {
            input,
            header,
            line: 0,
            buffer: Vec::new(),
            truncated_line: None,
        };
        let remedy = "a history begins with {\"verdict-history\":1,…}: is this a history.jsonl?";
        if !reader.next_line()? {
            return Err(reader.error("the file is empty", remedy));
        }
        reader.header = serde_json::from_slice(&reader.buffer)
            .map_err(|e| reader.error(format_args!("not a header ({e})"), remedy))?;
        if reader.header.version != FORMAT_VERSION {
            let version = reader.header.version;
            let problem = format!("format version {version}, this program reads {FORMAT_VERSION}");
            return Err(reader.error(problem, "use the version of verdict that wrote it"));
        }
        Ok(reader)
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the last line, if the writer died within it.
    pub fn truncated_line(&self) -> Option<usize> {
        self.truncated_line
    }

    /// The next operation, or nothing at the end.
    pub fn next_op(&mut self) -> Result<Option<Op>, ReadError> {
        if self.truncated_line.is_some() || !self.next_line()? {
            return Ok(None);
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(op) => Ok(Some(op)),
            Err(_) if self.buffer.last() != Some(&b'\n') => {
                self.truncated_line = Some(self.line);
                Ok(None)
            }
            Err(e) => {
                let remedy = "the file was damaged or edited: restore it, or cut it before this \
                              line to judge what came before";
                Err(self.error(format_args!("not an operation ({e})"), remedy))
            }
        }
    }

    fn next_line(&mut self) -> Result<bool, ReadError> {
        self.buffer.clear();
        self.line += 1;
        match self.input.read_until(b'\n', &mut self.buffer) {
            Ok(length) => Ok(length > 0),
            Err(e) => Err(self.io_error(&e)),
        }
    }

    fn io_error(&self, e: &io::Error) -> ReadError {
        self.error(
            format_args!("cannot be read ({e})"),
            "check the file and its disk",
        )
    }

    fn error(&self, problem: impl fmt::Display, remedy: &'static str) -> ReadError {
        ReadError {
            line: self.line,
            problem: problem.to_string(),
            remedy,
        }
    }
}

/// A whole history in memory, its invocations joined with their completions.
#[derive(Clone, Debug)]
pub struct History {
    /// The first line.
    pub header: Header,
    /// Every operation line, in order. A *position* is an index into this list.
    pub ops: Vec<Op>,
    /// For each position of an invocation or completion, the position of the other one.
    partners: Vec<u32>,
    /// The number of the last line, if the writer died within it.
    pub truncated_line: Option<usize>,
}

/// What became of the reads after which nothing acknowledged may be unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinalReads {
    /// Every log was read to its end, or the history was to have no such reads.
    Whole,
    /// They took place, but not every log could be read to its end: why.
    Unfinished(String),
    /// They did not take place or were interrupted, so what nobody has read says nothing: why.
    CutShort(String),
}

/// The partner of an event that has none.
pub(crate) const NO_PARTNER: u32 = u32::MAX;

impl History {
    /// Reads a whole history.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut reader = Reader::new(input)?;
        let mut builder = Builder::new(reader.header().clone());
        while let Some(op) = reader.next_op()? {
            let line = reader.line;
            builder.push(op).map_err(|(problem, remedy)| ReadError {
                line,
                problem,
                remedy,
            })?;
        }
        builder.history.truncated_line = reader.truncated_line;
        Ok(builder.history)
    }

    /// Joins operations that are already in memory; the errors number them from line 2.
    pub fn from_ops(header: Header, ops: Vec<Op>) -> Result<Self, ReadError> {
        let mut builder = Builder::new(header);
        for (position, op) in ops.into_iter().enumerate() {
            let line = position + 2;
            builder.push(op).map_err(|(problem, remedy)| ReadError {
                line,
                problem,
                remedy,
            })?;
        }
        Ok(builder.history)
    }

    /// The completion of the invocation at `position`, or the invocation of the completion there.
    pub fn partner(&self, position: u32) -> Option<u32> {
        let partner = self.partners.get(position as usize).copied()?;
        (partner != NO_PARTNER).then_some(partner)
    }

    /// What became of the final reads.
    pub fn final_reads(&self) -> FinalReads {
        if let Some(line) = self.truncated_line {
            return FinalReads::CutShort(format!(
                "the history breaks off in line {line}: its recorder died"
            ));
        }
        if !self.header.final_reads {
            return FinalReads::Whole;
        }
        let is_end = |op: &&Op| {
            op.kind != OpType::Invoke
                && matches!(&op.action, Action::Admin(what) if what == FINAL_READS)
        };
        match self.ops.iter().rev().find(is_end) {
            Some(op) if op.kind == OpType::Ok => FinalReads::Whole,
            Some(op) => {
                let error = op.error.as_ref();
                let why = error.map_or("for an unknown reason", |error| &error.message);
                FinalReads::Unfinished(format!("the final reads were not finished: {why}"))
            }
            None => FinalReads::CutShort(
                "the history ends before the final reads: its run was cut short".to_owned(),
            ),
        }
    }

    /// The line at `position`.
    pub fn op(&self, position: u32) -> Option<&Op> {
        self.ops.get(position as usize)
    }
}

/// Adds operations to a history and refuses what no recorder writes.
struct Builder {
    history: History,
    open: FxHashMap<u64, u32>,
    values: FxHashSet<u64>,
    keys: FxHashSet<Key>,
}

impl Builder {
    fn new(header: Header) -> Self {
        let history = History {
            header,
            ops: vec![],
            partners: vec![],
            truncated_line: None,
        };
        let (open, values, keys) = Default::default();
        Self {
            history,
            open,
            values,
            keys,
        }
    }

    fn push(&mut self, mut op: Op) -> Result<(), (String, &'static str)> {
        let previous = self.history.ops.last().map(|op| op.index);
        if let Some(previous) = previous.filter(|previous| op.index <= *previous) {
            let problem = format!("index {} after index {previous}", op.index);
            return Err((
                problem,
                "lines are out of order or doubled: restore the file",
            ));
        }
        if self.history.ops.len() >= LINES_MAX {
            return Err((format!("more than {LINES_MAX} lines"), "split the run"));
        }
        if let Some(fault) = group::fault(&op.action, &self.history.header.settings) {
            return Err(fault);
        }
        let position = self.history.ops.len() as u32;
        let partner = match (&op.action, op.kind) {
            (Action::Rebalance(_) | Action::Resume(_), kind) if kind != OpType::Ok => {
                let problem = format!("process {} invokes {}", op.process, op.action.name());
                return Err((problem, "what a listener is told is one line of type ok"));
            }
            (action, _) if action.is_event() => NO_PARTNER,
            (_, OpType::Invoke) => self.invoke(&op, position)?,
            (Action::Crash(_), _) => self
                .open
                .remove(&op.process)
                .map_or(NO_PARTNER, |invoked| self.crash_partner(invoked)),
            (_, _) => self.complete(&op)?,
        };
        if let Some(invocation) = self.history.partners.get_mut(partner as usize) {
            *invocation = position;
        }
        intern(&mut self.keys, &mut op.action);
        self.history.partners.push(partner);
        self.history.ops.push(op);
        Ok(())
    }

    fn invoke(&mut self, op: &Op, position: u32) -> Result<u32, (String, &'static str)> {
        if let Some(open) = self.open.insert(op.process, position) {
            let open = self.history.ops.get(open as usize).map_or(0, |op| op.index);
            let problem = format!("process {} invokes while index {open} is open", op.process);
            return Err((
                problem,
                "a process is one logical thread: give each its own number",
            ));
        }
        if let Action::Send(sends) = &op.action {
            for send in sends {
                if send.value >= VALUES_MAX {
                    let problem = format!("value {} is not below 2^53", send.value);
                    return Err((problem, "JSON readers round larger integers: count from 0"));
                }
                if !self.values.insert(send.value) {
                    let problem = format!("value {} is sent a second time", send.value);
                    return Err((problem, "every send of a run needs its own value"));
                }
            }
        }
        Ok(NO_PARTNER)
    }

    fn complete(&mut self, op: &Op) -> Result<u32, (String, &'static str)> {
        let remedy = "a completion follows its invocation: were lines lost?";
        let Some(invoked) = self.open.remove(&op.process) else {
            return Err((
                format!("process {} completes what it never invoked", op.process),
                remedy,
            ));
        };
        let wanted = self
            .history
            .ops
            .get(invoked as usize)
            .map_or("", |op| op.action.name());
        if wanted != op.action.name() {
            let problem = format!(
                "process {} invoked {wanted}, completes {}",
                op.process,
                op.action.name()
            );
            return Err((problem, remedy));
        }
        Ok(invoked)
    }

    /// A crash completes its own invocation; any other operation of the process stays open forever.
    fn crash_partner(&self, invoked: u32) -> u32 {
        match self.history.ops.get(invoked as usize).map(|op| &op.action) {
            Some(Action::Crash(_)) => invoked,
            _ => NO_PARTNER,
        }
    }
}

/// Lets equal keys share one allocation.
fn intern(keys: &mut FxHashSet<Key>, action: &mut Action) {
    let mut share = |key: &mut Key| match keys.get(key) {
        Some(shared) => *key = shared.clone(),
        None => drop(keys.insert(key.clone())),
    };
    match action {
        Action::Send(sends) => sends.iter_mut().for_each(|send| share(&mut send.key)),
        Action::ListOffsets(bounds) => bounds.iter_mut().for_each(|bound| share(&mut bound.key)),
        Action::Assign(assigned) => assigned.iter_mut().for_each(share),
        Action::Rebalance(event) => event.partitions.iter_mut().for_each(share),
        Action::Resume(resume) => share(&mut resume.key),
        Action::Poll(poll) => share_keys(&mut poll.records, share),
        Action::Process(process) => share_keys(&mut process.records, share),
        Action::Commit(commit) => share_keys(&mut commit.offsets, share),
        Action::Committed(committed) => share_keys(&mut committed.offsets, share),
        Action::DeleteOffsets(deleted) => deleted.keys.iter_mut().for_each(share),
        Action::Seek(_)
        | Action::Subscribe(_)
        | Action::Leave(_)
        | Action::Crash(_)
        | Action::Admin(_)
        | Action::Nemesis(_) => {}
    }
}

fn share_keys<T>(map: &mut BTreeMap<Key, T>, mut share: impl FnMut(&mut Key)) {
    let shared = std::mem::take(map).into_iter().map(|(mut key, value)| {
        share(&mut key);
        (key, value)
    });
    *map = shared.collect();
}

#[cfg(test)]
#[path = "read_test.rs"]
mod read_test;
