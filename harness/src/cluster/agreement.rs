//! What the nodes of a cluster agree on, each asked by itself.
//!
//! In: what each node tells that answers. Out: the controller that a majority of all nodes names,
//! itself among them, and the partitions as it and those nodes tell them; or that there is none.
//! Invariant: a node that is cut off from the majority says nothing here. Who is in sync at this
//! moment the active controller says, which decides it; a replica surely has what was acknowledged
//! only if all of the newest leader epoch have it in sync, for the wire does not tell which ISR of
//! an epoch is the newer one. Source: Raft §5.2 (one leader per term, named by a majority),
//! KIP-595.

use std::cmp::Ordering;

use broker::client::{ClusterDescription, PartitionDescription, TopicDescription};
use broker::id::BrokerId;

/// What one node tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The node.
    pub node: BrokerId,
    /// Controller and registered brokers.
    pub cluster: ClusterDescription,
    /// The topics that it knows, of those that it was asked for.
    pub topics: Vec<TopicDescription>,
}

/// What a majority says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The controller, and the brokers that all of the majority have registered.
    pub cluster: ClusterDescription,
    /// The topics that the controller knows.
    pub topics: Vec<AgreedTopic>,
}

/// A topic as a majority tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedTopic {
    /// The topic's name.
    pub name: String,
    /// Its partitions, in order.
    pub partitions: Vec<AgreedPartition>,
}

/// A partition as a majority tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedPartition {
    /// As it is now: by its newest leader epoch, and within that by the active controller.
    pub now: PartitionDescription,
    /// Those in sync by all of the majority that know the newest epoch; none if one of it does not
    /// know the partition.
    pub sure: Vec<BrokerId>,
}

/// Whether the answers of the other nodes may be done without: a majority of the `nodes` names a
/// controller, and that has answered.
pub fn is_enough(told: &[Told], nodes: usize) -> bool {
    controller(told, nodes).is_some()
}

/// What a majority of the `nodes` says.
///
/// # Errors
/// That there is no such majority, and what the nodes say instead.
pub fn agree(told: &[Told], nodes: usize) -> Result<Agreed, String> {
    let Some(controller) = controller(told, nodes) else {
        return Err(dissent(told, nodes));
    };
    let mut agreeing: Vec<&Told> = told
        .iter()
        .filter(|told| told.cluster.controller == Some(controller))
        .collect();
    // It knows first.
    agreeing.sort_by_key(|told| told.node != controller);
    let Some((first, others)) = agreeing.split_first() else {
        return Err(dissent(told, nodes));
    };
    let mut cluster = first.cluster.clone();
    cluster.brokers.retain(|(id, _, _)| {
        let has = |told: &&Told| told.cluster.brokers.iter().any(|broker| broker.0 == *id);
        others.iter().all(has)
    });
    let topics = first.topics.iter();
    let topics = topics.map(|topic| with_others(topic, others)).collect();
    Ok(Agreed { cluster, topics })
}

/// The controller that a majority of the `nodes` names, itself among them: one that does not
/// answer may be dead, and an election is to come.
fn controller(told: &[Told], nodes: usize) -> Option<BrokerId> {
    let named = |id: &BrokerId| {
        let by = told
            .iter()
            .filter(|told| told.cluster.controller == Some(*id));
        by.count() > nodes / 2
    };
    let is_own = |told: &&Told| told.cluster.controller == Some(told.node);
    let mut controllers = told.iter().filter(is_own).map(|told| told.node);
    controllers.find(named)
}

/// `topic`, which the controller tells, with what the others of its majority tell of it.
fn with_others(topic: &TopicDescription, others: &[&Told]) -> AgreedTopic {
    let same = |told: &&Told| -> Vec<PartitionDescription> {
        let mut topics = told.topics.iter();
        let same = topics.find(|other| other.name == topic.name && other.id == topic.id);
        same.map_or_else(Vec::new, |same| same.partitions.clone())
    };
    let others: Vec<Vec<PartitionDescription>> = others.iter().map(same).collect();
    let merged = |first: &PartitionDescription| {
        let told = |partitions: &Vec<PartitionDescription>| {
            let mut partitions = partitions.iter();
            let same = partitions.find(|other| other.partition == first.partition);
            same.cloned()
        };
        merge(first, others.iter().map(told))
    };
    AgreedTopic {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(merged).collect(),
    }
}

fn merge(
    first: &PartitionDescription,
    others: impl Iterator<Item = Option<PartitionDescription>>,
) -> AgreedPartition {
    let mut agreed = AgreedPartition::from(first.clone());
    let mut is_known_to_all = true;
    for other in others {
        let Some(other) = other else {
            is_known_to_all = false;
            continue;
        };
        match other.leader_epoch.cmp(&agreed.now.leader_epoch) {
            Ordering::Less => {}
            Ordering::Greater => agreed = other.into(),
            Ordering::Equal => agreed.sure.retain(|id| other.isr.contains(id)),
        }
    }
    if !is_known_to_all {
        agreed.sure.clear();
    }
    agreed
}

impl From<PartitionDescription> for AgreedPartition {
    fn from(now: PartitionDescription) -> Self {
        let sure = now.isr.clone();
        Self { now, sure }
    }
}

fn dissent(told: &[Told], nodes: usize) -> String {
    let word = |told: &Told| match told.cluster.controller {
        Some(controller) => format!("n{} names n{controller}", told.node),
        None => format!("n{} names none", told.node),
    };
    let words = match told {
        [] => "none answers".to_owned(),
        told => told.iter().map(word).collect::<Vec<_>>().join(", "),
    };
    format!("no active controller is known to a majority of {nodes} nodes: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::id::TopicId;

    /// What `node` tells of a cluster whose partitions have these leader epochs and ISRs.
    fn told(node: i32, controller: Option<i32>, partitions: &[(i32, &[i32])]) -> Told {
        let partition = |(index, (leader_epoch, isr)): (usize, &(i32, &[i32]))| {
            let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
            PartitionDescription {
                partition: index as i32,
                leader: isr.first().copied().map(BrokerId),
                leader_epoch: *leader_epoch,
                replicas: ids(&[1, 2, 3]),
                isr: ids(isr),
                offline: vec![],
            }
        };
        let broker = |id| (BrokerId(id), String::new(), 0);
        Told {
            node: BrokerId(node),
            cluster: ClusterDescription {
                cluster_id: String::new(),
                controller: controller.map(BrokerId),
                brokers: [1, 2, 3].map(broker).into(),
            },
            topics: vec![TopicDescription {
                name: "t".to_owned(),
                id: TopicId::ZERO,
                partitions: partitions.iter().enumerate().map(partition).collect(),
            }],
        }
    }

    /// Leader epoch of each partition that the three nodes agree on, and who surely has a copy.
    fn agreed(told: &[Told]) -> Result<Vec<(i32, Vec<i32>)>, String> {
        let of = |held: &AgreedPartition| {
            let sure = held.sure.iter().map(|id| id.0).collect();
            (held.now.leader_epoch, sure)
        };
        let agreed = agree(told, 3)?;
        Ok(agreed.topics[0].partitions.iter().map(of).collect())
    }

    /// The ISR of each partition at this moment.
    fn isrs(told: &[Told]) -> Vec<Vec<i32>> {
        let of = |held: &AgreedPartition| held.now.isr.iter().map(|id| id.0).collect();
        let agreed = agree(told, 3).unwrap();
        agreed.topics[0].partitions.iter().map(of).collect()
    }

    #[test]
    fn an_isolated_node_that_tells_an_old_isr_is_not_believed() {
        // Node 2 controlled until it was cut off, and goes on to think so for a while.
        let old: &[(i32, &[i32])] = &[(0, &[1, 2, 3])];
        let new: &[(i32, &[i32])] = &[(0, &[1, 3])];
        for isolated in [told(2, Some(2), old), told(2, None, old)] {
            let others = [told(1, Some(3), new), told(3, Some(3), new)];
            let all = [isolated.clone(), others[0].clone(), others[1].clone()];
            assert_eq!(agreed(&all), Ok(vec![(0, vec![1, 3])]));
            let alone = agreed(std::slice::from_ref(&isolated)).unwrap_err();
            assert!(alone.contains("majority of 3 nodes: n2 names"), "{alone}");
            let with_one = agreed(&all[..2]).unwrap_err();
            assert!(with_one.contains("n1 names n3"), "{with_one}");
        }
        assert!(agreed(&[]).unwrap_err().contains("none answers"));
    }

    #[test]
    fn a_replica_surely_has_a_copy_if_all_of_the_newest_epoch_have_it_in_sync() {
        let all = [
            told(1, Some(3), &[(4, &[1, 2, 3]), (4, &[1, 2, 3])]),
            told(3, Some(3), &[(4, &[1, 3]), (5, &[1])]),
        ];
        assert_eq!(agreed(&all), Ok(vec![(4, vec![1, 3]), (5, vec![1])]));
        let swapped = [all[1].clone(), all[0].clone()];
        assert_eq!(agreed(&swapped), agreed(&all));
    }

    #[test]
    fn who_is_in_sync_now_is_what_the_active_controller_says() {
        // Node 1 has not heard yet that node 2 came back and node 1 fell behind; the ISR was never
        // node 3 alone.
        let late = told(1, Some(3), &[(4, &[1, 3]), (5, &[2])]);
        let controls = told(3, Some(3), &[(4, &[2, 3]), (4, &[1, 2])]);
        for all in [[late.clone(), controls.clone()], [controls, late]] {
            assert_eq!(agreed(&all), Ok(vec![(4, vec![3]), (5, vec![2])]));
            assert_eq!(isrs(&all), [vec![2, 3], vec![2]]);
        }
    }

    #[test]
    fn what_only_others_know_of_a_newer_epoch_stands_alone_and_they_narrow_it_together() {
        // The controller was asked before the elections of which the others tell.
        let controls = told(3, Some(3), &[(4, &[1, 2, 3]), (4, &[1, 2, 3])]);
        let one = told(1, Some(3), &[(5, &[2, 1, 3]), (5, &[2, 3])]);
        let other = told(2, Some(3), &[(5, &[2, 3]), (6, &[3, 1])]);
        for all in [
            [controls.clone(), one.clone(), other.clone()],
            [other, one, controls],
        ] {
            assert_eq!(agreed(&all), Ok(vec![(5, vec![2, 3]), (6, vec![3, 1])]));
            let agreed = agree(&all, 3).unwrap();
            let partitions = agreed.topics[0].partitions.iter();
            let leaders: Vec<_> = partitions.map(|held| held.now.leader).collect();
            assert_eq!(leaders, [Some(BrokerId(2)), Some(BrokerId(3))]);
            assert_eq!(isrs(&all)[1], [3, 1]);
        }
    }

    #[test]
    fn nobody_surely_has_a_copy_of_what_one_of_the_majority_does_not_know() {
        let mut behind = told(1, Some(3), &[(0, &[1, 3])]);
        behind.cluster.brokers.pop();
        let all = [behind, told(3, Some(3), &[(0, &[1, 3]), (0, &[1, 3])])];
        assert_eq!(agreed(&all), Ok(vec![(0, vec![1, 3]), (0, vec![])]));
        assert_eq!(isrs(&all), [[1, 3], [1, 3]]);
        let brokers = agree(&all, 3).unwrap().cluster.brokers;
        let ids: Vec<i32> = brokers.iter().map(|broker| broker.0.0).collect();
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn a_controller_that_does_not_answer_is_not_believed_to_control() {
        let followers = [told(1, Some(3), &[]), told(2, Some(3), &[])];
        let dead = agreed(&followers).unwrap_err();
        assert!(dead.contains("n1 names n3, n2 names n3"), "{dead}");
        let [first, second] = followers;
        let resigned = agreed(&[first.clone(), second.clone(), told(3, None, &[])]);
        assert!(resigned.is_err(), "{resigned:?}");
        assert!(agreed(&[first, second, told(3, Some(3), &[])]).is_ok());
    }

    #[test]
    fn answers_are_enough_once_a_majority_names_a_controller_that_has_answered() {
        let answer = |node, controller| told(node, controller, &[]);
        let by_controller = [answer(3, Some(3)), answer(1, Some(3))];
        assert!(!is_enough(&by_controller[..1], 3));
        assert!(is_enough(&by_controller, 3));
        assert!(!is_enough(&[answer(1, Some(3)), answer(2, Some(3))], 3));
        assert!(!is_enough(&[answer(1, None), answer(2, None)], 3));
        assert!(is_enough(&[answer(1, Some(1))], 1));
    }
}
