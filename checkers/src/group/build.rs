//! From a history to `Groups`, in one pass.
//!
//! Invocations carry everything: what came of them is looked up at once. Ownership is what the
//! listeners were told; it ends with `revoked`, `lost`, the invocation of `leave`, or a crash.

mod deeds;
mod due;
mod finish;
mod names;
mod ownership;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::group::rows::{Drain, Groups, NEVER};
use crate::history::columns::Columns;
use crate::history::{Action, GROUP_DRAIN, History, Key, Op, OpType};

impl Groups {
    /// One pass over the history; the partitions are those of `columns`.
    pub(crate) fn build(history: &History, columns: &Columns) -> Self {
        if history.header.settings.group.is_none() {
            return Self::default();
        }
        let keys = columns.partitions.iter().enumerate();
        let keys = keys.map(|(number, partition)| (&partition.key, number));
        let mut builder = Builder {
            history,
            keys: keys.collect(),
            groups: Self::default(),
            consumers: FxHashMap::default(),
            members: FxHashMap::default(),
            names: FxHashMap::default(),
            pollers: FxHashMap::default(),
            actors: FxHashMap::default(),
            places: FxHashMap::default(),
            held: Vec::new(),
        };
        for (position, op) in history.ops.iter().enumerate() {
            builder.take(op, position as u32);
        }
        builder.finish()
    }
}

/// A partition that a consumer holds: its number, and its stint.
type Held = BTreeMap<usize, usize>;

struct Builder<'a> {
    history: &'a History,
    keys: FxHashMap<&'a Key, usize>,
    groups: Groups,
    consumers: FxHashMap<&'a str, u32>,
    members: FxHashMap<&'a str, u32>,
    names: FxHashMap<&'a str, u32>,
    /// Which consumer a process polls for.
    pollers: FxHashMap<u64, u32>,
    /// Which consumer a process acts for.
    actors: FxHashMap<u64, u32>,
    /// Where the rows of (group, partition) are.
    places: FxHashMap<(u32, usize), usize>,
    /// For each consumer.
    held: Vec<Held>,
}

/// What came of an invocation.
#[derive(Clone, Copy)]
struct Span<'a> {
    process: u64,
    invoked: u32,
    completed: u32,
    completion: Option<&'a Op>,
}

impl Span<'_> {
    fn is(&self, kind: OpType) -> bool {
        self.completion.is_some_and(|op| op.kind == kind)
    }
}

impl<'a> Builder<'a> {
    fn take(&mut self, op: &'a Op, at: u32) {
        match (&op.action, op.kind) {
            (Action::Rebalance(event), _) => self.rebalance(event, op.process, at),
            (Action::Resume(resume), _) => self.resume(resume, op.process, at),
            (Action::Crash(_), OpType::Info) => {
                if let Some(consumer) = self.actors.get(&op.process) {
                    self.end(*consumer, at, true);
                }
            }
            (_, OpType::Invoke) => self.invoke(op, at),
            _ => {}
        }
    }

    fn invoke(&mut self, op: &'a Op, invoked: u32) {
        let partner = self.history.partner(invoked);
        let span = Span {
            process: op.process,
            invoked,
            completed: partner.unwrap_or(NEVER),
            completion: partner.and_then(|position| self.history.op(position)),
        };
        match &op.action {
            Action::Subscribe(subscribe) => self.subscribe(subscribe, span),
            Action::Leave(leave) => {
                let consumer = self.consumer(&leave.consumer, op.process);
                self.end(consumer, invoked, false);
            }
            Action::Poll(_) => self.poll(span),
            Action::Process(process) => self.process(process, span),
            Action::Commit(commit) => self.commit(commit, span),
            Action::Committed(asked) => self.committed(asked, span),
            Action::DeleteOffsets(deleted) => self.delete_offsets(deleted, span),
            Action::Admin(what) if what == GROUP_DRAIN && span.completed != NEVER => {
                let done = span.is(OpType::Ok);
                let completed = span.completed;
                self.groups.drain = Some(Drain {
                    invoked,
                    completed,
                    done,
                });
            }
            _ => {}
        }
    }
}
