//! Which further topics of a plan make no sense.
//!
//! In: a plan. Out: the first field of its topics that cannot be run, with the remedy.
//! Invariant: what passes here the brokers create, and some producer worker serves.

use crate::plan::validate::{Complaint, is_name, out_of_range, range};
use crate::plan::{Plan, TopicPlan};
use crate::worker::protocol::Acks;

/// More in-sync replicas than nodes may be asked for; all copies count then.
const MIN_ISR_MAX: u64 = 9;
/// So many topics that looking at them would be the load of the run.
const TOPICS_MAX: usize = 100;

/// The first field that cannot be run.
pub(super) fn complaint(plan: &Plan) -> Option<Complaint> {
    let further = &plan.cluster.further_topics;
    if further.is_empty() {
        return None;
    }
    if plan.workload.group.is_some() {
        let remedy = "members of a group read one topic; remove workload.group or the topics";
        let field = "cluster.further_topics";
        return Some(Complaint::new(field, further.len(), remedy));
    }
    if further.len() > TOPICS_MAX {
        let remedy = format!("name at most {TOPICS_MAX}");
        return Some(Complaint::new(
            "cluster.further_topics",
            further.len(),
            remedy,
        ));
    }
    let ways = plan.ways_to_send().len();
    if (plan.workload.producers as usize) < ways {
        let remedy = format!("the topics are sent to in {ways} ways, each needs a worker");
        let producers = plan.workload.producers;
        return Some(Complaint::new("workload.producers", producers, remedy));
    }
    let mut topics = further.iter().enumerate();
    topics.find_map(|(number, topic)| {
        of_topic(plan, number, topic).map(|complaint| Complaint {
            field: format!("cluster.further_topics[{number}].{}", complaint.field),
            ..complaint
        })
    })
}

fn of_topic(plan: &Plan, number: usize, topic: &TopicPlan) -> Option<Complaint> {
    let name = &topic.name;
    if let Some(remedy) = is_name(name).err() {
        return Some(Complaint::new("name", format!("{name:?}"), remedy));
    }
    let mut before = plan.topics().into_iter().take(number + 1);
    if before.any(|other| other.name == *name) {
        let remedy = "another topic has this name";
        return Some(Complaint::new("name", format!("{name:?}"), remedy));
    }
    if topic.idempotence && topic.acks != Acks::All {
        return Some(Complaint::new("idempotence", true, "it needs acks \"all\""));
    }
    let nodes = plan.cluster.nodes.into();
    out_of_range(
        [
            range("partitions", topic.partitions, 1, 1000),
            range("replication_factor", topic.replication_factor, 1, nodes),
            range(
                "min_insync_replicas",
                topic.min_insync_replicas,
                1,
                MIN_ISR_MAX,
            ),
        ]
        .into_iter(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::profile::PROFILES;

    fn refusal(change: impl Fn(&mut Plan)) -> String {
        let mut plan = Plan::draw(1, &PROFILES[0]);
        plan.cluster.further_topics = vec![TopicPlan {
            name: "one".to_owned(),
            partitions: 2,
            replication_factor: 1,
            min_insync_replicas: 3,
            acks: Acks::One,
            idempotence: false,
        }];
        change(&mut plan);
        let read = Plan::parse(&plan.to_json(), Path::new("p.json"));
        read.err().map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn topics_that_cannot_be_run_are_refused_by_name_of_their_field() {
        assert_eq!(refusal(|_| {}), "");
        let topic = |plan: &mut Plan, change: fn(&mut TopicPlan)| {
            change(&mut plan.cluster.further_topics[0]);
        };
        let of_topic = |change| refusal(move |plan| topic(plan, change));
        for (message, wanted) in [
            (of_topic(|t| t.name = "a/b".to_owned()), "topics[0].name"),
            (of_topic(|t| t.name = "verdict".to_owned()), "another topic"),
            (of_topic(|t| t.idempotence = true), "it needs acks \"all\""),
            (of_topic(|t| t.replication_factor = 4), "must be 1 to 3"),
            (of_topic(|t| t.partitions = 0), "topics[0].partitions is 0"),
            (refusal(|p| p.workload.producers = 1), "in 2 ways"),
        ] {
            assert!(message.contains(wanted), "{wanted}: {message}");
        }
    }
}
