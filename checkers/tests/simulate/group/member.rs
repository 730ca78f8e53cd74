//! The life of a member: it joins, is told its partitions, works, and ends in one way or another.

use std::collections::{BTreeMap, VecDeque};

use checkers::history::{
    Action, CommitCall, CommitMode, Leave, OpType, Poll, Rebalance, RebalanceEvent, Resume,
    ResumeSource, Subscribe,
};

use super::{AUTO_COMMIT, Coordinator, Member, Step, World};

impl World {
    pub(super) fn subscribe(&mut self, client: usize) {
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
            next_commit: self.now + AUTO_COMMIT,
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
    pub(super) fn disturb(&mut self) {
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

    pub(super) fn leave(&mut self, member: usize) {
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

    /// One micro-step of a member.
    pub(super) fn act(&mut self, member: usize) {
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

    pub(super) fn plan_ahead(&mut self, member: usize) {
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
    pub(super) fn before_join(&mut self, member: usize) {
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

    pub(super) fn is_auto(&self) -> bool {
        matches!(
            self.plan.mode,
            CommitMode::AutoInLoop | CommitMode::AutoHandoff
        )
    }

    /// Polls, and before that commits by itself now and then.
    pub(super) fn work(&mut self, member: usize) {
        let poller = self.members[member].poller;
        let ready = self.members[member].ready.clone();
        let is_due = self.now >= self.members[member].next_commit;
        if self.is_auto() && !ready.is_empty() && (is_due || self.random(3) == 0) {
            self.members[member].ready.clear();
            self.members[member].next_commit = self.now + AUTO_COMMIT;
            self.members[member]
                .steps
                .push_back(Step::Commit(CommitCall::Auto, ready));
            return;
        }
        self.event(poller, OpType::Invoke, Action::Poll(Poll::default()), None);
        self.members[member].steps.push_back(Step::PollReturns);
    }

    pub(super) fn perform(&mut self, member: usize, step: Step) {
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
    pub(super) fn join(&mut self, member: usize) {
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

    pub(super) fn tell(
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

    pub(super) fn assigned(&mut self, member: usize, given: Vec<usize>) {
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

    pub(super) fn fetch(&mut self, member: usize, partition: usize) {
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
}
