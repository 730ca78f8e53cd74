//! The plans of all cells: they can be run, are short, and hold what their column says.

use std::path::Path;

use super::*;
use crate::matrix::COLUMNS;
use crate::nemesis::FaultSpec;

#[test]
fn every_cell_has_a_plan_that_can_be_run_or_says_why_not() {
    let mut refused = Vec::new();
    for column in COLUMNS {
        for pack in Pack::ALL {
            for seed in 1..5 {
                let drawn = match plan(column.name, pack, seed) {
                    Ok(drawn) => drawn,
                    Err(reason) => {
                        assert!(!reason.contains('\n') && !reason.is_empty());
                        refused.push((column.name, pack));
                        break;
                    }
                };
                drawn.check(Path::new(column.name)).expect("can be run");
                assert_eq!(drawn.faults.is_empty(), column.name == "none");
                let mut faults = drawn.faults.iter();
                let has_own = faults.any(|fault| column.faults.contains(&fault.what.name()));
                assert_eq!(has_own, column.name != "none", "{}", column.name);
                assert_eq!(drawn.cluster.disk.is_some(), column.needs_disks());
                assert!(drawn.last_heal_ms() <= drawn.time.workload_ms - 500);
                assert_eq!(plan(column.name, pack, seed), Ok(drawn), "the same again");
            }
        }
    }
    let refused_by = |name: &str| refused.iter().filter(|(column, _)| *column == name).count();
    for (name, packs) in [
        ("group-churn", 2),
        ("coordinator-kill", 2),
        ("reassignment", 7),
    ] {
        assert_eq!(refused_by(name), packs, "{name}");
    }
    assert!(plan("chaos", Pack::ALL[0], 1).is_err_and(|said| said.contains("leader-kill")));
}

#[test]
fn a_plan_covers_every_row_of_its_pack_once() {
    for pack in Pack::ALL {
        let plan = plan("leader-kill", pack, 3).expect("a plan");
        let mut rows: Vec<String> = Vec::new();
        rows.extend(
            plan.topics()
                .iter()
                .map(|topic| plan.row_of(topic).to_string()),
        );
        rows.sort();
        let mut wanted: Vec<String> = pack.rows().iter().map(ToString::to_string).collect();
        wanted.sort();
        assert_eq!(rows, wanted);
    }
}

#[test]
fn every_partition_has_a_producer_of_its_acks_from_the_beginning() {
    let plan = plan("none", Pack::Durability(Flush::Never), 1).expect("a plan");
    let workload = &plan.workload;
    assert_eq!(plan.ways_to_send().len(), workload.producers as usize);
    for producer in 0..workload.producers {
        let partitions = plan.partitions_of(&plan.way_of(producer)).len();
        assert_eq!(partitions, workload.processes_per_producer as usize);
    }
}

#[test]
fn a_run_ends_soon_after_its_last_fault() {
    for (column, pack) in [
        ("none", Pack::ALL[0]),
        ("leader-kill", Pack::Durability(Flush::Never)),
    ] {
        let plan = plan(column, pack, 7).expect("a plan");
        let after_ms = plan.time.workload_ms - plan.last_heal_ms().max(2_400);
        assert!(after_ms <= 600, "{column}: {after_ms}");
    }
}

#[test]
fn in_a_group_that_hands_over_the_first_dies_before_it_commits_and_the_last_long_after() {
    for seed in 1..=20 {
        let plan = plan("group-churn", Pack::Mode(CommitMode::AutoHandoff), seed).expect("a plan");
        let interval_ms = plan
            .workload
            .group
            .as_ref()
            .map(|it| it.auto_commit_interval_ms);
        let kills = plan
            .faults
            .iter()
            .filter(|fault| fault.what.name() == "client-kill");
        let kills: Vec<u64> = kills.map(|kill| kill.at_ms).collect();
        let [first, .., last] = kills[..] else {
            panic!("seed {seed}: kills at {kills:?} ms")
        };
        assert!(Some(first) < interval_ms, "seed {seed}: {first} ms");
        assert!(
            Some(last) > interval_ms.map(|ms| 3 * ms),
            "seed {seed}: {last} ms"
        );
    }
}

#[test]
fn the_faults_of_a_column_strike_every_row_where_they_can() {
    let of = |column| plan(column, Pack::Durability(Flush::Never), 5).expect("a plan");
    let specs = |plan: &Plan| -> Vec<FaultSpec> {
        plan.faults.iter().map(|fault| fault.what.clone()).collect()
    };
    let killed = of("client-kill");
    let producers = killed.faults.iter().map(|fault| fault.draw % 3);
    let producers: std::collections::BTreeSet<u32> = producers.collect();
    assert_eq!(
        producers.len(),
        killed.ways_to_send().len(),
        "one of each acks"
    );
    let values = |spec: FaultSpec| match spec {
        FaultSpec::MinIsr { replicas, .. } => Some(replicas),
        _ => None,
    };
    let mut values: Vec<i16> = specs(&of("min-isr-change"))
        .into_iter()
        .filter_map(values)
        .collect();
    values.sort_unstable();
    assert_eq!(values, [1, 3], "no row has both");
    for column in ["disk-stall", "disk-error"] {
        let plan = of(column);
        let disks = plan.cluster.log_dirs * plan.cluster.nodes;
        for topic in plan.topics() {
            let replicas = topic.partitions * i32::from(topic.replication_factor);
            assert!(
                replicas >= disks as i32,
                "{} in every directory",
                topic.name
            );
        }
    }
}
