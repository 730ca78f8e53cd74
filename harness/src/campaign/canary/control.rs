//! Controls: the plans of the canaries without their bugs. An anomaly that such a plan shows by
//! itself would be taken for the bug.
//!
//! In: a seed. Out: plans, each with the canaries that plant their bugs in it. Invariant: every
//! canary is in exactly one control, and differs from it by its bug alone, and by how long a group
//! and its cluster are waited for after the run; so one run of a control speaks for all its
//! canaries.

use super::{CANARIES, Canary};
use crate::plan::Plan;

/// A plan that keeps every promise.
#[derive(Debug)]
pub struct Control {
    /// The plan; it has no bug.
    pub plan: Plan,
    /// The canaries whose plan it is but for the bug, in the order of the planted bugs.
    pub canaries: Vec<&'static Canary>,
}

/// The controls of `seed`, in the order of their first canaries.
pub fn controls(seed: u64) -> Vec<Control> {
    let mut controls: Vec<Control> = Vec::new();
    for canary in CANARIES {
        let plan = canary.control(seed);
        match controls.iter_mut().find(|control| control.plan == plan) {
            Some(control) => control.canaries.push(canary),
            None => controls.push(Control {
                plan,
                canaries: vec![canary],
            }),
        }
    }
    controls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::canary::{Part, TRIES};
    use crate::plan::profile;

    #[test]
    fn every_canary_has_one_control_and_differs_from_it_by_its_bug_alone() {
        for seed in 1..=TRIES {
            let controls = controls(seed);
            for canary in CANARIES {
                let bug = canary.bug.name();
                let of_canary: Vec<&Control> = controls
                    .iter()
                    .filter(|control| control.canaries.iter().any(|one| one.bug == canary.bug))
                    .collect();
                let [control] = of_canary[..] else {
                    panic!("{bug} has {} controls", of_canary.len());
                };
                assert_eq!(control.plan.cluster.sabotage, None, "{bug}");
                let mut planted = control.plan.clone();
                planted.cluster.sabotage = Some(bug.to_owned());
                let time = canary.plan(seed).time;
                planted.time.recovery_deadline_ms = time.recovery_deadline_ms;
                planted.time.final_deadline_ms = time.final_deadline_ms;
                assert_eq!(planted, canary.plan(seed), "{bug}");
            }
        }
    }

    #[test]
    fn without_its_bug_a_group_is_waited_for_as_in_any_run() {
        for canary in CANARIES.iter().filter(|one| one.part() == Part::Groups) {
            let control = canary.control(1);
            let profile = profile::find("group-none").expect("a profile");
            let any = Plan::draw_with(1, profile, control.time.workload_ms);
            assert_eq!(control.time, any.time, "{}", canary.bug.name());
        }
    }

    #[test]
    fn canaries_of_one_incident_share_a_control() {
        let shared: Vec<Vec<&str>> = controls(1)
            .iter()
            .map(|control| control.canaries.iter().map(|one| one.bug.name()))
            .map(Iterator::collect)
            .filter(|bugs: &Vec<&str>| bugs.len() > 1)
            .collect();
        let wanted: [&[&str]; 5] = [
            &[
                "ack-before-replication",
                "ignore-leader-epoch-in-fetch",
                "no-duplicate-window-after-failover",
            ],
            &[
                "two-owners-after-missed-rebalance",
                "rebalance-completes-without-waiting",
            ],
            &[
                "tombstone-ignored-on-load",
                "load-stops-at-high-watermark",
                "off-by-one-committed-offset",
            ],
            &["auto-commit-of-current-poll", "auto-commit-never-due"],
            &[
                "no-rejoin-after-revocation",
                "sticky-assignor-ignores-quota",
            ],
        ];
        assert_eq!(shared, wanted);
    }
}
