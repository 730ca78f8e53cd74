//! Scenarios with a name: one rule of KRaft each, on a simulated cluster without random faults.

use std::time::Duration;

use super::Plan;
use super::cluster::Cluster;
use crate::id::BrokerId;
use crate::quorum::{Quorum, RoleName};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

/// A cluster whose network and disks behave: links take up to 3 ms, fsyncs up to 2 ms.
fn calm(seed: u64, voters: i32) -> Cluster {
    let mut cluster = Cluster::new(Plan::draw(seed, voters, 0));
    cluster.network.is_calm = true;
    cluster
}

fn core(cluster: &Cluster, index: usize) -> &Quorum {
    cluster.nodes[index].core.as_ref().expect("the node runs")
}

/// The index of the one active leader.
fn active(cluster: &Cluster) -> Option<usize> {
    let active = |core: &Quorum| core.is_active();
    cluster
        .nodes
        .iter()
        .position(|node| node.core.as_ref().is_some_and(active))
}

/// Runs until `done`; returns how long it took.
fn run_until(cluster: &mut Cluster, within: Duration, done: impl Fn(&Cluster) -> bool) -> Duration {
    let start = cluster.now().time;
    while !done(cluster) {
        assert!(
            cluster.now().time.since(start) < within,
            "not within {within:?}"
        );
        assert!(
            cluster
                .step()
                .unwrap_or_else(|violation| panic!("{violation}"))
        );
    }
    cluster.now().time.since(start)
}

/// Runs for a while.
fn run_for(cluster: &mut Cluster, duration: Duration) {
    let until = cluster.now().time + duration;
    run_until(cluster, duration * 2, |cluster| cluster.now().time >= until);
}

/// A cluster that works, and its leader's index.
fn elected(seed: u64, voters: i32) -> (Cluster, usize) {
    let mut cluster = calm(seed, voters);
    run_until(&mut cluster, MILLIS(1000), |cluster| {
        active(cluster).is_some()
    });
    run_for(&mut cluster, MILLIS(300));
    let leader = active(&cluster).expect("a calm cluster keeps its leader");
    (cluster, leader)
}

/// Proposes at `index` and runs until `everyone` that runs applied it.
fn commit(cluster: &mut Cluster, index: usize, within: Duration) -> Duration {
    cluster.propose(index).expect("no violation");
    let upto = core(cluster, index).log_end_offset();
    run_until(cluster, within, |cluster| {
        cluster
            .nodes
            .iter()
            .all(|node| node.core.is_none() || node.applied.end >= upto)
    })
}

/// The links of a node, both ways.
fn isolate(cluster: &mut Cluster, index: usize) {
    let id = cluster.nodes[index].id;
    for other in (1..=cluster.plan.voters + 1)
        .map(BrokerId)
        .filter(|&other| other != id)
    {
        cluster.network.cut.insert((id, other));
        cluster.network.cut.insert((other, id));
    }
}

#[test]
fn a_cold_start_elects_well_under_half_a_second() {
    for seed in 0..50 {
        let mut cluster = calm(seed, 3);
        run_until(&mut cluster, MILLIS(400), |cluster| {
            active(cluster).is_some()
        });
    }
}

#[test]
fn a_failover_after_a_silent_death_is_over_within_a_second() {
    for seed in 0..50 {
        let (mut cluster, leader) = elected(seed, 3);
        isolate(&mut cluster, leader);
        cluster.crash(leader).expect("no violation");
        run_until(&mut cluster, MILLIS(1000), |cluster| {
            active(cluster).is_some()
        });
    }
}

#[test]
fn a_failover_after_a_kill_starts_with_the_broken_connections() {
    for seed in 0..50 {
        let (mut cluster, leader) = elected(seed, 3);
        cluster.crash(leader).expect("no violation");
        run_until(&mut cluster, MILLIS(250), |cluster| {
            active(cluster).is_some()
        });
    }
}

#[test]
fn one_broken_connection_deposes_nobody() {
    for seed in 0..50 {
        let (mut cluster, leader) = elected(seed, 3);
        let epoch = core(&cluster, leader).epoch();
        let follower = (0..3).find(|&index| index != leader).expect("three voters");
        for _ in 0..5 {
            let to = cluster.nodes[leader].id;
            let fail = |core: &mut Quorum, now| {
                core.handle_request_failed(now, to, core.last_correlation);
            };
            cluster.with_core(follower, fail).expect("no violation");
            run_for(&mut cluster, MILLIS(400));
        }
        assert_eq!(active(&cluster), Some(leader));
        assert_eq!(
            core(&cluster, follower).leader(),
            Some(cluster.nodes[leader].id)
        );
        assert_eq!(core(&cluster, leader).epoch(), epoch);
    }
}

#[test]
fn kip595_a_leader_that_shuts_down_hands_over_at_once() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        cluster
            .with_core(leader, Quorum::handle_shutdown)
            .expect("no violation");
        run_until(&mut cluster, MILLIS(60), |cluster| {
            active(cluster).is_some()
        });
        run_until(&mut cluster, MILLIS(100), |cluster| {
            core(cluster, leader).has_withdrawn()
        });
    }
}

#[test]
fn a_leader_whose_disk_fails_hands_over_at_once_and_answers_nothing_more() {
    for seed in 0..50 {
        let (mut cluster, leader) = elected(seed, 3);
        cluster.fail_disk(leader).expect("no violation");
        run_until(&mut cluster, MILLIS(60), |cluster| {
            active(cluster).is_some()
        });
        assert_eq!(core(&cluster, leader).role(), RoleName::Halted);
        let events = cluster.summary.events;
        run_for(&mut cluster, MILLIS(500));
        assert!(cluster.summary.events > events);
        assert_eq!(core(&cluster, leader).next_timeout(), None);
    }
}

#[test]
fn kip996_a_voter_that_was_cut_off_disturbs_nobody_when_it_returns() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        let epoch = core(&cluster, leader).epoch();
        let follower = (0..3).find(|&index| index != leader).expect("three voters");
        isolate(&mut cluster, follower);
        run_for(&mut cluster, MILLIS(3000));
        assert_eq!(
            core(&cluster, follower).epoch(),
            epoch,
            "pre-votes raise no epoch"
        );
        cluster.network.cut.clear();
        run_for(&mut cluster, MILLIS(2000));
        assert_eq!(active(&cluster), Some(leader));
        assert_eq!(
            core(&cluster, follower).leadership(),
            core(&cluster, leader).leadership()
        );
        assert_eq!(core(&cluster, leader).epoch(), epoch);
    }
}

#[test]
fn kip996_a_one_way_cut_towards_a_follower_changes_no_leader() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        let follower = (0..3).find(|&index| index != leader).expect("three voters");
        let link = (cluster.nodes[leader].id, cluster.nodes[follower].id);
        cluster.network.cut.insert(link);
        run_for(&mut cluster, MILLIS(3000));
        assert_eq!(
            active(&cluster),
            Some(leader),
            "the other follower still hears it"
        );
    }
}

#[test]
fn check_quorum_a_leader_cut_off_from_the_majority_resigns() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        isolate(&mut cluster, leader);
        run_until(&mut cluster, MILLIS(800), |cluster| {
            !core(cluster, leader).is_leader()
        });
        run_until(&mut cluster, MILLIS(800), |cluster| {
            active(cluster).is_some()
        });
    }
}

/// Its followers hear from it all the time, so none of them would ever stand for election.
#[test]
fn a_leader_whose_disk_hangs_resigns_and_returns_as_a_follower() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        cluster.propose(leader).expect("no violation");
        cluster.stall_disk(leader, MILLIS(5000));
        run_until(&mut cluster, MILLIS(1500), |cluster| {
            active(cluster).is_some_and(|active| active != leader)
        });
        assert!(!core(&cluster, leader).is_leader());
        let successor = active(&cluster).expect("just elected");
        cluster.propose(successor).expect("no violation");
        let upto = core(&cluster, successor).log_end_offset();
        run_until(&mut cluster, MILLIS(500), |cluster| {
            let mut others = cluster.nodes.iter().enumerate();
            others.all(|(index, node)| index == leader || node.applied.end >= upto)
        });
        run_until(&mut cluster, MILLIS(6000), |cluster| {
            cluster.nodes[leader].applied.end >= upto
        });
    }
}

#[test]
fn kip1166_everybody_applies_a_proposal_without_waiting_out_a_long_poll() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        let took = commit(&mut cluster, leader, MILLIS(500));
        assert!(took < MILLIS(40), "took {took:?}");
    }
}

#[test]
fn kip630_a_node_behind_the_snapshot_loads_it_and_goes_on() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        let behind = (0..3).find(|&index| index != leader).expect("three voters");
        let observer = 3;
        for index in [behind, observer] {
            cluster.crash(index).expect("no violation");
        }
        for _ in 0..10 {
            commit(&mut cluster, leader, MILLIS(500));
        }
        cluster.snapshot(leader).expect("no violation");
        commit(&mut cluster, leader, MILLIS(500));
        for index in [behind, observer] {
            cluster.start(index).expect("no violation");
        }
        commit(&mut cluster, leader, MILLIS(1000));
        assert!(cluster.summary.snapshots_loaded >= 2);
        assert!(core(&cluster, behind).log_start().end_offset > 0);
    }
}

#[test]
fn a_restart_of_everything_keeps_log_and_snapshot() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(seed, 3);
        for _ in 0..5 {
            commit(&mut cluster, leader, MILLIS(500));
        }
        cluster.snapshot(leader).expect("no violation");
        commit(&mut cluster, leader, MILLIS(500));
        let before = core(&cluster, leader).log_end_offset();
        for index in 0..4 {
            cluster.restart(index).expect("no violation");
        }
        run_until(&mut cluster, MILLIS(1000), |cluster| {
            active(cluster).is_some()
        });
        let leader = active(&cluster).expect("just seen");
        commit(&mut cluster, leader, MILLIS(1000));
        assert!(cluster.nodes.iter().all(|node| node.applied.end > before));
    }
}

#[test]
fn slow_disks_delay_an_election_but_do_not_prevent_it() {
    for seed in 0..10 {
        let mut plan = Plan::draw(seed, 3, 0);
        plan.fsync_millis = 900;
        (
            plan.lost_permille,
            plan.late_permille,
            plan.doubled_permille,
        ) = (0, 0, 0);
        let mut cluster = Cluster::new(plan);
        run_until(&mut cluster, MILLIS(60_000), |cluster| {
            cluster
                .nodes
                .iter()
                .any(|node| node.core.as_ref().is_some_and(Quorum::is_leader))
        });
    }
}

#[test]
fn an_observer_never_leads_or_votes() {
    let (mut cluster, _) = elected(7, 3);
    for index in 0..3 {
        cluster.crash(index).expect("no violation");
    }
    run_for(&mut cluster, MILLIS(5000));
    let observer = core(&cluster, 3);
    assert_eq!(observer.role(), RoleName::Unattached);
    assert!(cluster.nodes[3].disk.votes.is_empty());
}
