//! Brokers down, no more than are tolerated, or one more: both sides of the rule
//! replication factor ≥ min.insync.replicas + tolerated broker failures.
//!
//! In: the cluster of a plan. Out: a scene that takes down so many replicas of its first partition,
//! and how long a partition may be silent meanwhile.
//! Invariant: the scene lasts longer than that, so that silence and refusal can be told apart from
//! a leader that moves. Source: kafka.md §1.14; KIP-966.

use checkers::contract::tolerance::tolerated;
use rand::{Rng, RngExt};

use crate::nemesis::{FaultSpec, Target};
use crate::plan::{ClusterPlan, Plan, ScheduledFault};

/// What it takes to elect a controller and leaders, beside the sessions that must time out.
const ELECTIONS_MS: u64 = 3_000;

/// How long refusals are looked at, once everybody knows who is down.
const LOOK_MS: u64 = 2_000;

/// `broker.session.timeout.ms` where the plan does not say (Kafka's).
const SESSION_MS: u64 = 9_000;

/// How long a partition may be silent after brokers were killed: their session times out, and
/// that of the controller before it if it was one of them.
fn bound_ms(cluster: &ClusterPlan) -> u64 {
    let session = cluster.setting("broker.session.timeout.ms");
    let session = session.and_then(|value| value.parse().ok());
    2 * session.unwrap_or(SESSION_MS) + ELECTIONS_MS
}

/// Brokers that may be down while acks=all is served.
fn tolerance(cluster: &ClusterPlan) -> u32 {
    let [copies, in_sync] = [cluster.replication_factor, cluster.min_insync_replicas]
        .map(|number| u32::try_from(number).unwrap_or(1));
    tolerated(copies, in_sync)
}

/// Whether the nodes that vote for the controller, which are all, have a majority with `down` of
/// them missing: without one nobody names another leader.
pub(super) fn has_majority_without(cluster: &ClusterPlan, down: u32) -> bool {
    2 * down < cluster.nodes
}

/// How long a partition may be silent while the faults of `plan` act, if they are brokers that are
/// down for longer than that, no more than are tolerated, and no majority of the controllers.
pub(super) fn available_within_ms(plan: &Plan) -> Option<u64> {
    let cluster = &plan.cluster;
    let bound = bound_ms(cluster);
    let followers = u32::try_from(cluster.replication_factor - 1).unwrap_or(0);
    let down = |fault: &ScheduledFault| match &fault.what {
        FaultSpec::Kill { target } if fault.for_ms > bound => match target {
            Target::Leader { .. } | Target::Follower { .. } => Some(1),
            Target::Followers { .. } => Some(followers),
            _ => None,
        },
        _ => None,
    };
    let down: Option<Vec<u32>> = plan.faults.iter().map(down).collect();
    let down: u32 = down?.iter().sum();
    let is_promised = down > 0 && down <= tolerance(cluster) && has_majority_without(cluster, down);
    is_promised.then_some(bound)
}

/// As many replicas of the first partition are killed as are tolerated, or one more; nothing where
/// that is none, or all.
pub(super) fn scene(
    rng: &mut impl Rng,
    cluster: &ClusterPlan,
    at_ms: u64,
    beyond: bool,
) -> Vec<ScheduledFault> {
    let topic = cluster.topic.clone();
    let partition = 0;
    let down = tolerance(cluster) + u32::from(beyond);
    let followers = u32::try_from(cluster.replication_factor - 1).unwrap_or(0);
    let target = match down {
        0 => return Vec::new(),
        down if down == followers => Target::Followers { topic, partition },
        1 if followers > 0 => Target::Follower { topic, partition },
        _ => return Vec::new(),
    };
    vec![ScheduledFault {
        at_ms,
        for_ms: bound_ms(cluster) + LOOK_MS,
        draw: rng.random(),
        when: None,
        what: FaultSpec::Kill { target },
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::profile;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn plan(copies: i16, in_sync: i16, beyond: bool) -> Plan {
        let mut plan = Plan::draw(5, profile::find("none").expect("a profile"));
        plan.cluster.replication_factor = copies;
        plan.cluster.min_insync_replicas = in_sync;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        plan.faults = scene(&mut rng, &plan.cluster, 1_000, beyond);
        plan
    }

    fn down(plan: &Plan) -> i16 {
        match plan.faults.first().map(|fault| fault.what.target()) {
            Some(Target::Follower { .. }) => 1,
            Some(Target::Followers { .. }) => plan.cluster.replication_factor - 1,
            _ => 0,
        }
    }

    #[test]
    fn exactly_as_many_replicas_go_down_as_the_rule_says() {
        for copies in 1..=3 {
            for in_sync in 1..=copies {
                let tolerated = copies - in_sync;
                let within = plan(copies, in_sync, false);
                assert_eq!(down(&within), tolerated, "{copies}, {in_sync}");
                let promised = available_within_ms(&within).is_some();
                let has_controller = 2 * tolerated < 3;
                assert_eq!(
                    promised,
                    tolerated > 0 && has_controller,
                    "{copies}, {in_sync}"
                );
                let beyond = plan(copies, in_sync, true);
                // Without any replica there is nobody to refuse.
                let all = tolerated + 1 == copies;
                assert_eq!(down(&beyond), if all { 0 } else { tolerated + 1 });
                assert_eq!(available_within_ms(&beyond), None);
            }
        }
    }

    #[test]
    fn availability_takes_a_majority_of_the_controllers() {
        let mut within = plan(3, 1, false);
        assert_eq!(down(&within), 2);
        for (nodes, is_promised) in [(3, false), (4, false), (5, true)] {
            within.cluster.nodes = nodes;
            let promised = available_within_ms(&within).is_some();
            assert_eq!(promised, is_promised, "2 of {nodes} are down");
            assert_eq!(within.settings().controllers, Some(nodes));
        }
    }

    #[test]
    fn short_outages_and_other_faults_promise_nothing_about_time() {
        let mut short = plan(3, 2, false);
        short.faults[0].for_ms = 2_000;
        assert_eq!(available_within_ms(&short), None);
        let mut mixed = plan(3, 2, false);
        mixed
            .faults
            .extend(Plan::draw(3, profile::find("partition").expect("one")).faults);
        assert_eq!(available_within_ms(&mixed), None);
    }
}
