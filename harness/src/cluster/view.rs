//! What is known of the cluster: controller, live brokers, and each partition's leader and ISR.
//!
//! In: answers of any broker, which may be out of date. Out: questions that targets and waits ask.
//! Invariant: a view never goes back: for each partition the newest leader epoch stands.

use broker::client::{ClusterDescription, PartitionDescription, TopicDescription};
use broker::id::BrokerId;

use crate::nemesis::{ClusterState, PartitionState};
use crate::plan::Plan;

/// What is known of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The active controller.
    pub controller: Option<BrokerId>,
    /// The registered brokers that are not fenced.
    pub brokers: Vec<BrokerId>,
    /// The partitions of the plan's topic; empty before it exists.
    pub partitions: Vec<PartitionDescription>,
}

impl View {
    /// Takes in an answer; an answer about a partition with an older epoch is dropped.
    pub fn update(&mut self, cluster: ClusterDescription, topic: Option<TopicDescription>) {
        self.controller = cluster.controller;
        self.brokers = cluster.brokers.into_iter().map(|(id, _, _)| id).collect();
        let Some(topic) = topic else { return };
        for fresh in topic.partitions {
            let known = self
                .partitions
                .iter_mut()
                .find(|known| known.partition == fresh.partition);
            match known {
                Some(known) if known.leader_epoch > fresh.leader_epoch => {}
                Some(known) => *known = fresh,
                None => self.partitions.push(fresh),
            }
        }
        self.partitions.sort_by_key(|partition| partition.partition);
    }

    /// The indexes of the partitions that fit.
    pub fn partitions_where(&self, fits: impl Fn(&PartitionDescription) -> bool) -> Vec<i32> {
        let fitting = self.partitions.iter().filter(|partition| fits(partition));
        fitting.map(|partition| partition.partition).collect()
    }

    /// The partition with index `index`.
    pub fn partition(&self, index: i32) -> Option<&PartitionDescription> {
        self.partitions
            .iter()
            .find(|partition| partition.partition == index)
    }

    /// Whether the controller and the leader of every partition are known.
    pub fn has_all_leaders(&self) -> bool {
        self.controller.is_some() && self.partitions.iter().all(|p| p.leader.is_some())
    }

    /// The same as the nemesis wants it.
    pub fn state(&self, topic: &str, nodes: Vec<BrokerId>) -> ClusterState {
        let partition = |partition: &PartitionDescription| PartitionState {
            topic: topic.to_owned(),
            partition: partition.partition,
            leader: partition.leader,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            offline: partition.offline.clone(),
        };
        let partitions = self.partitions.iter().map(partition).collect();
        ClusterState {
            nodes,
            controller: self.controller,
            registered: self.brokers.clone(),
            partitions,
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
    pub fn complaint(&self, plan: &Plan) -> Option<String> {
        if let Some(missing) = self.missing_nodes(plan) {
            return Some(missing);
        }
        if self.partitions.len() != plan.cluster.partitions as usize {
            let known = self.partitions.len();
            return Some(format!(
                "{known} of {} partitions exist",
                plan.cluster.partitions
            ));
        }
        self.partitions.iter().find_map(|partition| {
            let index = partition.partition;
            if partition.leader.is_none() {
                return Some(format!("partition {index} has no leader"));
            }
            let wanted = plan.cluster.replication_factor as usize;
            let found = partition.isr.len();
            (found != wanted)
                .then(|| format!("partition {index} has {found} of {wanted} replicas in sync"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::id::TopicId;

    fn cluster(ids: &[i32]) -> ClusterDescription {
        let broker = |&id| (BrokerId(id), "127.0.1.1".to_owned(), 9092);
        ClusterDescription {
            cluster_id: "verdict".to_owned(),
            controller: Some(BrokerId(1)),
            brokers: ids.iter().map(broker).collect(),
        }
    }

    fn topic(leader_epoch: i32, leader: i32, isr: &[i32]) -> TopicDescription {
        let partition = |partition| PartitionDescription {
            partition,
            leader: Some(BrokerId(leader)),
            leader_epoch,
            replicas: vec![BrokerId(1), BrokerId(2), BrokerId(3)],
            isr: isr.iter().map(|&id| BrokerId(id)).collect(),
            offline: vec![],
        };
        let partitions = (0..6).map(partition).collect();
        TopicDescription {
            name: "t".to_owned(),
            id: TopicId::ZERO,
            partitions,
        }
    }

    #[test]
    fn an_older_leader_epoch_never_replaces_a_newer_one() {
        let mut view = View::default();
        view.update(cluster(&[1, 2, 3]), Some(topic(4, 2, &[2, 3])));
        view.update(cluster(&[1, 2, 3]), Some(topic(3, 1, &[1, 2, 3])));
        assert_eq!(view.partition(5).and_then(|p| p.leader), Some(BrokerId(2)));
        view.update(cluster(&[1, 2, 3]), Some(topic(4, 2, &[1, 2, 3])));
        assert_eq!(view.partition(5).map(|p| p.isr.len()), Some(3));
    }

    #[test]
    fn what_is_missing_is_named() {
        let plan = Plan::draw(1, &crate::plan::profile::PROFILES[0]);
        let complaint = |ids: &[i32], topic| {
            let mut view = View::default();
            view.update(cluster(ids), topic);
            view.complaint(&plan).unwrap_or_default()
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
}
