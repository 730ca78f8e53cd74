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

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use checkers::history::{
    Action, Bound, Commit, CommitCall, CommitMode, Committed, FaultClass, GROUP_DRAIN,
    GroupSettings, Header, History, Key, Leave, ListOffset, NemesisEvent, OffsetReset, Op, OpError,
    OpType, Phase, Poll, Position, Process, Rebalance, RebalanceEvent, Record, RecordValue, Resume,
    ResumeSource, Send, Settings, Subscribe,
};

/// Nanoseconds; the session timeout of every member is 6 s.
const SESSION: u64 = 6_000_000_000;

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
    random: u64,
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
            random: plan.seed ^ 0x51ed_270b_0b92_a7a5,
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
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
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

    fn subscribe(&mut self, client: usize) {
        self.lives[client] += 1;
        let (name, poller) = (format!("c{client}.{}", self.lives[client]), self.process());
        let subscribe = Action::Subscribe(Box::new(Subscribe {
            consumer: name.as_str().into(),
            group: "g".into(),
            topics: vec!["t".into()],
            mode: self.plan.mode,
            instance: self.plan.statics.then(|| format!("i{client}").into()),
        }));
        self.event(poller, OpType::Invoke, subscribe.clone(), None);
        self.event(poller, OpType::Ok, subscribe, None);
        let member = Member {
            client,
            name,
            poller,
            generation: -1,
            owned: BTreeMap::new(),
            ready: BTreeMap::new(),
            steps: VecDeque::from([Step::Join]),
            tasks: VecDeque::new(),
            last_seen: self.now,
            is_frozen: false,
            is_gone: false,
            has_joined: false,
        };
        self.members.push(member);
    }

    /// Crash, leave, freeze or thaw.
    fn disturb(&mut self) {
        let living = (0..self.members.len()).filter(|m| !self.members[*m].is_gone);
        let living: Vec<usize> = living.collect();
        if living.is_empty() {
            return;
        }
        let member = living[self.random(living.len() as u64) as usize];
        match self.random(4) {
            0 => {
                let poller = self.members[member].poller;
                self.event(poller, OpType::Info, Action::Crash(None), None);
                self.members[member].is_gone = true;
            }
            1 if !self.members[member].is_frozen && self.members[member].steps.is_empty() => {
                self.leave(member);
            }
            _ => self.members[member].is_frozen ^= true,
        }
    }

    fn leave(&mut self, member: usize) {
        let (poller, name) = (
            self.members[member].poller,
            self.members[member].name.clone(),
        );
        let leave = || {
            let (consumer, group) = (name.as_str().into(), "g".into());
            Action::Leave(Box::new(Leave { consumer, group }))
        };
        self.event(poller, OpType::Invoke, leave(), None);
        self.event(poller, OpType::Ok, leave(), None);
        self.members[member].is_gone = true;
        if !self.plan.statics {
            self.remove(member);
        }
    }

    fn remove(&mut self, member: usize) {
        let was = self.coordinator.members.remove(&member);
        if self.coordinator.joined.remove(&member) || was {
            self.coordinator.is_rebalancing = true;
        }
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

    /// Expels the silent, and completes a rebalance that everybody joined.
    fn coordinate(&mut self) {
        if self.coordinator.is_rebalancing || self.random(40) == 0 {
            self.expel();
        }
        let Coordinator {
            members,
            joined,
            is_rebalancing,
            ..
        } = &self.coordinator;
        if *is_rebalancing && !joined.is_empty() && members.is_subset(joined) {
            self.assign();
        }
    }

    fn expel(&mut self) {
        let members: Vec<usize> = self
            .coordinator
            .members
            .union(&self.coordinator.joined)
            .copied()
            .collect();
        for member in members {
            let Member {
                is_gone,
                is_frozen,
                last_seen,
                ..
            } = self.members[member];
            if (is_gone || is_frozen) && self.random(4) == 0 {
                self.now = self.now.max(last_seen + SESSION + 1_000_000);
                let now = self.now;
                let seen = self
                    .members
                    .iter_mut()
                    .filter(|m| !m.is_gone && !m.is_frozen);
                seen.for_each(|member| member.last_seen = now);
                self.remove(member);
                self.members[member].has_joined = false;
            }
        }
    }

    /// The next generation: everybody gets a share; a cooperative share leaves out what another
    /// member still holds.
    fn assign(&mut self) {
        let joined: Vec<usize> = std::mem::take(&mut self.coordinator.joined)
            .into_iter()
            .collect();
        let shares = joined.len();
        self.coordinator.given.clear();
        let (mut start, mut withheld) = (0, false);
        for (place, member) in joined.iter().enumerate() {
            let size =
                self.plan.partitions / shares + usize::from(place < self.plan.partitions % shares);
            let mut given: Vec<usize> = (start..start + size).collect();
            start += size;
            if self.plan.cooperative {
                let others = joined.iter().filter(|other| *other != member);
                let held: BTreeSet<usize> = others
                    .flat_map(|other| self.members[*other].owned.keys().copied())
                    .collect();
                withheld |= given.iter().any(|partition| held.contains(partition));
                given.retain(|partition| !held.contains(partition));
            }
            self.coordinator.given.insert(*member, given);
            self.members[*member].has_joined = false;
        }
        self.coordinator.generation += 1;
        self.coordinator.members = joined.into_iter().collect();
        self.coordinator.is_rebalancing = withheld;
    }

    /// One micro-step of a member.
    fn act(&mut self, member: usize) {
        self.members[member].last_seen = self.now;
        if self.random(3) == 0
            && let Some(task) = self.members[member].tasks.pop_front()
        {
            self.perform(member, task);
            return;
        }
        match self.members[member].steps.pop_front() {
            Some(step) => self.perform(member, step),
            None => self.plan_ahead(member),
        }
    }

    fn plan_ahead(&mut self, member: usize) {
        let generation = self.members[member].generation;
        let Coordinator {
            members,
            given,
            is_rebalancing,
            ..
        } = &self.coordinator;
        let next = self.coordinator.generation;
        if self.members[member].has_joined {
            return;
        }
        if !members.contains(&member) {
            self.tell(member, RebalanceEvent::Lost, generation, None);
            self.members[member].steps.push_back(Step::Join);
        } else if next > generation {
            let given = given.get(&member).cloned().unwrap_or_default();
            self.members[member].steps.push_back(Step::Assigned(given));
        } else if *is_rebalancing {
            self.before_join(member);
        } else {
            self.work(member);
        }
    }

    /// An eager member commits what it may and gives everything up.
    fn before_join(&mut self, member: usize) {
        let ready = self.members[member].ready.clone();
        let commits = !matches!(self.plan.mode, CommitMode::SyncBefore) && !ready.is_empty();
        if commits && self.random(2) == 0 {
            self.members[member].ready.clear();
            let call = if self.is_auto() {
                CommitCall::Auto
            } else {
                CommitCall::Sync
            };
            self.members[member]
                .steps
                .push_back(Step::Commit(call, ready));
        } else {
            self.members[member].steps.push_back(Step::Join);
        }
    }

    fn is_auto(&self) -> bool {
        matches!(
            self.plan.mode,
            CommitMode::AutoInLoop | CommitMode::AutoHandoff
        )
    }

    /// Polls, and before that commits by itself now and then.
    fn work(&mut self, member: usize) {
        let poller = self.members[member].poller;
        let ready = self.members[member].ready.clone();
        if self.is_auto() && !ready.is_empty() && self.random(3) == 0 {
            self.members[member].ready.clear();
            self.members[member]
                .steps
                .push_back(Step::Commit(CommitCall::Auto, ready));
            return;
        }
        self.event(poller, OpType::Invoke, Action::Poll(Poll::default()), None);
        self.members[member].steps.push_back(Step::PollReturns);
    }

    fn perform(&mut self, member: usize, step: Step) {
        match step {
            Step::PollReturns => self.poll_returns(member),
            Step::Process(partition, offset) => {
                let (worker, action) = self.processing(member, partition, offset);
                self.event(worker, OpType::Invoke, action, None);
                let next = Step::Processed(partition, offset);
                if self.plan.mode == CommitMode::AutoHandoff {
                    self.members[member].tasks.push_front(next);
                } else {
                    self.members[member].steps.push_front(next);
                }
            }
            Step::Processed(partition, offset) => {
                let (worker, action) = self.processing(member, partition, offset);
                self.event(worker, OpType::Ok, action, None);
            }
            Step::Commit(call, offsets) => self.commit(member, call, offsets),
            Step::Committed(flight) => {
                if !self.flights[flight].is_over {
                    self.take_effect(flight);
                }
            }
            Step::Answered(flight) => self.answer(member, flight),
            Step::Assigned(given) => self.assigned(member, given),
            Step::Fetch(partition) => self.fetch(member, partition),
            Step::Join => self.join(member),
        }
    }

    /// An eager member gives everything up first; one that was expelled has lost everything.
    fn join(&mut self, member: usize) {
        let generation = self.members[member].generation;
        if !self.members[member].owned.is_empty() {
            if !self.coordinator.members.contains(&member) {
                self.tell(member, RebalanceEvent::Lost, generation, None);
            } else if !self.plan.cooperative {
                self.tell(member, RebalanceEvent::Revoked, generation, None);
            }
        }
        if self.replace(member) {
            return;
        }
        self.coordinator.is_rebalancing = true;
        self.coordinator.joined.insert(member);
        self.members[member].has_joined = true;
    }

    /// The next life of a static member takes the place of the last one; whether that is all.
    fn replace(&mut self, member: usize) -> bool {
        let client = self.members[member].client;
        let last = |other: &usize| self.members[*other].client == client && *other != member;
        let Coordinator {
            members, joined, ..
        } = &self.coordinator;
        let last = members.union(joined).copied().find(last);
        let Some(last) = last.filter(|_| self.plan.statics) else {
            return false;
        };
        let was = self.coordinator.members.remove(&last);
        self.coordinator.joined.remove(&last);
        if self.coordinator.is_rebalancing || !was {
            return false;
        }
        let given = self.coordinator.given.remove(&last).unwrap_or_default();
        self.coordinator.given.insert(member, given);
        self.coordinator.members.insert(member);
        true
    }

    fn processing(&self, member: usize, partition: usize, offset: i64) -> (u64, Action) {
        let worker = self.members[member].poller + 1_000_000;
        let consumer = self.members[member].name.as_str().into();
        let records = self.records(partition, offset..offset + 1);
        (
            worker,
            Action::Process(Box::new(Process { consumer, records })),
        )
    }

    fn poll_returns(&mut self, member: usize) {
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

    fn commit(&mut self, member: usize, call: CommitCall, offsets: BTreeMap<usize, i64>) {
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

    /// The coordinator accepts a commit of its generation, and of no other.
    fn take_effect(&mut self, flight: usize) {
        let Flight {
            member,
            commit,
            offsets,
            ..
        } = self.flights[flight].clone();
        let Coordinator {
            generation,
            members,
            committed,
            ..
        } = &mut self.coordinator;
        let fits = *generation == commit.generation && members.contains(&member);
        if fits {
            committed.extend(offsets);
            if self.plan.stale && self.flights.len().is_multiple_of(8) {
                let now = self.coordinator.committed.clone();
                self.coordinator.past.push(now);
            }
        }
        self.flights[flight].is_over = true;
        self.flights[flight].answer = Some(if fits { OpType::Ok } else { OpType::Fail });
    }

    fn answer(&mut self, member: usize, flight: usize) {
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

    fn tell(
        &mut self,
        member: usize,
        event: RebalanceEvent,
        generation: i32,
        partitions: Option<Vec<usize>>,
    ) {
        let state = &mut self.members[member];
        let all: Vec<usize> = state.owned.keys().copied().collect();
        let partitions = partitions.unwrap_or(all);
        if event != RebalanceEvent::Assigned {
            state
                .owned
                .retain(|partition, _| !partitions.contains(partition));
            state
                .ready
                .retain(|partition, _| !partitions.contains(partition));
        }
        let poller = state.poller;
        let action = Action::Rebalance(Box::new(Rebalance {
            consumer: state.name.as_str().into(),
            group: "g".into(),
            event,
            member: format!("m-{}", state.name).into(),
            generation,
            partitions: partitions.into_iter().map(Self::key).collect(),
        }));
        self.event(poller, OpType::Ok, action, None);
    }

    fn assigned(&mut self, member: usize, given: Vec<usize>) {
        let generation = self.coordinator.generation;
        if !self.coordinator.members.contains(&member)
            || self.coordinator.given.get(&member) != Some(&given)
        {
            return;
        }
        self.members[member].generation = generation;
        let owned: Vec<usize> = self.members[member].owned.keys().copied().collect();
        let (kept, gone): (Vec<usize>, Vec<usize>) = owned
            .into_iter()
            .partition(|partition| given.contains(partition));
        if !gone.is_empty() {
            self.tell(member, RebalanceEvent::Revoked, generation, Some(gone));
        }
        let added: Vec<usize> = given.into_iter().filter(|p| !kept.contains(p)).collect();
        self.tell(
            member,
            RebalanceEvent::Assigned,
            generation,
            Some(added.clone()),
        );
        self.members[member]
            .steps
            .extend(added.into_iter().map(Step::Fetch));
    }

    fn fetch(&mut self, member: usize, partition: usize) {
        let committed = self.coordinator.committed.get(&partition).copied();
        let (offset, source) = match committed {
            Some(offset) => (offset, ResumeSource::Committed),
            None => (0, ResumeSource::Reset),
        };
        let state = &mut self.members[member];
        state.owned.insert(partition, offset);
        let (poller, generation) = (state.poller, state.generation);
        let resume = Action::Resume(Box::new(Resume {
            consumer: state.name.as_str().into(),
            group: "g".into(),
            generation,
            key: Self::key(partition),
            offset,
            source,
        }));
        self.event(poller, OpType::Ok, resume, None);
    }

    /// No more sends, no more faults: until everything is committed; then the final reads.
    fn drain(&mut self) {
        let drain = || Action::Admin(GROUP_DRAIN.into());
        if self.plan.stale {
            let event = NemesisEvent {
                fault: "pause".to_owned(),
                class: FaultClass::Pause,
                phase: Phase::Heal,
                target: "n1".into(),
                detail: serde_json::Value::Null,
            };
            let healed = Action::Nemesis(Box::new(event));
            self.event(2, OpType::Info, healed, None);
            self.plan.stale = false;
        }
        self.event(1, OpType::Invoke, drain(), None);
        self.plan.doubtful = 0;
        self.members
            .iter_mut()
            .for_each(|member| member.is_frozen = false);
        let mut rounds = 0;
        while !self.is_drained() && rounds < 400_000 {
            self.step(false);
            rounds += 1;
            // What was committed by the loop's last poll needs another one; async ones may be
            // overtaken, and then nobody commits again: somebody sends.
            if rounds % 20_000 == 0 {
                (0..self.plan.partitions).for_each(|_| self.send());
            }
        }
        let done = self.is_drained();
        self.event(
            1,
            if done { OpType::Ok } else { OpType::Info },
            drain(),
            None,
        );
        self.ask();
        for partition in 0..self.plan.partitions {
            self.read(partition);
        }
    }

    fn is_drained(&self) -> bool {
        let logs = self.logs.iter().enumerate();
        let mut logs = logs.filter(|(_, log)| !log.is_empty());
        let committed = |p: usize| self.coordinator.committed.get(&p).copied().unwrap_or(0);
        let living = self.members.iter().filter(|member| !member.is_gone);
        logs.all(|(p, log)| committed(p) >= log.len() as i64)
            && living.into_iter().all(|m| {
                let busy = |s: &Step| matches!(s, Step::Process(..) | Step::Processed(..));
                !m.tasks.iter().any(busy) && !m.steps.iter().any(busy)
            })
    }

    fn read(&mut self, partition: usize) {
        let (process, key) = (self.process(), Self::key(partition));
        let length = self.logs[partition].len() as i64;
        let end = |offset| {
            let (bound, key) = (Bound::End, key.clone());
            Action::ListOffsets(vec![ListOffset { bound, key, offset }])
        };
        let seek = || Action::Seek(BTreeMap::from([(key.clone(), Position::Beginning)]));
        let found = if length > 0 {
            self.records(partition, 0..length)
        } else {
            BTreeMap::new()
        };
        for (asked, answer) in [
            (end(None), end(Some(length))),
            (
                Action::Assign(vec![key.clone()]),
                Action::Assign(vec![key.clone()]),
            ),
            (seek(), seek()),
            (
                Action::Poll(Poll::default()),
                Action::Poll(Poll { records: found }),
            ),
        ] {
            self.event(process, OpType::Invoke, asked, None);
            self.event(process, OpType::Ok, answer, None);
        }
    }
}
