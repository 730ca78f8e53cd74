//! What is known of the cluster: controller, live brokers, and each partition's leader and ISR.
//!
//! In: what a majority of the nodes says. Out: questions that targets and waits ask.
//! Invariant: a view never goes back: for each partition the newest leader epoch stands. Nobody
//! surely has a copy of what the last answer does not tell of.

use std::collections::BTreeMap;

use broker::broker::OFFSETS_TOPIC;
use broker::client::{ClusterDescription, PartitionDescription};
use broker::id::BrokerId;

use crate::cluster::agreement::{AgreedPartition, AgreedTopic};
use crate::nemesis::{ClusterState, PartitionState};
use crate::plan::{Plan, TopicPlan};

/// What is known of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The active controller.
    pub controller: Option<BrokerId>,
    /// The registered brokers that are not fenced.
    pub brokers: Vec<BrokerId>,
    /// The partitions of the plan's own topic; empty before it exists.
    pub partitions: Vec<AgreedPartition>,
    /// Those of its further topics.
    pub further: BTreeMap<String, Vec<AgreedPartition>>,
    /// Those of the topic of the groups' offsets; empty before it exists, and if nobody asks.
    pub offsets: Vec<AgreedPartition>,
}

/// What keeps a cluster from being whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The first thing that is missing, in words.
    pub reason: String,
    /// The partitions without a leader, if nothing else is missing.
    pub silent: Vec<Silent>,
}

/// What topics lack that are not whole, by their names.
pub type Missing = BTreeMap<String, Lack>;

/// A partition without a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// The nodes of its replicas, as `n2`.
    pub replicas: Vec<String>,
}

impl Lack {
    /// Whether anything is missing beside leaders of partitions.
    pub fn is_more_than_silence(&self) -> bool {
        self.silent.is_empty()
    }

    /// Something else is missing, too.
    pub fn add(&mut self, reason: &str) {
        if !self.reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(reason);
        self.silent.clear();
    }

    /// A partition without a leader is missing, too.
    pub fn add_silence(&mut self, reason: &str, silent: Silent) {
        let is_only_silence = self.reason.is_empty() || !self.is_more_than_silence();
        let mut known = std::mem::take(&mut self.silent);
        self.add(reason);
        if is_only_silence {
            known.push(silent);
            self.silent = known;
        }
    }

    /// Whether this partition is one without a leader.
    pub fn is_silent(&self, partition: i32) -> bool {
        self.silent(partition).is_some()
    }

    /// This partition, if it is one without a leader.
    pub fn silent(&self, partition: i32) -> Option<&Silent> {
        let mut silent = self.silent.iter();
        silent.find(|silent| silent.partition == partition)
    }
}

impl From<String> for Lack {
    fn from(reason: String) -> Self {
        let silent = Vec::new();
        Self { reason, silent }
    }
}

impl View {
    /// Takes in an answer, whose topics are the plan's `own` and further ones; an answer about a
    /// partition with an older epoch is dropped.
    pub fn update(&mut self, cluster: ClusterDescription, topics: Vec<AgreedTopic>, own: &str) {
        self.controller = cluster.controller;
        self.brokers = cluster.brokers.into_iter().map(|(id, _, _)| id).collect();
        let further = self.further.values_mut().flatten();
        let partitions = self.partitions.iter_mut().chain(&mut self.offsets);
        for partition in partitions.chain(further) {
            partition.sure.clear();
        }
        for topic in topics {
            let known = match topic.name.as_str() {
                name if name == own => &mut self.partitions,
                OFFSETS_TOPIC => &mut self.offsets,
                _ => self.further.entry(topic.name).or_default(),
            };
            take_in(known, topic.partitions);
        }
    }

    /// The indexes of the partitions that fit.
    pub fn partitions_where(&self, fits: impl Fn(&PartitionDescription) -> bool) -> Vec<i32> {
        let partitions = self.partitions.iter().map(|held| &held.now);
        let fitting = partitions.filter(|partition| fits(partition));
        fitting.map(|partition| partition.partition).collect()
    }

    /// The partition with index `index`.
    pub fn partition(&self, index: i32) -> Option<&PartitionDescription> {
        let mut partitions = self.partitions.iter().map(|held| &held.now);
        partitions.find(|partition| partition.partition == index)
    }

    /// Whether the controller and the leader of every partition are known.
    pub fn has_all_leaders(&self) -> bool {
        let further = self.further.values().flatten();
        let partitions = self.partitions.iter().chain(&self.offsets);
        let mut partitions = partitions.chain(further);
        self.controller.is_some() && partitions.all(|held| held.now.leader.is_some())
    }

    /// The same as the nemesis wants it.
    pub fn state(&self, topic: &str, nodes: Vec<BrokerId>) -> ClusterState {
        let further = self.further.iter();
        let further = further.flat_map(|(topic, partitions)| states(topic, partitions));
        let offsets = states(OFFSETS_TOPIC, &self.offsets);
        let partitions = states(topic, &self.partitions).chain(further);
        ClusterState {
            nodes,
            controller: self.controller,
            registered: self.brokers.clone(),
            partitions: partitions.chain(offsets).collect(),
        }
    }

    /// Which node is not registered, if any, or that no controller is known.
    pub fn missing_nodes(&self, plan: &Plan) -> Option<String> {
        let missing: Vec<String> = (1..=plan.cluster.nodes as i32)
            .filter(|&id| !self.brokers.contains(&BrokerId(id)))
            .map(|id| format!("n{id}"))
            .collect();
        match (missing.is_empty(), self.controller) {
            (true, Some(_)) => None,
            (true, None) => Some("no active controller is known".to_owned()),
            (false, _) => Some(format!("{} not registered", missing.join(" and "))),
        }
    }

    /// What keeps the cluster from being whole: all nodes, all leaders, all replicas in sync.
    pub fn lack(&self, plan: &Plan) -> Option<Lack> {
        self.lacks(plan).into_values().next()
    }

    /// What each topic lacks that is not whole, by its name; a missing node they all lack.
    pub fn lacks(&self, plan: &Plan) -> Missing {
        let missing = self.missing_nodes(plan);
        let lack = |topic: &TopicPlan| match &missing {
            Some(missing) => Some(missing.clone().into()),
            None if topic.name == plan.cluster.topic => lack_of(topic, &self.partitions),
            None => {
                let known = self.further.get(&topic.name);
                lack_of(topic, known.map_or(&[], Vec::as_slice))
            }
        };
        let topics = plan.topics().into_iter();
        topics
            .filter_map(|topic| Some((topic.name.clone(), lack(&topic)?)))
            .collect()
    }
}

/// What a topic lacks of which these partitions are known.
fn lack_of(topic: &TopicPlan, partitions: &[AgreedPartition]) -> Option<Lack> {
    let (known, of) = (partitions.len(), topic.partitions);
    if known != of as usize {
        return Some(format!("{known} of {of} partitions exist").into());
    }
    let wanted = topic.replication_factor as usize;
    let is_short = |p: &&AgreedPartition| p.now.leader.is_some() && p.sure.len() != wanted;
    if let Some(short) = partitions.iter().find(is_short) {
        let (index, found) = (short.now.partition, short.sure.len());
        let reason = format!("partition {index} has {found} of {wanted} replicas in sync");
        return Some(reason.into());
    }
    let partitions = partitions.iter().map(|held| &held.now);
    let leaderless = partitions.filter(|partition| partition.leader.is_none());
    let silent = leaderless.map(|partition| Silent {
        topic: topic.name.clone(),
        partition: partition.partition,
        replicas: partition
            .replicas
            .iter()
            .map(|id| format!("n{id}"))
            .collect(),
    });
    let silent: Vec<Silent> = silent.collect();
    let index = silent.first()?.partition;
    let reason = format!("partition {index} has no leader");
    Some(Lack { reason, silent })
}

fn take_in(partitions: &mut Vec<AgreedPartition>, answer: Vec<AgreedPartition>) {
    for fresh in answer {
        let mut all = partitions.iter_mut();
        match all.find(|known| known.now.partition == fresh.now.partition) {
            Some(known) if known.now.leader_epoch > fresh.now.leader_epoch => {}
            Some(known) => *known = fresh,
            None => partitions.push(fresh),
        }
    }
    partitions.sort_by_key(|partition| partition.now.partition);
}

fn states(topic: &str, partitions: &[AgreedPartition]) -> impl Iterator<Item = PartitionState> {
    partitions.iter().map(move |held| PartitionState {
        topic: topic.to_owned(),
        partition: held.now.partition,
        leader: held.now.leader,
        replicas: held.now.replicas.clone(),
        isr: held.now.isr.clone(),
        sure: held.sure.clone(),
        offline: held.now.offline.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(ids: &[i32]) -> ClusterDescription {
        let broker = |&id| (BrokerId(id), "127.0.1.1".to_owned(), 9092);
        ClusterDescription {
            cluster_id: "verdict".to_owned(),
            controller: Some(BrokerId(1)),
            brokers: ids.iter().map(broker).collect(),
        }
    }

    fn topic(leader_epoch: i32, leader: i32, isr: &[i32]) -> AgreedTopic {
        let partition = |partition| PartitionDescription {
            partition,
            leader: Some(BrokerId(leader)),
            leader_epoch,
            replicas: vec![BrokerId(1), BrokerId(2), BrokerId(3)],
            isr: isr.iter().map(|&id| BrokerId(id)).collect(),
            offline: vec![],
        };
        AgreedTopic {
            name: "t".to_owned(),
            partitions: (0..6).map(partition).map(AgreedPartition::from).collect(),
        }
    }

    fn update(view: &mut View, ids: &[i32], topic: Option<AgreedTopic>) {
        view.update(cluster(ids), topic.into_iter().collect(), "t");
    }

    #[test]
    fn an_older_leader_epoch_never_replaces_a_newer_one() {
        let mut view = View::default();
        let leader = |view: &View| view.partition(5).and_then(|p| p.leader);
        update(&mut view, &[1, 2, 3], Some(topic(4, 2, &[2, 3])));
        update(&mut view, &[1, 2, 3], Some(topic(3, 1, &[1, 2, 3])));
        assert_eq!(leader(&view), Some(BrokerId(2)));
        update(&mut view, &[1, 2, 3], Some(topic(4, 2, &[1, 2, 3])));
        assert_eq!(view.partition(5).map(|p| p.isr.len()), Some(3));
    }

    #[test]
    fn nobody_surely_has_a_copy_of_what_the_last_answer_does_not_tell_of() {
        let sure = |view: &View| -> Vec<usize> {
            let state = view.state("t", vec![]);
            let partitions = state.partitions.iter().map(|held| held.sure.len());
            partitions.collect()
        };
        for (own, name) in [("t", "t"), ("t", "u"), ("t", OFFSETS_TOPIC)] {
            let mut view = View::default();
            let answers = [Some(topic(4, 2, &[2, 3])), None, Some(topic(3, 1, &[1]))];
            let wanted = [2, 0, 0];
            for (answer, wanted) in answers.into_iter().zip(wanted) {
                let name = name.to_owned();
                let answer = answer.map(|topic| AgreedTopic { name, ..topic });
                view.update(cluster(&[1, 2, 3]), answer.into_iter().collect(), own);
                assert_eq!(sure(&view), [wanted; 6]);
            }
        }
    }

    #[test]
    fn the_leaders_of_offsets_are_waited_for_and_told_but_are_nothing_that_is_lacked() {
        let plan = Plan::draw(1, &crate::plan::profile::PROFILES[0]);
        let own = AgreedTopic {
            name: plan.cluster.topic.clone(),
            ..topic(1, 1, &[1, 2, 3])
        };
        let mut offsets = AgreedTopic {
            name: OFFSETS_TOPIC.to_owned(),
            ..topic(1, 1, &[1])
        };
        offsets.partitions[2].now.leader = None;
        let mut view = View::default();
        view.update(cluster(&[1, 2, 3]), vec![own, offsets], &plan.cluster.topic);
        assert!(!view.has_all_leaders());
        assert_eq!(view.lack(&plan), None);
        let state = view.state(&plan.cluster.topic, vec![]);
        let of_offsets = |held: &&PartitionState| held.topic == OFFSETS_TOPIC;
        let leaders = state.partitions.iter().filter(of_offsets);
        let leaders: Vec<bool> = leaders.map(|held| held.leader.is_some()).collect();
        assert_eq!(leaders, [true, true, false, true, true, true]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let plan = Plan::draw(1, &crate::plan::profile::PROFILES[0]);
        let complaint = |ids: &[i32], topic| {
            let mut view = View::default();
            update(&mut view, ids, topic);
            view.lack(&plan).map_or(String::new(), |lack| lack.reason)
        };
        assert_eq!(complaint(&[1], None), "n2 and n3 not registered");
        assert_eq!(complaint(&[1, 2, 3], None), "0 of 6 partitions exist");
        let lagging = Some(topic(1, 1, &[1, 2]));
        assert_eq!(
            complaint(&[1, 2, 3], lagging),
            "partition 0 has 2 of 3 replicas in sync"
        );
        assert_eq!(complaint(&[1, 2, 3], Some(topic(1, 1, &[1, 2, 3]))), "");
    }

    #[test]
    fn partitions_without_a_leader_are_told_apart_only_if_nothing_else_is_missing() {
        let plan = Plan::draw(1, &crate::plan::profile::PROFILES[0]);
        let silent = |ids: &[i32], change: fn(&mut Vec<AgreedPartition>)| {
            let mut topic = topic(1, 1, &[1, 2, 3]);
            change(&mut topic.partitions);
            let mut view = View::default();
            update(&mut view, ids, Some(topic));
            let silent = view.lack(&plan).expect("a lack").silent;
            silent
                .iter()
                .map(|silent| silent.partition)
                .collect::<Vec<_>>()
        };
        let headless = |partitions: &mut Vec<AgreedPartition>| {
            partitions[4].now.leader = None;
            partitions[4].sure = vec![BrokerId(2)];
        };
        let also_short = |partitions: &mut Vec<AgreedPartition>| {
            partitions[4].now.leader = None;
            partitions[4].sure = vec![BrokerId(2)];
            partitions[1].sure.pop();
        };
        assert_eq!(silent(&[1, 2, 3], headless), [4]);
        assert!(silent(&[1, 2, 3], also_short).is_empty());
        assert!(silent(&[1, 2], headless).is_empty());
    }
}
