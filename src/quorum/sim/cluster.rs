//! The simulated cluster: nodes, disks and network under one clock.
//!
//! In: a plan. Out: events one by one, each followed by the oracle's judgement.
//! Invariant: every choice comes from the plan's seed; nothing iterates in an unordered way.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHasher;

use crate::id::BrokerId;
use crate::offset::Offset;
use crate::quorum::sim::disk::Disk;
use crate::quorum::sim::network::{Envelope, Message, Network};
use crate::quorum::sim::oracle::{Applied, Oracle};
use crate::quorum::sim::{Plan, Summary};
use crate::quorum::{Config, Correlation, Effect, Proposed, Quorum, Request, VoteRequest};
use crate::time::{Now, Time};

/// One node and what belongs to it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: BrokerId,
    /// The core, while the process runs.
    pub(super) core: Option<Quorum>,
    pub(super) disk: Disk,
    pub(super) applied: Applied,
    /// When it dies, or comes back from that death.
    pub(super) fate: Option<(Time, Fate)>,
    /// When its disk completes what is pending.
    pub(super) disk_done: Option<Time>,
    /// When it wakes from a pause.
    pub(super) paused_until: Time,
    high_watermark: Offset,
    requesters: BTreeMap<u64, Requester>,
    proposals: Vec<(Proposed, Bytes)>,
}

/// What is in store for a node that won an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fate {
    Dies,
    Returns,
}

/// Where a reply goes.
#[derive(Debug)]
struct Requester {
    id: BrokerId,
    correlation: Correlation,
    vote: Option<VoteRequest>,
}

pub(super) struct Cluster {
    pub(super) plan: Plan,
    pub(super) rng: ChaCha8Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    now: Time,
    counter: u64,
    trace: FxHasher,
    pub(super) summary: Summary,
    prints: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Next {
    Arrival,
    Disk(usize),
    Timer(usize),
    Fate(usize, Fate),
}

impl Cluster {
    /// A cluster that has just been started for the first time.
    pub(super) fn new(plan: Plan) -> Self {
        let node = |id| Node {
            id: BrokerId(id),
            core: None,
            disk: Disk::new(),
            applied: Applied::default(),
            fate: None,
            disk_done: None,
            paused_until: Time::ZERO,
            high_watermark: 0,
            requesters: BTreeMap::new(),
            proposals: Vec::new(),
        };
        let mut cluster = Self {
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            nodes: (1..=plan.voters + 1).map(node).collect(),
            network: Network::default(),
            oracle: Oracle::default(),
            now: Time::ZERO,
            counter: 0,
            trace: FxHasher::default(),
            summary: Summary::default(),
            prints: std::env::var_os("QUORUM_TRACE").is_some(),
            plan,
        };
        for index in 0..cluster.nodes.len() {
            cluster
                .start(index)
                .expect("invariant: an empty disk starts");
        }
        cluster
    }

    pub(super) fn now(&self) -> Now {
        Now {
            time: self.now,
            wall_millis: 0,
        }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            trace: self.trace.finish(),
            elections: self.oracle.elections(),
            committed: self.oracle.committed.len(),
            acknowledged: self.oracle.acknowledged,
            ..self.summary
        }
    }

    /// Starts the process of a node.
    pub(super) fn start(&mut self, index: usize) -> Result<(), String> {
        let voters: BTreeSet<_> = (1..=self.plan.voters).map(BrokerId).collect();
        let seed = self.rng.random();
        let now = self.now();
        let node = &mut self.nodes[index];
        let config = Config {
            fetch_max_bytes: 64,
            snapshot_chunk_bytes: 20,
            mutation: self.plan.mutation,
            ..Config::fast(node.id, voters)
        };
        let core = Quorum::new(now, config, seed, node.disk.recover());
        let core = core.map_err(|error| format!("{} did not start: {error}", node.id))?;
        node.high_watermark = core.high_watermark();
        node.applied = Applied::default();
        node.core = Some(core);
        self.note(|| format!("start {}", index + 1), (index, 's'));
        self.perform(index)
    }

    /// Kills the process of a node; its disk keeps what was fsynced and perhaps more.
    pub(super) fn crash(&mut self, index: usize) -> Result<(), String> {
        self.note(|| format!("crash {}", index + 1), (index, 'c'));
        let node = &mut self.nodes[index];
        if node.core.take().is_some() {
            self.summary.crashes += 1;
            node.disk.crash(&mut self.rng)?;
        }
        node.disk_done = None;
        node.proposals.clear();
        let to = node.id;
        for requester in std::mem::take(&mut node.requesters).into_values() {
            let request = Envelope {
                from: requester.id,
                to,
                correlation: requester.correlation,
                message: Message::Failed,
            };
            self.network.refuse(self.now, &mut self.rng, &request);
        }
        Ok(())
    }

    /// Proposes something at a node, whether or not it leads.
    pub(super) fn propose(&mut self, index: usize) -> Result<(), String> {
        self.counter += 1;
        let payload = Bytes::copy_from_slice(&self.counter.to_be_bytes());
        let records = self.rng.random_range(1..=3);
        let now = self.now();
        let node = &mut self.nodes[index];
        let Some(core) = &mut node.core else {
            return Ok(());
        };
        if let Ok(proposed) = core.propose(now, payload.clone(), records) {
            node.proposals.push((proposed, payload));
            self.note(|| format!("propose {proposed:?}"), (index, 'p'));
        }
        self.perform(index)
    }

    /// Lets the core of a node handle something.
    pub(super) fn with_core(
        &mut self,
        index: usize,
        event: impl FnOnce(&mut Quorum, Now),
    ) -> Result<(), String> {
        let now = self.now();
        if let Some(core) = &mut self.nodes[index].core {
            event(core, now);
        }
        self.perform(index)
    }

    /// Lets the next event happen; false if nothing would ever happen again.
    pub(super) fn step(&mut self) -> Result<bool, String> {
        let arrival = self.network.next_arrival().map(|at| (at, Next::Arrival));
        let own = self.nodes.iter().enumerate().flat_map(|(index, node)| {
            let timer = node.core.as_ref().and_then(Quorum::next_timeout);
            let disk = node.disk_done.map(|at| (at, Next::Disk(index)));
            let fate = node.fate.map(|(at, fate)| (at, Next::Fate(index, fate)));
            let timer = timer.map(|at| (at, Next::Timer(index)));
            let events = disk.into_iter().chain(timer).chain(fate);
            events.map(|(at, next)| (at.max(node.paused_until), next))
        });
        let Some((at, next)) = own.chain(arrival).min() else {
            return Ok(false);
        };
        self.now = self.now.max(at);
        self.summary.events += 1;
        self.note(|| format!("{next:?}"), (next, self.now));
        let now = self.now();
        match next {
            Next::Arrival => self.arrive()?,
            Next::Timer(index) => self.with_core(index, Quorum::handle_timeout)?,
            Next::Fate(index, fate) => self.meet_fate(index, fate)?,
            Next::Disk(index) => {
                let node = &mut self.nodes[index];
                node.disk_done = None;
                if let Some(token) = node.disk.complete(&mut self.rng)?
                    && let Some(core) = &mut node.core
                {
                    core.handle_persisted(now, token);
                }
                self.perform(index)?;
            }
        }
        Ok(true)
    }

    /// Judges all logs.
    pub(super) fn check_logs(&mut self) -> Result<(), String> {
        let cores = self.nodes.iter().filter_map(|node| node.core.as_ref());
        for core in cores {
            self.oracle.check_log_matching(core)?;
        }
        Ok(())
    }

    fn arrive(&mut self) -> Result<(), String> {
        let Some(envelope) = self.network.receive() else {
            return Ok(());
        };
        let index = envelope.to.0 as usize - 1;
        let now = self.now();
        let node = &mut self.nodes[index];
        if node.paused_until > now.time {
            self.network.put(node.paused_until, envelope);
            return Ok(());
        }
        let Some(core) = &mut node.core else {
            if matches!(envelope.message, Message::Request(_)) {
                self.network.refuse(now.time, &mut self.rng, &envelope);
            }
            return Ok(());
        };
        let Envelope {
            from,
            correlation,
            message,
            ..
        } = envelope;
        self.counter += 1;
        let counter = self.counter;
        let line = format!("{from}->{} {correlation} {message:?}", node.id);
        match message {
            Message::Request(request) => {
                let vote = match request {
                    Request::Vote(vote) => Some(vote),
                    _ => None,
                };
                let requester = Requester {
                    id: from,
                    correlation,
                    vote,
                };
                node.requesters.insert(counter, requester);
                core.handle_request(now, counter, request);
            }
            Message::Response(response) => core.handle_response(now, from, correlation, response),
            Message::Failed => core.handle_request_failed(now, from, correlation),
        }
        self.note(|| line.clone(), (index, &line));
        self.perform(index)
    }

    /// Performs the effects of a node and judges it.
    fn perform(&mut self, index: usize) -> Result<(), String> {
        let Some(core) = &mut self.nodes[index].core else {
            return Ok(());
        };
        let effects = core.take_effects();
        for effect in effects {
            self.perform_one(index, effect)?;
        }
        let node = &mut self.nodes[index];
        if node.disk_done.is_none() && !node.disk.is_idle() {
            let longest = if self.network.is_calm {
                2
            } else {
                self.plan.fsync_millis
            };
            let micros = self.rng.random_range(0..=longest * 1000);
            node.disk_done = Some(self.now + Duration::from_micros(micros));
        }
        let Some(core) = &node.core else {
            return Ok(());
        };
        if core.high_watermark() < node.high_watermark {
            return Err(format!("{} took its high watermark back", node.id));
        }
        node.high_watermark = core.high_watermark();
        self.oracle.check_leader(core)
    }

    fn perform_one(&mut self, index: usize, effect: Effect) -> Result<(), String> {
        if self.prints {
            println!("{:?}   {}: {effect:?}", self.now, index + 1);
        }
        let node = &mut self.nodes[index];
        let id = node.id;
        match effect {
            Effect::TruncateLog { .. } => {
                self.summary.truncations += 1;
                node.disk.queue(effect);
            }
            Effect::PersistState { .. }
            | Effect::AppendLog { .. }
            | Effect::SaveSnapshot { .. }
            | Effect::RestartLog { .. } => node.disk.queue(effect),
            Effect::Send {
                to,
                correlation,
                request,
            } => {
                self.oracle.check_request(id, &node.disk, &request)?;
                self.send(id, to, correlation, Message::Request(request));
            }
            Effect::Reply { reply_to, response } => {
                let Some(requester) = node.requesters.remove(&reply_to) else {
                    return Err(format!("{id} answered {reply_to} twice, or never asked"));
                };
                let vote = requester.vote.as_ref();
                self.oracle
                    .check_response(id, &node.disk, vote, &response)?;
                let message = Message::Response(response);
                self.send(id, requester.id, requester.correlation, message);
            }
            Effect::LoadSnapshot { snapshot } => {
                self.summary.snapshots_loaded += 1;
                node.applied = self.oracle.check_snapshot(id, &snapshot)?;
            }
            Effect::Committed { batches, upto } => {
                let epoch = node.core.as_ref().map_or(0, Quorum::epoch);
                let applied = &mut node.applied;
                self.oracle
                    .check_committed((id, epoch), applied, &batches, upto)?;
                self.acknowledge(index, upto)?;
            }
            Effect::BecameLeader { .. } => {
                let core = node.core.as_ref().ok_or("a dead node was elected")?;
                self.oracle.check_complete(core)?;
                self.draw_fate(index);
            }
            Effect::LostLeadership { .. } => node.proposals.clear(),
            Effect::LeaderChanged { .. } => {}
            Effect::Halted { .. } => node.disk_done = None,
        }
        Ok(())
    }

    /// Decides whether a freshly elected leader is killed early.
    fn draw_fate(&mut self, index: usize) {
        let dies = self.rng.random_range(0..1000) < self.plan.assassin_permille;
        if dies && !self.network.is_calm {
            let micros = self
                .rng
                .random_range(0..20_000 + self.plan.fsync_millis * 3000);
            let at = self.now + Duration::from_micros(micros);
            self.nodes[index].fate = Some((at, Fate::Dies));
        }
    }

    fn meet_fate(&mut self, index: usize, fate: Fate) -> Result<(), String> {
        self.nodes[index].fate = None;
        match fate {
            Fate::Dies => {
                self.crash(index)?;
                let micros = self.rng.random_range(0..2_000_000);
                let at = self.now + Duration::from_micros(micros);
                self.nodes[index].fate = Some((at, Fate::Returns));
                Ok(())
            }
            Fate::Returns if self.nodes[index].core.is_none() => self.start(index),
            Fate::Returns => Ok(()),
        }
    }

    /// Acknowledges the proposals of a leader that are committed.
    fn acknowledge(&mut self, index: usize, upto: Offset) -> Result<(), String> {
        let proposals = &mut self.nodes[index].proposals;
        for (proposed, payload) in proposals.extract_if(.., |(each, _)| each.end_offset <= upto) {
            self.oracle.acknowledge(proposed, &payload)?;
        }
        Ok(())
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, correlation: Correlation, message: Message) {
        let envelope = Envelope {
            from,
            to,
            correlation,
            message,
        };
        self.network
            .send(self.now, &self.plan, &mut self.rng, envelope);
    }

    /// Adds to the trace.
    fn note(&mut self, line: impl FnOnce() -> String, event: impl Hash) {
        event.hash(&mut self.trace);
        if self.prints {
            println!("{:?} {}", self.now, line());
        }
    }
}
