//! Histories of a perfect log: clients step by step, each operation taking effect at one instant
//! between its invocation and its completion. Legal by construction; seeded.

#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "shared by tests and benches"
)]

use std::collections::BTreeMap;

use checkers::history::{
    Action, Bound, Header, History, Key, ListOffset, Op, OpType, Poll, Position, Record,
    RecordValue, Send, Settings,
};

use crate::splitmix::Splitmix;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub clients: usize,
    pub partitions: usize,
    pub operations: usize,
    /// Of 100 sends, how many end in doubt.
    pub doubtful: u64,
    /// Of 100 sends, how many fail for certain.
    pub failed: u64,
}

/// A history of this plan, with a final read of everything.
pub fn history(plan: Plan) -> History {
    let mut world = World::new(plan);
    while world.operations < plan.operations || world.clients.iter().any(|c| c.open.is_some()) {
        let client = world.random(plan.clients as u64) as usize;
        world.step(client);
    }
    world.drain();
    let header = Header::new(Settings::default(), serde_json::Value::Null);
    History::from_ops(header, world.ops).expect("a legal history")
}

struct World {
    plan: Plan,
    random: Splitmix,
    ops: Vec<Op>,
    operations: usize,
    next_process: u64,
    next_value: u64,
    keys: Vec<Key>,
    logs: Vec<Vec<u64>>,
    clients: Vec<Client>,
}

struct Client {
    process: u64,
    /// For each partition, the position if it has one.
    positions: Vec<Option<i64>>,
    open: Option<Open>,
}

struct Open {
    action: Action,
    partition: usize,
    /// The completion, once the operation took effect.
    done: Option<(OpType, Action)>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let client = |process| Client {
            process,
            positions: vec![None; plan.partitions],
            open: None,
        };
        Self {
            plan,
            random: Splitmix(plan.seed ^ 0x9e37_79b9_7f4a_7c15),
            ops: Vec::new(),
            operations: 0,
            next_process: plan.clients as u64,
            next_value: 0,
            keys: (0..plan.partitions)
                .map(|p| Key::new("t", p as i32))
                .collect(),
            logs: vec![Vec::new(); plan.partitions],
            clients: (0..plan.clients as u64).map(client).collect(),
        }
    }

    fn random(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn event(&mut self, process: u64, kind: OpType, action: Action) {
        let index = self.ops.len() as u64;
        let (time, error, node) = (index * 1_000, None, None);
        self.ops.push(Op {
            index,
            time,
            process,
            kind,
            action,
            error,
            node,
        });
    }

    /// Invokes, lets take effect, or completes.
    fn step(&mut self, client: usize) {
        let process = self.clients[client].process;
        match self.clients[client].open.take() {
            None if self.operations >= self.plan.operations => {}
            None => {
                let open = self.choose(client);
                self.operations += 1;
                self.event(process, OpType::Invoke, open.action.clone());
                self.clients[client].open = Some(open);
            }
            Some(Open {
                action,
                partition,
                done: None,
            }) => {
                let done = Some(self.take_effect(client, &action, partition));
                self.clients[client].open = Some(Open {
                    action,
                    partition,
                    done,
                });
            }
            Some(Open {
                done: Some((kind, action)),
                ..
            }) => {
                self.event(process, kind, action);
                if kind == OpType::Info {
                    self.clients[client].process = self.next_process;
                    self.clients[client].positions.fill(None);
                    self.next_process += 1;
                }
            }
        }
    }

    /// Half sends, nearly half polls (some after a seek), a few reads of the end.
    fn choose(&mut self, client: usize) -> Open {
        let partition = self.random(self.plan.partitions as u64) as usize;
        let key = self.keys[partition].clone();
        let length = self.logs[partition].len() as u64;
        let position = self.clients[client].positions[partition];
        let action = match self.random(100) {
            0..50 => {
                self.next_value += 1;
                Action::Send(vec![Send {
                    key,
                    value: self.next_value,
                    offset: None,
                }])
            }
            50..55 => Action::ListOffsets(vec![ListOffset {
                bound: Bound::End,
                key,
                offset: None,
            }]),
            55..57 => {
                let offset = Position::Offset(self.random(length + 1) as i64);
                Action::Seek(BTreeMap::from([(key, offset)]))
            }
            _ if position.is_none() => Action::Seek(BTreeMap::from([(key, Position::Beginning)])),
            _ => Action::Poll(Poll::default()),
        };
        Open {
            action,
            partition,
            done: None,
        }
    }

    fn take_effect(
        &mut self,
        client: usize,
        action: &Action,
        partition: usize,
    ) -> (OpType, Action) {
        let mut done = action.clone();
        let doubt = self.random(100);
        let log = &mut self.logs[partition];
        let position = &mut self.clients[client].positions[partition];
        match &mut done {
            Action::Send(sends) => {
                let send = &mut sends[0];
                if doubt < self.plan.doubtful {
                    if doubt.is_multiple_of(2) {
                        log.push(send.value);
                    }
                    return (OpType::Info, done);
                }
                if doubt < self.plan.doubtful + self.plan.failed {
                    return (OpType::Fail, done);
                }
                send.offset = Some(log.len() as i64);
                log.push(send.value);
            }
            Action::ListOffsets(bounds) => bounds[0].offset = Some(log.len() as i64),
            Action::Seek(positions) => {
                *position = Some(match positions.first_key_value() {
                    Some((_, Position::Offset(offset))) => *offset,
                    _ => 0,
                });
            }
            Action::Poll(poll) => {
                let from = position.unwrap_or(0);
                let there = log.get(from as usize..).unwrap_or_default();
                let records = (from..).zip(there).take(10);
                let records: Vec<Record> = records
                    .map(|(o, v)| Record(o, RecordValue::Unique(*v)))
                    .collect();
                if !records.is_empty() {
                    *position = Some(from + records.len() as i64);
                    poll.records.insert(self.keys[partition].clone(), records);
                }
            }
            _ => {}
        }
        (OpType::Ok, done)
    }

    /// A fresh client reads every partition from the beginning to the end.
    fn drain(&mut self) {
        let process = self.next_process;
        for partition in 0..self.plan.partitions {
            let key = self.keys[partition].clone();
            let end = ListOffset {
                bound: Bound::End,
                key: key.clone(),
                offset: None,
            };
            let seek = Action::Seek(BTreeMap::from([(key, Position::Beginning)]));
            for action in [Action::ListOffsets(vec![end]), seek] {
                self.at_once(process, action, partition);
            }
            for _ in 0..self.logs[partition].len().div_ceil(10) {
                self.at_once(process, Action::Poll(Poll::default()), partition);
            }
        }
    }

    fn at_once(&mut self, process: u64, action: Action, partition: usize) {
        self.event(process, OpType::Invoke, action.clone());
        // The drain is the first client under another process number: all others are done.
        let (kind, done) = self.take_effect(0, &action, partition);
        self.event(process, kind, done);
    }
}
