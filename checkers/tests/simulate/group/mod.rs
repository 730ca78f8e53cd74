//! Histories of a perfect group: members join, leave, crash, freeze and come back as zombies;
//! commits end in doubt and take effect late, or never. Legal by construction; seeded.
//!
//! One micro-step at a time, of whoever the seed picks: an operation is invoked, takes effect at
//! one instant, and completes, each in a step of its own.

#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "shared by tests and benches"
)]

mod coordinator;
mod drain;
mod member;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use checkers::history::{
    Action, Commit, CommitCall, CommitMode, Committed, GroupSettings, Header, History, Key,
    OffsetReset, Op, OpError, OpType, Record, RecordValue, Send, Settings,
};

use crate::splitmix::Splitmix;

/// Nanoseconds; the session timeout of every member is 6 s.
const SESSION: u64 = 6_000_000_000;

/// Nanoseconds; `auto.commit.interval.ms`.
const AUTO_COMMIT: u64 = 20_000_000;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct GroupPlan {
    pub seed: u64,
    pub mode: CommitMode,
    pub clients: usize,
    pub partitions: usize,
    /// Micro-steps before the drain.
    pub steps: usize,
    pub cooperative: bool,
    /// Of 1000 micro-steps, how many crash, freeze or remove a member.
    pub churn: u64,
    /// Of 100 commits, how many end in doubt.
    pub doubtful: u64,
    /// Of 1000 micro-steps, how many ask for the committed offsets.
    pub asks: u64,
    /// Whether every client is a static member.
    pub statics: bool,
    /// Whether a deposed coordinator answers such questions until the drain.
    pub stale: bool,
}

/// A history of this plan, drained and read to the end.
pub fn history(plan: GroupPlan) -> History {
    let mut world = World::new(plan);
    for _ in 0..plan.steps {
        world.step(true);
    }
    world.drain();
    let group = GroupSettings {
        mode: plan.mode,
        reset: OffsetReset::Earliest,
        session_timeout_ms: SESSION / 1_000_000,
        auto_commit_interval_ms: AUTO_COMMIT / 1_000_000,
        max_poll_interval_ms: 60_000,
        assignors: vec![world.assignor().into()],
        ..GroupSettings::default()
    };
    let settings = Settings {
        group: Some(group),
        ..Settings::default()
    };
    let header = Header::new(settings, serde_json::Value::Null);
    History::from_ops(header, world.ops).expect("well formed")
}

/// What a member does next.
#[derive(Clone, Debug)]
enum Step {
    PollReturns,
    Process(usize, i64),
    Processed(usize, i64),
    Commit(CommitCall, BTreeMap<usize, i64>),
    Committed(usize),
    Answered(usize),
    Assigned(Vec<usize>),
    Fetch(usize),
    Join,
}

/// A commit on its way.
#[derive(Clone, Debug)]
struct Flight {
    process: u64,
    commit: Commit,
    offsets: BTreeMap<usize, i64>,
    member: usize,
    /// Its answer, once it took effect; in doubt it is never told.
    answer: Option<OpType>,
    is_doubtful: bool,
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Member {
    client: usize,
    name: String,
    poller: u64,
    generation: i32,
    /// For each partition that it thinks it owns, the position of its polls.
    owned: BTreeMap<usize, i64>,
    /// For each, up to where it may commit by its mode.
    ready: BTreeMap<usize, i64>,
    /// When it commits by itself at the latest.
    next_commit: u64,
    steps: VecDeque<Step>,
    /// The other task of the hand-off.
    tasks: VecDeque<Step>,
    last_seen: u64,
    is_frozen: bool,
    is_gone: bool,
    has_joined: bool,
}

#[derive(Default)]
struct Coordinator {
    generation: i32,
    members: BTreeSet<usize>,
    joined: BTreeSet<usize>,
    is_rebalancing: bool,
    /// What each member of the generation is given.
    given: BTreeMap<usize, Vec<usize>>,
    committed: BTreeMap<usize, i64>,
    /// What a deposed coordinator may still answer.
    past: Vec<BTreeMap<usize, i64>>,
}

struct World {
    plan: GroupPlan,
    random: Splitmix,
    now: u64,
    ops: Vec<Op>,
    next_process: u64,
    logs: Vec<Vec<u64>>,
    next_value: u64,
    lives: Vec<usize>,
    members: Vec<Member>,
    flights: Vec<Flight>,
    /// Those in doubt that have not arrived.
    late: Vec<usize>,
    coordinator: Coordinator,
}

impl World {
    fn new(plan: GroupPlan) -> Self {
        Self {
            plan,
            random: Splitmix(plan.seed ^ 0x51ed_270b_0b92_a7a5),
            now: 0,
            ops: Vec::new(),
            next_process: 10,
            logs: vec![Vec::new(); plan.partitions],
            next_value: 0,
            lives: vec![0; plan.clients],
            members: Vec::new(),
            flights: Vec::new(),
            late: Vec::new(),
            coordinator: Coordinator::default(),
        }
    }

    fn random(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn assignor(&self) -> &'static str {
        if self.plan.cooperative {
            "cooperative-sticky"
        } else {
            "range"
        }
    }

    fn event(&mut self, process: u64, kind: OpType, action: Action, error: Option<&str>) {
        self.now += 1_000_000;
        let index = self.ops.len() as u64;
        let error = error.map(|code| OpError {
            code: code.into(),
            message: "".into(),
        });
        let (time, node) = (self.now, None);
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

    fn process(&mut self) -> u64 {
        self.next_process += 1;
        self.next_process
    }

    fn key(partition: usize) -> Key {
        Key::new("t", partition as i32)
    }

    fn records(
        &self,
        partition: usize,
        offsets: std::ops::Range<i64>,
    ) -> BTreeMap<Key, Vec<Record>> {
        let record = |o: i64| Record(o, RecordValue::Unique(self.logs[partition][o as usize]));
        BTreeMap::from([(Self::key(partition), offsets.map(record).collect())])
    }

    /// One micro-step of anybody.
    fn step(&mut self, disturbed: bool) {
        let dice = self.random(1_000);
        if disturbed && dice < self.plan.churn {
            self.disturb();
        } else if dice < 120 && disturbed {
            self.send();
        } else if dice < 150 {
            self.arrive();
        } else if dice < 150 + self.plan.asks {
            self.ask();
        } else {
            let client = self.random(self.plan.clients as u64) as usize;
            match self.members.iter().rposition(|m| m.client == client) {
                Some(member) if !self.members[member].is_gone => {
                    if !self.members[member].is_frozen {
                        self.act(member);
                    }
                }
                _ => self.subscribe(client),
            }
        }
        self.coordinate();
    }

    fn send(&mut self) {
        let partition = self.random(self.plan.partitions as u64) as usize;
        self.next_value += 1;
        let (key, value) = (Self::key(partition), self.next_value);
        let send = |offset| {
            Action::Send(vec![Send {
                key: key.clone(),
                value,
                offset,
            }])
        };
        let offset = self.logs[partition].len() as i64;
        self.event(0, OpType::Invoke, send(None), None);
        self.logs[partition].push(value);
        self.event(0, OpType::Ok, send(Some(offset)), None);
    }

    /// A commit in doubt arrives late, or gets lost.
    fn arrive(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let place = self.random(self.late.len() as u64) as usize;
        let flight = self.late.swap_remove(place);
        if self.flights[flight].is_over {
            return;
        }
        if self.random(2) == 0 {
            self.flights[flight].is_over = true;
        } else {
            self.take_effect(flight);
        }
    }

    /// Somebody else asks for the committed offsets.
    fn ask(&mut self) {
        let process = self.process();
        let none = (0..self.plan.partitions)
            .map(|p| (Self::key(p), None))
            .collect();
        let past = self.coordinator.past.len() as u64;
        let committed = if self.plan.stale && past > 0 {
            let place = self.random(past) as usize;
            &self.coordinator.past[place]
        } else {
            &self.coordinator.committed
        };
        let answer = (0..self.plan.partitions)
            .map(|p| (Self::key(p), committed.get(&p).copied()))
            .collect();
        let asked = |offsets| {
            Action::Committed(Box::new(Committed {
                group: "g".into(),
                offsets,
            }))
        };
        self.event(process, OpType::Invoke, asked(none), None);
        self.event(process, OpType::Ok, asked(answer), None);
    }
}
