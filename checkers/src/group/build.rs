//! From a history to `Groups`, in one pass.
//!
//! Invocations carry everything: what came of them is looked up at once. Ownership is what the
//! listeners were told; it ends with `revoked`, `lost`, the invocation of `leave`, or a crash.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::group::rows::{
    Claim, CommitRow, Consumer, Drain, Generation, Group, Groups, NEVER, NO_OFFSET, PolledRow,
    ProcessRow, ReadRow, ResumeRow, Rows, Stint, Told,
};
use crate::history::columns::Columns;
use crate::history::commit_outcome::proves_failure;
use crate::history::{
    Action, Commit, Committed, GROUP_DRAIN, History, Key, Op, OpType, Poll, Process, Rebalance,
    RebalanceEvent, Record, Resume, ResumeSource, Subscribe,
};

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

    fn subscribe(&mut self, subscribe: &'a Subscribe, span: Span<'_>) {
        let number = self.consumer(&subscribe.consumer, span.process);
        let group = self.group(&subscribe.group);
        self.pollers.insert(span.process, number);
        if let Some(consumer) = self.groups.consumers.get_mut(number as usize) {
            consumer.group = group;
            consumer.subscribed = consumer.subscribed.min(span.invoked);
            consumer.instance.clone_from(&subscribe.instance);
            consumer.topics.extend(subscribe.topics.iter().cloned());
            let refused = span.is(OpType::Fail);
            consumer.ended = if refused { span.completed } else { NEVER };
        }
    }

    /// Everything that it holds is free from here on.
    fn end(&mut self, number: u32, at: u32, crashed: bool) {
        let held = self.held.get_mut(number as usize).map(std::mem::take);
        let Some(consumer) = self.groups.consumers.get_mut(number as usize) else {
            return;
        };
        (consumer.ended, consumer.crashed) = (consumer.ended.min(at), crashed);
        let group = consumer.group;
        for (partition, stint) in held.unwrap_or_default() {
            self.close(group, partition, stint, at);
        }
    }

    fn close(&mut self, group: u32, partition: usize, stint: usize, at: u32) {
        if let Some(stint) = self.rows(group, partition).stints.get_mut(stint) {
            stint.to = stint.to.min(at);
        }
    }

    fn rebalance(&mut self, event: &'a Rebalance, process: u64, at: u32) {
        let number = self.consumer(&event.consumer, process);
        let (group, member) = (self.group(&event.group), self.member(&event.member));
        let mut held = self
            .held
            .get_mut(number as usize)
            .map_or_else(Held::new, std::mem::take);
        let assigned = event.event == RebalanceEvent::Assigned;
        let keys: Vec<usize> = event
            .partitions
            .iter()
            .filter_map(|k| self.number(k))
            .collect();
        for partition in keys {
            if assigned {
                let stints = &mut self.rows(group, partition).stints;
                held.entry(partition).or_insert_with(|| {
                    stints.push(Stint {
                        consumer: number,
                        from: at,
                        to: NEVER,
                    });
                    stints.len() - 1
                });
            } else if let Some(stint) = held.remove(&partition) {
                self.close(group, partition, stint, at);
                self.disown(group, (partition, stint), event.generation);
            }
        }
        if assigned {
            for (partition, stint) in &held {
                let claim = Claim {
                    consumer: number,
                    generation: event.generation,
                    at,
                    stint: *stint,
                };
                self.rows(group, *partition).claims.push(claim);
            }
        }
        let told = Told {
            at,
            generation: event.generation,
            member,
            assigned,
            holds: held.len() as u32,
        };
        if let Some(place) = self.held.get_mut(number as usize) {
            *place = held;
        }
        if let Some(consumer) = self.groups.consumers.get_mut(number as usize) {
            consumer.group = group;
            consumer.events.push(told);
        }
    }

    /// What goes in the very generation that it was thought to be kept in was not kept.
    fn disown(&mut self, group: u32, (partition, stint): (usize, usize), generation: i32) {
        let rows = self.rows(group, partition);
        let from = rows.stints.get(stint).map_or(0, |stint| stint.from);
        let last = rows.claims.iter().rposition(|claim| claim.stint == stint);
        let kept = last.filter(|place| {
            let claim = rows.claims.get(*place);
            claim.is_some_and(|claim| claim.generation == generation && claim.at != from)
        });
        if let Some(place) = kept {
            rows.claims.remove(place);
        }
    }

    fn resume(&mut self, resume: &'a Resume, process: u64, at: u32) {
        let consumer = self.consumer(&resume.consumer, process);
        let group = self.group(&resume.group);
        let Some(partition) = self.number(&resume.key) else {
            return;
        };
        let held = self
            .held
            .get(consumer as usize)
            .and_then(|held| held.get(&partition).copied());
        let rows = self.rows(group, partition);
        // Only what follows its own assignment is bounded in time.
        let stint = held.and_then(|stint| rows.stints.get(stint));
        let since = stint.map_or(0, |stint| stint.from);
        let earlier = rows
            .resumes
            .iter()
            .rev()
            .find(|row| row.consumer == consumer);
        let is_first = stint.is_some() && earlier.is_none_or(|row| row.at < since);
        rows.resumes.push(ResumeRow {
            consumer,
            generation: resume.generation,
            offset: resume.offset,
            source: resume.source,
            at,
            since,
            is_first,
        });
    }

    fn poll(&mut self, span: Span<'a>) {
        let Some(consumer) = self.pollers.get(&span.process).copied() else {
            return;
        };
        let Some(row) = self.groups.consumers.get_mut(consumer as usize) else {
            return;
        };
        row.polls.push(span.invoked);
        let group = row.group;
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

    fn process(&mut self, process: &'a Process, span: Span<'a>) {
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

    fn commit(&mut self, commit: &'a Commit, span: Span<'a>) {
        let consumer = self.consumer(&commit.consumer, span.process);
        let (group, member) = (self.group(&commit.group), self.member(&commit.member));
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

    fn committed(&mut self, asked: &'a Committed, span: Span<'a>) {
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

    fn number(&self, key: &Key) -> Option<usize> {
        self.keys.get(key).copied()
    }

    fn consumer(&mut self, name: &'a str, process: u64) -> u32 {
        let next = self.groups.consumers.len() as u32;
        let number = *self.consumers.entry(name).or_insert(next);
        if number == next {
            self.held.push(Held::new());
            self.groups.consumers.push(Consumer {
                name: name.into(),
                group: 0,
                instance: None,
                topics: Vec::new(),
                subscribed: NEVER,
                ended: NEVER,
                crashed: false,
                events: Vec::new(),
                polls: Vec::new(),
            });
        }
        self.actors.insert(process, number);
        number
    }

    fn member(&mut self, id: &'a str) -> u32 {
        let next = self.groups.members.len() as u32;
        let number = *self.members.entry(id).or_insert(next);
        if number == next {
            self.groups.members.push(id.into());
        }
        number
    }

    fn group(&mut self, name: &'a str) -> u32 {
        let next = self.groups.all.len() as u32;
        let number = *self.names.entry(name).or_insert(next);
        if number == next {
            let (generations, partitions) = (Vec::new(), Vec::new());
            self.groups.all.push(Group {
                name: name.into(),
                generations,
                partitions,
            });
        }
        number
    }

    fn rows(&mut self, group: u32, number: usize) -> &mut Rows {
        if self.groups.all.is_empty() {
            self.group("");
        }
        let partitions = self
            .groups
            .all
            .get_mut(group as usize)
            .map(|g| &mut g.partitions);
        let partitions = partitions.expect("invariant: numbers come from `group`");
        let place = *self.places.entry((group, number)).or_insert_with(|| {
            partitions.push(Rows {
                number,
                ..Rows::default()
            });
            partitions.len() - 1
        });
        partitions
            .get_mut(place)
            .expect("invariant: places come from here")
    }

    fn finish(mut self) -> Groups {
        self.generations();
        self.untouched();
        for group in &mut self.groups.all {
            group.partitions.sort_unstable_by_key(|rows| rows.number);
            let mut partitions = std::mem::take(&mut group.partitions);
            for rows in &mut partitions {
                for commit in &mut rows.commits {
                    commit.effect_by = effect_by(group, commit);
                }
                for resume in &mut rows.resumes {
                    resume.since = resume.since.min(group.after(resume.generation));
                }
            }
            group.partitions = partitions;
        }
        self.groups
    }

    fn generations(&mut self) {
        let mut told: Vec<(u32, i32, &str, u32)> = Vec::new();
        for consumer in &self.groups.consumers {
            let who = consumer.instance.as_deref().unwrap_or(&consumer.name);
            let assigned = consumer.events.iter().filter(|told| told.assigned);
            told.extend(assigned.map(|told| (consumer.group, told.generation, who, told.at)));
        }
        told.sort_unstable();
        for same in told.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some((group, number, ..)) = same.first().copied() else {
                continue;
            };
            let members = same.chunk_by(|a, b| a.2 == b.2).count() as u64;
            let first = same.iter().map(|told| told.3).min().unwrap_or(NEVER);
            if let Some(group) = self.groups.all.get_mut(group as usize) {
                group.generations.push(Generation {
                    number,
                    first,
                    members,
                });
            }
        }
        for group in &mut self.groups.all {
            let mut first = NEVER;
            for generation in group.generations.iter_mut().rev() {
                first = first.min(generation.first);
                generation.first = first;
            }
        }
    }

    /// Rows for the partitions of a subscribed topic that no member ever touched.
    fn untouched(&mut self) {
        let numbers: Vec<(String, usize)> = self
            .keys
            .iter()
            .map(|(key, number)| (key.topic().to_owned(), *number))
            .collect();
        let wanted: Vec<(u32, String)> = self
            .groups
            .consumers
            .iter()
            .flat_map(|c| c.topics.iter().map(move |topic| (c.group, topic.clone())))
            .collect();
        let wanted: std::collections::BTreeSet<_> = wanted.into_iter().collect();
        for (group, topic) in wanted {
            for (_, number) in numbers.iter().filter(|(of, _)| *of == topic) {
                self.rows(group, *number);
            }
        }
    }
}

/// A commit has its effect before it is acknowledged, and before the next generation begins: a
/// coordinator refuses the commits of an older one.
fn effect_by(group: &Group, commit: &CommitRow) -> u32 {
    let known = if commit.is_acked {
        commit.completed
    } else {
        NEVER
    };
    let next = if commit.generation < 0 {
        NEVER
    } else {
        group.after(commit.generation)
    };
    if next < commit.invoked {
        known
    } else {
        known.min(next)
    }
}

/// Whether a resume came from the group's committed offset.
pub(crate) fn is_committed(resume: &ResumeRow) -> bool {
    resume.source == ResumeSource::Committed
}
