//! What members did with records and offsets: polls, processing, commits, and questions.

use super::{Builder, Span};
use crate::group::rows::{self, CommitRow, NEVER, NO_OFFSET, PolledRow, ProcessRow, ReadRow};
use crate::history::commit_outcome::proves_failure;
use crate::history::{Action, Commit, Committed, DeleteOffsets, Op, OpType, Poll, Process, Record};

impl<'a> Builder<'a> {
    pub(super) fn poll(&mut self, span: Span<'a>) {
        let Some(consumer) = self.pollers.get(&span.process).copied() else {
            return;
        };
        let Some(row) = self.groups.consumers.get_mut(consumer as usize) else {
            return;
        };
        row.polls.push(rows::Span {
            invoked: span.invoked,
            completed: if span.is(OpType::Ok) {
                span.completed
            } else {
                NEVER
            },
        });
        let group = row.group;
        self.note_fence(consumer, span);
        let Some(Op {
            action: Action::Poll(Poll { records }),
            kind: OpType::Ok,
            ..
        }) = span.completion
        else {
            return;
        };
        for (key, records) in records {
            let offsets = || records.iter().map(|Record(offset, _)| *offset);
            if let (Some(number), Some(first), Some(last)) =
                (self.number(key), offsets().min(), offsets().max())
            {
                let completed = span.completed;
                self.rows(group, number).polls.push(PolledRow {
                    consumer,
                    first,
                    last,
                    completed,
                });
            }
        }
    }

    pub(super) fn process(&mut self, process: &'a Process, span: Span<'a>) {
        let consumer = self.consumer(&process.consumer, span.process);
        let group = self
            .groups
            .consumers
            .get(consumer as usize)
            .map_or(0, |row| row.group);
        let completed = if span.is(OpType::Ok) {
            span.completed
        } else {
            NEVER
        };
        if span.is(OpType::Fail) {
            return;
        }
        for (key, records) in &process.records {
            let Some(number) = self.number(key) else {
                continue;
            };
            let row = |record: &Record| ProcessRow {
                consumer,
                offset: record.0,
                invoked: span.invoked,
                completed,
            };
            self.rows(group, number)
                .processed
                .extend(records.iter().map(row));
        }
    }

    pub(super) fn commit(&mut self, commit: &'a Commit, span: Span<'a>) {
        let consumer = self.consumer(&commit.consumer, span.process);
        let (group, member) = (self.group(&commit.group), self.member(&commit.member));
        self.note_fence(consumer, span);
        self.note_sent(commit, consumer, span);
        let error = span.completion.and_then(|op| op.error.as_ref());
        if span.is(OpType::Fail) && proves_failure(error) {
            self.groups.commits_failed += commit.offsets.len() as u64;
            return;
        }
        for (place, (key, offset)) in commit.offsets.iter().enumerate() {
            let Some(number) = self.number(key) else {
                continue;
            };
            self.rows(group, number).commits.push(CommitRow {
                offset: *offset,
                consumer,
                member,
                generation: commit.generation,
                invoked: span.invoked,
                completed: span.completed,
                is_acked: span.is(OpType::Ok),
                effect_by: NEVER,
                is_first: place == 0,
            });
        }
    }

    fn note_sent(&mut self, commit: &'a Commit, consumer: u32, span: Span<'a>) {
        let group = self.group(&commit.group);
        if let Some(row) = self.groups.consumers.get_mut(consumer as usize) {
            let (invoked, completed) = (span.invoked, span.completed);
            row.sent.push(rows::Span { invoked, completed });
        }
        for (key, offset) in &commit.offsets {
            if let Some(number) = self.number(key) {
                let sent = &mut self.rows(group, number).sent;
                sent.push((span.invoked, *offset));
            }
        }
    }

    /// A commit of nothing, by nobody in particular.
    pub(super) fn delete_offsets(&mut self, deleted: &'a DeleteOffsets, span: Span<'a>) {
        let group = self.group(&deleted.group);
        if span.is(OpType::Fail) {
            return;
        }
        for (place, key) in deleted.keys.iter().enumerate() {
            let Some(number) = self.number(key) else {
                continue;
            };
            self.rows(group, number).commits.push(CommitRow {
                offset: NO_OFFSET,
                consumer: u32::MAX,
                member: u32::MAX,
                generation: -1,
                invoked: span.invoked,
                completed: span.completed,
                is_acked: span.is(OpType::Ok),
                effect_by: NEVER,
                is_first: place == 0,
            });
        }
    }

    /// Whether the broker took a commit, or told the member that it is fenced.
    fn note_fence(&mut self, consumer: u32, span: Span<'a>) {
        let row = self.groups.consumers.get_mut(consumer as usize);
        let (Some(row), Some(op)) = (row, span.completion) else {
            return;
        };
        let code = op.error.as_ref().map(|error| &*error.code);
        if code == Some("FENCED_INSTANCE_ID") {
            let is_poll = matches!(op.action, Action::Poll(_));
            row.fenced.get_or_insert(rows::Fenced {
                at: span.completed,
                poll: is_poll.then_some(span.invoked),
                acked: row.acked,
            });
        } else if op.kind == OpType::Ok && matches!(op.action, Action::Commit(_)) {
            row.acked = row.acked.max(Some(span.completed));
        }
    }

    pub(super) fn committed(&mut self, asked: &'a Committed, span: Span<'a>) {
        let group = self.group(&asked.group);
        let Some(Op {
            action: Action::Committed(answer),
            kind: OpType::Ok,
            ..
        }) = span.completion
        else {
            return;
        };
        for (key, offset) in &answer.offsets {
            if let Some(number) = self.number(key) {
                self.rows(group, number).reads.push(ReadRow {
                    offset: offset.unwrap_or(NO_OFFSET),
                    invoked: span.invoked,
                    completed: span.completed,
                });
            }
        }
    }
}
