//! Random lives of a cluster, with a model of every replica's log beside the controller.
//!
//! In: a seed. Out: a panic that names the seed, where a committed record is missing on a replica
//! that may be elected (`kafka.md` §4.1, S7), an invariant of the fixture breaks, or a healed
//! cluster stays without leaders (S23).
//! A broker that restarts uncleanly loses the end of its log wherever another member of ISR or ELR
//! remains: exactly the loss that KIP-966 promises to survive. Directories fail and return with
//! whole logs; single logs are lost where another member remains, and replaced by empty ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use uuid::Uuid;

use super::fixture::{Cluster, DIRECTORY, SESSION, code};
use super::{
    AllocateProducerIds, AlterPartition, AssignReplicas, BrokerHeartbeat, ConfigAlteration,
    ConfigOp, ElectLeaders, ElectionKind, IsrMember, NewTopic, PartitionAlteration,
    ReplicaDirectory, TopicSelector,
};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LOST_DIRECTORY, TopicId};
use crate::metadata::image::MetadataImage;
use crate::metadata::record::ConfigResource;
use crate::offset::{BrokerEpoch, LeaderEpoch, NO_BROKER_EPOCH, ProducerId};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

type Partition = (TopicId, i32);

#[derive(Default)]
struct Process {
    alive: bool,
    stopping: bool,
    /// Whether its directory failed.
    offline: bool,
    /// What its clean-shutdown marker holds.
    marker: Option<BrokerEpoch>,
    /// The epoch of its life before this one.
    earlier_epoch: Option<BrokerEpoch>,
}

struct World {
    cluster: Cluster,
    rng: ChaCha8Rng,
    processes: BTreeMap<i32, Process>,
    logs: BTreeMap<(Partition, BrokerId), Vec<u64>>,
    committed: BTreeMap<Partition, Vec<u64>>,
    /// The leader epoch last seen, and where the leader's log ended when it began.
    epochs: BTreeMap<Partition, (LeaderEpoch, usize)>,
    before: MetadataImage,
    next_record: u64,
    next_topic: u32,
    next_producer_id: ProducerId,
}

fn common_prefix(left: &[u64], right: &[u64]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

fn trusts(partition: &PartitionRegistration, id: BrokerId) -> bool {
    partition.isr.contains(&id) || partition.elr.contains(&id)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = 3 + (rng.next_u32() % 3) as i32;
        let mut world = Self {
            cluster: Cluster::new(),
            rng,
            processes: (1..=count).map(|id| (id, Process::default())).collect(),
            logs: BTreeMap::new(),
            committed: BTreeMap::new(),
            epochs: BTreeMap::new(),
            before: MetadataImage::empty(),
            next_record: 0,
            next_topic: 0,
            next_producer_id: 0,
        };
        for id in 1..=count {
            world.start(id);
        }
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u32() as usize % bound.max(1)
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn any_broker(&mut self) -> i32 {
        1 + self.below(self.processes.len()) as i32
    }

    fn process(&mut self, id: i32) -> &mut Process {
        self.processes.get_mut(&id).unwrap()
    }

    fn partitions(&self) -> Vec<(Partition, PartitionRegistration)> {
        let mut all = Vec::new();
        for topic in self.cluster.image().topics().iter() {
            all.extend(
                topic
                    .partitions()
                    .map(|(i, p)| ((topic.id(), i), p.as_ref().clone())),
            );
        }
        all
    }

    fn overrides(&self, topic_id: TopicId, key: &str) -> Option<&String> {
        let name = self.cluster.image().topics().get(topic_id)?.name();
        self.cluster.image().configs().of_topic(name).get(key)
    }

    fn log(&mut self, partition: Partition, id: BrokerId) -> &mut Vec<u64> {
        self.logs.entry((partition, id)).or_default()
    }

    /// Checks what the last decision did to the leaders, and that nobody trusted lacks a record.
    fn observe(&mut self) {
        for (key, now) in self.partitions() {
            let seen = self.epochs.get(&key).map(|(epoch, _)| *epoch);
            if let (true, Some(leader)) = (seen != Some(now.leader_epoch), now.leader) {
                let earlier = self.before.topics().partition(key.0, key.1).cloned();
                if earlier.is_some_and(|earlier| !trusts(&earlier, leader)) {
                    self.lose_uncleanly(key, leader, &now);
                }
                let end = self.log(key, leader).len();
                self.epochs.insert(key, (now.leader_epoch, end));
            }
            let committed = self.committed.entry(key).or_default().clone();
            for id in now.isr.iter().chain(&now.elr) {
                let log = self.log(key, *id);
                assert!(
                    log.starts_with(&committed),
                    "broker {id} lacks records of {key:?}"
                );
            }
        }
        self.before = self.cluster.image().clone();
    }

    fn lose_uncleanly(&mut self, key: Partition, leader: BrokerId, now: &PartitionRegistration) {
        let allowed = self.overrides(key.0, "unclean.leader.election.enable");
        assert!(
            allowed.is_some_and(|value| value == "true"),
            "an unclean election: {now:?}"
        );
        assert_eq!(now.leader_recovery_state, LeaderRecoveryState::Recovering);
        let log = self.log(key, leader).clone();
        let committed = self.committed.entry(key).or_default();
        committed.truncate(common_prefix(committed, &log));
    }

    fn start(&mut self, id: i32) {
        if self.process(id).alive {
            return;
        }
        let registered = self.cluster.image().brokers().epoch(BrokerId(id));
        let marker = self.process(id).marker.unwrap_or(NO_BROKER_EPOCH);
        if let Err(refusal) = self.cluster.register(id, marker) {
            assert_eq!(refusal.code, ErrorCode::DuplicateBrokerRegistration);
            return;
        }
        if Some(marker) != registered {
            self.lose_log_ends(BrokerId(id));
        }
        *self.process(id) = Process {
            alive: true,
            earlier_epoch: registered,
            ..Process::default()
        };
    }

    fn lose_log_ends(&mut self, id: BrokerId) {
        for topic in self.before.clone().topics().iter() {
            for (index, partition) in topic.partitions() {
                let mut others = partition.replicas.iter().filter(|other| **other != id);
                if others.any(|other| trusts(partition, *other)) {
                    let end = self.log((topic.id(), index), id).len();
                    let kept = self.below(end + 1);
                    self.log((topic.id(), index), id).truncate(kept);
                }
            }
        }
    }

    fn beat(&mut self, id: i32) {
        let process = self.process(id);
        if !process.alive {
            return;
        }
        let (wants_shutdown, offline) = (process.stopping, process.offline);
        let behind = self.below(4) as i64 / 3;
        let mut request = self.cluster.heartbeat_of(id);
        request = BrokerHeartbeat {
            wants_shutdown,
            metadata_offset: request.metadata_offset - behind,
            offline_directories: Vec::from(&[DIRECTORY][..usize::from(offline)]),
            ..request
        };
        let broker_epoch = request.broker_epoch;
        if self.cluster.heartbeat(request).unwrap().should_shut_down {
            let marker = Some(broker_epoch);
            *self.process(id) = Process {
                marker,
                ..Process::default()
            };
        }
    }

    /// Whether the replicas of the broker can do anything.
    fn works(&self, id: BrokerId) -> bool {
        let process = &self.processes[&id.0];
        process.alive && !process.offline
    }

    /// A broker reports the directory of a random replica: lost with its log, where somebody else
    /// is trusted; or empty again where it was lost.
    fn assign(&mut self) {
        let partitions = self.partitions();
        let chosen = self.below(partitions.len());
        let Some((key, partition)) = partitions.get(chosen) else {
            return;
        };
        let index = self.below(partition.replicas.len());
        let id = partition.replicas[index];
        if !self.processes[&id.0].alive {
            return;
        }
        let is_lost = partition.directory_of(id) == LOST_DIRECTORY;
        let mut others = partition.replicas.iter().filter(|other| **other != id);
        if is_lost {
            self.report(*key, id, DIRECTORY);
        } else if others.any(|other| trusts(partition, *other)) {
            self.log(*key, id).clear();
            self.report(*key, id, LOST_DIRECTORY);
        }
    }

    fn report(&mut self, key: Partition, id: BrokerId, directory: Uuid) {
        let replica = ReplicaDirectory {
            directory,
            topic_id: key.0,
            partition: key.1,
        };
        let request = AssignReplicas {
            broker_id: id,
            broker_epoch: self.cluster.epoch(id.0),
            replicas: vec![replica],
        };
        let next_offset = self.cluster.next_offset;
        let controller = &mut self.cluster.controller;
        let decision = controller.handle_assign_replicas(next_offset, request);
        let answers = self.cluster.take(decision).unwrap();
        assert_eq!(answers, [(replica, Ok(()))]);
    }

    /// Leaders append, followers fetch, and what all of the ISR has is committed.
    fn replicate(&mut self, all: bool) {
        for (key, partition) in self.partitions() {
            let Some(leader) = partition.leader.filter(|id| self.works(*id)) else {
                continue;
            };
            for _ in 0..self.below(3) {
                self.next_record += 1;
                let record = self.next_record;
                self.log(key, leader).push(record);
            }
            let leaders = self.log(key, leader).clone();
            for id in partition.replicas.iter().filter(|id| **id != leader) {
                if self.works(*id) && (all || self.one_in(2)) {
                    let shared = common_prefix(self.log(key, *id), &leaders);
                    let more = self.below(leaders.len() - shared + 1);
                    let end = if all { leaders.len() } else { shared + more };
                    *self.log(key, *id) = leaders[..end].to_vec();
                }
            }
            self.commit(key, &partition, &leaders);
        }
    }

    fn commit(&mut self, key: Partition, partition: &PartitionRegistration, leaders: &[u64]) {
        let min_isr = self.overrides(key.0, "min.insync.replicas");
        let min_isr = min_isr.map_or(1, |value| value.parse().unwrap());
        if partition.isr.len() < partition.replicas.len().min(min_isr) {
            return;
        }
        let isr = partition.isr.iter();
        let everywhere = isr
            .map(|id| common_prefix(self.log(key, *id), leaders))
            .min()
            .unwrap();
        let committed = self.committed.entry(key).or_default();
        assert!(leaders.starts_with(committed));
        if everywhere > committed.len() {
            *committed = leaders[..everywhere].to_vec();
        }
    }

    /// The leader of a random partition asks for a random ISR that it could ask for.
    fn alter_isr(&mut self, widest: bool) {
        let partitions = self.partitions();
        if partitions.is_empty() {
            return;
        }
        let first = self.below(partitions.len());
        let chosen = if widest {
            &partitions[..]
        } else {
            &partitions[first..=first]
        };
        for (key, partition) in chosen {
            let Some(leader) = partition.leader.filter(|id| self.works(*id)) else {
                continue;
            };
            let (isr, is_stale) = self.wanted_isr(*key, partition, leader, widest);
            let request = AlterPartition {
                broker_id: leader,
                broker_epoch: self.cluster.epoch(leader.0),
                alterations: vec![PartitionAlteration {
                    topic_id: key.0,
                    partition: key.1,
                    leader_epoch: partition.leader_epoch,
                    partition_epoch: partition.partition_epoch,
                    isr,
                    recovery_state: LeaderRecoveryState::Recovered,
                }],
            };
            let refusal = code(self.cluster.alter(request));
            assert!(refusal.is_none() || refusal == Some(ErrorCode::IneligibleReplica));
            assert!(
                !is_stale || refusal.is_some(),
                "an earlier life entered the ISR"
            );
            self.observe();
        }
    }

    fn wanted_isr(
        &mut self,
        key: Partition,
        partition: &PartitionRegistration,
        leader: BrokerId,
        widest: bool,
    ) -> (Vec<IsrMember>, bool) {
        let leaders = self.log(key, leader).clone();
        let (_, epoch_start) = self.epochs[&key];
        let needed = epoch_start.max(self.committed[&key].len());
        let (mut isr, mut is_stale) = (Vec::new(), false);
        for id in &partition.replicas {
            let log = self.log(key, *id).clone();
            let caught_up = log.len() >= needed && leaders.starts_with(&log);
            let may_stay = partition.isr.contains(id) || caught_up;
            if *id == leader || (may_stay && (widest || self.one_in(2))) {
                let mut broker_epoch = self.cluster.epoch(id.0);
                if *id != leader && !widest && self.one_in(10) {
                    broker_epoch = self.processes[&id.0]
                        .earlier_epoch
                        .unwrap_or(NO_BROKER_EPOCH);
                    is_stale = true;
                }
                isr.push(IsrMember {
                    broker_id: *id,
                    broker_epoch,
                });
            }
        }
        (isr, is_stale)
    }

    fn create_topic(&mut self) {
        self.next_topic += 1;
        let min_isr = (1 + self.below(3)).to_string();
        let unclean = self.one_in(4).to_string();
        let set = |key: &str, value| (key.to_owned(), Some(value));
        let topic = NewTopic {
            name: format!("t{}", self.next_topic),
            partitions: 1 + self.below(2) as i32,
            replication_factor: 1 + self.below(3) as i16,
            assignments: Vec::new(),
            configs: vec![
                set("min.insync.replicas", min_isr),
                set("unclean.leader.election.enable", unclean),
            ],
        };
        let refusal = code(self.cluster.create(topic));
        assert!(refusal.is_none() || refusal == Some(ErrorCode::InvalidReplicationFactor));
    }

    fn any_topic(&mut self) -> Option<String> {
        let names: Vec<String> = self
            .cluster
            .image()
            .topics()
            .iter()
            .map(|topic| topic.name().to_string())
            .collect();
        let chosen = self.below(names.len());
        names.get(chosen).cloned()
    }

    fn delete_topic(&mut self) {
        let Some(name) = self.any_topic() else { return };
        let selector = [TopicSelector::Name(name)];
        let next_offset = self.cluster.next_offset;
        let decision = self
            .cluster
            .controller
            .handle_delete_topics(next_offset, &selector);
        assert!(self.cluster.take(decision)[0].is_ok());
    }

    fn configure(&mut self) {
        let Some(name) = self.any_topic() else { return };
        let min_isr = (1 + self.below(3)).to_string();
        let ops = vec![(
            "min.insync.replicas".to_owned(),
            ConfigOp::Set(Some(min_isr)),
        )];
        let alteration = [ConfigAlteration {
            resource: ConfigResource::Topic(name.into()),
            ops,
        }];
        let next_offset = self.cluster.next_offset;
        let controller = &mut self.cluster.controller;
        let decision = controller.handle_incremental_alter_configs(next_offset, &alteration, false);
        assert_eq!(self.cluster.take(decision), [Ok(())]);
    }

    fn elect_preferred(&mut self) {
        let request = ElectLeaders {
            kind: ElectionKind::Preferred,
            partitions: None,
        };
        let next_offset = self.cluster.next_offset;
        let decision = self
            .cluster
            .controller
            .handle_elect_leaders(next_offset, request);
        self.cluster.take(decision);
    }

    fn allocate_producer_ids(&mut self) {
        let id = self.any_broker();
        let broker_epoch = self.cluster.epoch(id);
        let request = AllocateProducerIds {
            broker_id: BrokerId(id),
            broker_epoch,
        };
        let next_offset = self.cluster.next_offset;
        let decision = self
            .cluster
            .controller
            .handle_allocate_producer_ids(next_offset, request);
        let block = self.cluster.take(decision).unwrap();
        assert_eq!(block.first, self.next_producer_id);
        self.next_producer_id += i64::from(block.count);
    }

    /// Lets time pass; an observation follows every single decision.
    fn advance(&mut self, wait: Duration) {
        self.cluster.now.time = self.cluster.now.time + wait;
        while self.cluster.handle_timeout() {
            self.observe();
        }
    }

    fn step(&mut self) {
        let id = self.any_broker();
        match self.below(43) {
            0 => *self.process(id) = Process::default(),
            1 => self.process(id).stopping = self.processes[&id].alive,
            2..=5 => self.start(id),
            6 if self.cluster.image().topics().iter().count() < 4 => self.create_topic(),
            7 if self.one_in(3) => self.delete_topic(),
            8 => self.configure(),
            9 => self.elect_preferred(),
            10 => self.allocate_producer_ids(),
            11 if self.one_in(3) => self.cluster.fail_over(),
            12 => self.cluster.check_snapshot(),
            13..=19 => self.alter_isr(false),
            20..=23 => {
                let half = SESSION.as_millis() as usize / 2;
                let wait = Duration::from_millis(self.below(half) as u64);
                self.advance(wait);
            }
            24..=27 => self.replicate(false),
            40..=41 => self.process(id).offline = !self.processes[&id].offline,
            42 => self.assign(),
            _ => self.beat(id),
        }
        self.observe();
    }

    /// Everyone returns; then every partition has a leader, and a full ISR.
    fn heal(&mut self) {
        let count = self.processes.len() as i32;
        for process in self.processes.values_mut() {
            process.offline = false;
        }
        for _ in 0..16 {
            for id in (1..=count).chain(1..=count) {
                self.start(id);
                self.observe();
                self.beat(id);
                self.observe();
            }
            for (key, partition) in self.partitions() {
                for id in &partition.replicas {
                    if partition.directory_of(*id) == LOST_DIRECTORY {
                        self.report(key, *id, DIRECTORY);
                    }
                }
            }
            self.replicate(true);
            self.alter_isr(true);
            self.advance(SESSION / 3);
        }
        for (key, partition) in self.partitions() {
            let sorted = |ids: &[BrokerId]| ids.iter().copied().collect::<BTreeSet<_>>();
            assert!(
                partition.leader.is_some(),
                "{key:?} has no leader: {partition:?}"
            );
            assert_eq!(
                sorted(&partition.isr),
                sorted(&partition.replicas),
                "{key:?}"
            );
        }
    }
}

#[test]
fn kip966_no_committed_record_is_lost_in_random_lives_of_a_cluster() {
    for seed in 0..150 {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.step();
            }
            world.heal();
        });
        assert!(
            result.is_ok(),
            "REPRODUCE: World::new({seed}), 400 steps, heal"
        );
    }
}
