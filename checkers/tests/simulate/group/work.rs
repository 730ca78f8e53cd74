//! What members do with records and offsets.

use std::collections::{BTreeMap, VecDeque};

use checkers::history::{Action, Commit, CommitCall, CommitMode, OpType, Poll, Process};

use super::{Flight, Step, World};

impl World {
    pub(super) fn processing(&self, member: usize, partition: usize, offset: i64) -> (u64, Action) {
        let worker = self.members[member].poller + 1_000_000;
        let consumer = self.members[member].name.as_str().into();
        let records = self.records(partition, offset..offset + 1);
        (
            worker,
            Action::Process(Box::new(Process { consumer, records })),
        )
    }

    pub(super) fn poll_returns(&mut self, member: usize) {
        let owned: Vec<(usize, i64)> = self.members[member]
            .owned
            .iter()
            .map(|(p, o)| (*p, *o))
            .collect();
        let mut poll = Poll::default();
        let mut processing = VecDeque::new();
        let mut read = BTreeMap::new();
        for (partition, from) in owned {
            let end = (self.logs[partition].len() as i64).min(from + 3);
            if from < end && self.random(3) > 0 {
                poll.records.extend(self.records(partition, from..end));
                processing.extend((from..end).map(|offset| Step::Process(partition, offset)));
                self.members[member].owned.insert(partition, end);
                read.insert(partition, end);
            }
        }
        let poller = self.members[member].poller;
        self.event(poller, OpType::Ok, Action::Poll(poll), None);
        if read.is_empty() {
            return;
        }
        let mode = self.plan.mode;
        let state = &mut self.members[member];
        match mode {
            CommitMode::AutoInLoop => {
                state.ready.extend(read);
                state.steps.extend(processing);
            }
            CommitMode::AutoHandoff => {
                state.ready.extend(read);
                state.tasks.extend(processing);
            }
            CommitMode::SyncAfter | CommitMode::AsyncAfter => {
                let sync = mode == CommitMode::SyncAfter;
                let call = if sync {
                    CommitCall::Sync
                } else {
                    CommitCall::Async
                };
                state.steps.extend(processing);
                state.steps.push_back(Step::Commit(call, read));
            }
            CommitMode::SyncBefore => {
                state.steps.push_back(Step::Commit(CommitCall::Sync, read));
                // Dropped again unless the commit is known.
                state.steps.extend(processing);
            }
        }
    }

    pub(super) fn commit(
        &mut self,
        member: usize,
        call: CommitCall,
        offsets: BTreeMap<usize, i64>,
    ) {
        let (process, doubt) = (self.process(), self.random(100));
        let commit = Commit {
            consumer: self.members[member].name.as_str().into(),
            group: "g".into(),
            mode: call,
            member: format!("m-{}", self.members[member].name).into(),
            generation: self.members[member].generation,
            offsets: offsets.iter().map(|(p, o)| (Self::key(*p), *o)).collect(),
        };
        self.event(
            process,
            OpType::Invoke,
            Action::Commit(Box::new(commit.clone())),
            None,
        );
        let flight = self.flights.len();
        let is_doubtful = doubt < self.plan.doubtful;
        let (answer, is_over) = (None, false);
        self.flights.push(Flight {
            process,
            commit,
            offsets,
            member,
            answer,
            is_doubtful,
            is_over,
        });
        let steps = &mut self.members[member].steps;
        self.late.extend(is_doubtful.then_some(flight));
        let waits = call == CommitCall::Sync;
        let next = [Step::Committed(flight), Step::Answered(flight)];
        if waits {
            next.into_iter()
                .rev()
                .for_each(|step| steps.push_front(step));
        } else {
            // Its answer comes in between the others, in any order.
            self.members[member].tasks.extend(next);
            if self.random(2) == 0 {
                let tasks = &mut self.members[member].tasks;
                tasks.rotate_right(2);
            }
        }
    }

    pub(super) fn answer(&mut self, member: usize, flight: usize) {
        let Flight {
            process,
            commit,
            answer,
            is_doubtful,
            ..
        } = self.flights[flight].clone();
        let (kind, error) = match answer {
            _ if is_doubtful => (OpType::Info, Some("timeout")),
            Some(OpType::Ok) => (OpType::Ok, None),
            _ => (OpType::Fail, Some("ILLEGAL_GENERATION")),
        };
        self.event(process, kind, Action::Commit(Box::new(commit)), error);
        if self.plan.mode == CommitMode::SyncBefore && kind != OpType::Ok {
            self.members[member].steps.clear();
        }
    }
}
