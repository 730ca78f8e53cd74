//! What each member of a group owned, from what its rebalance listener was told.

use std::collections::BTreeMap;

use checkers::history::{Action, Key, Op, OpType, RebalanceEvent};

use crate::report::digest::natural;

/// One client that was a member, over all its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The client, such as `c4` of the lives `c4.1` and `c4.2`.
    pub name: String,
    /// What it owned, by begin.
    pub spans: Vec<Span>,
    /// When its lives ended by a crash.
    pub crashes: Vec<u64>,
}

/// One partition, owned for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub key: Key,
    /// The generation in which it was assigned.
    pub generation: i32,
    /// When it was assigned, in nanoseconds since the start of the run.
    pub from: u64,
    /// When that ended; the end of the history for [`End::Open`].
    pub until: Option<u64>,
    /// How that ended.
    pub end: End,
}

/// How an ownership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was given up in order.
    Revoked,
    /// It was taken before the member knew.
    Lost,
    /// The member died.
    Crashed,
    /// The member left the group.
    Left,
    /// It never ended.
    Open,
}

/// The members, while the history is read.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_name: BTreeMap<String, Member>,
    /// Which life a process acts for.
    lives: BTreeMap<u64, Box<str>>,
    /// Which partitions each life owns, as positions in the spans of its client.
    owned: BTreeMap<Box<str>, BTreeMap<Key, usize>>,
    generations: BTreeMap<i32, u64>,
}

impl Members {
    pub(super) fn hear(&mut self, op: &Op) {
        match &op.action {
            Action::Subscribe(subscribe) => self.acts(op, &subscribe.consumer),
            Action::Process(process) => self.acts(op, &process.consumer),
            Action::Commit(commit) => self.acts(op, &commit.consumer),
            Action::Rebalance(told) => {
                let (life, generation) = (&told.consumer, told.generation);
                self.generations.entry(generation).or_insert(op.time);
                for key in &told.partitions {
                    match told.event {
                        RebalanceEvent::Assigned => self.assign(op.time, life, key, generation),
                        RebalanceEvent::Revoked => self.end(op.time, life, key, End::Revoked),
                        RebalanceEvent::Lost => self.end(op.time, life, key, End::Lost),
                    }
                }
            }
            Action::Leave(leave) if op.kind == OpType::Invoke => {
                self.end_all(op.time, &leave.consumer, End::Left);
            }
            Action::Crash(_) => {
                if let Some(life) = self.lives.get(&op.process).cloned() {
                    self.crash(op.time, &life);
                }
            }
            _ => {}
        }
    }

    fn acts(&mut self, op: &Op, life: &str) {
        if self
            .lives
            .get(&op.process)
            .is_none_or(|known| **known != *life)
        {
            self.lives.insert(op.process, life.into());
        }
    }

    fn member(&mut self, life: &str) -> &mut Member {
        let name = life.split('.').next().unwrap_or(life);
        let member = self.by_name.entry(name.to_owned());
        member.or_insert_with(|| Member {
            name: name.to_owned(),
            spans: Vec::new(),
            crashes: Vec::new(),
        })
    }

    fn assign(&mut self, time: u64, life: &str, key: &Key, generation: i32) {
        let spans = &mut self.member(life).spans;
        let position = spans.len();
        spans.push(Span {
            key: key.clone(),
            generation,
            from: time,
            until: None,
            end: End::Open,
        });
        let owned = self.owned.entry(life.into()).or_default();
        owned.insert(key.clone(), position);
    }

    fn end(&mut self, time: u64, life: &str, key: &Key, end: End) {
        let owned = self.owned.get_mut(life);
        let Some(position) = owned.and_then(|owned| owned.remove(key)) else {
            return;
        };
        if let Some(span) = self.member(life).spans.get_mut(position) {
            span.until = Some(time);
            span.end = end;
        }
    }

    fn end_all(&mut self, time: u64, life: &str, end: End) {
        let owned = self.owned.get(life);
        let keys: Vec<Key> = owned
            .iter()
            .flat_map(|owned| owned.keys().cloned())
            .collect();
        for key in keys {
            self.end(time, life, &key, end);
        }
    }

    /// Several processes of a member tell of one crash.
    fn crash(&mut self, time: u64, life: &str) {
        self.end_all(time, life, End::Crashed);
        self.lives.retain(|_, known| **known != *life);
        self.member(life).crashes.push(time);
    }

    pub(super) fn finish(self) -> (Vec<Member>, BTreeMap<i32, u64>) {
        let mut members: Vec<Member> = self.by_name.into_values().collect();
        members.sort_by_key(|member| natural(&member.name));
        (members, self.generations)
    }
}
