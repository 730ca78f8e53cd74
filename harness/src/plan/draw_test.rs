//! Plans: the same seed the same plan, files that read back, and files that are refused.

use std::path::Path;

use proptest::prelude::*;

use crate::nemesis::{FaultSpec, PartitionShape, Target};
use crate::plan::load::PlanError;
use crate::plan::profile::PROFILES;
use crate::plan::{Plan, ScheduledFault};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_same_seed_gives_the_same_plan_and_files_read_back(
        seed: u64,
        profile in 0..PROFILES.len(),
        workload_ms in 1_000_u64..60_000,
    ) {
        let profile = &PROFILES[profile];
        let plan = Plan::draw_with(seed, profile, workload_ms);
        prop_assert_eq!(&plan, &Plan::draw_with(seed, profile, workload_ms));
        let read = Plan::parse(&plan.to_json(), Path::new("plan.json")).expect("a valid plan");
        prop_assert_eq!(&read, &plan);
        prop_assert_eq!(read.to_json(), plan.to_json());
    }

    #[test]
    fn faults_leave_the_begin_and_the_end_of_the_workload_quiet(
        seed: u64,
        profile in 0..PROFILES.len(),
        workload_ms in 2_000_u64..60_000,
    ) {
        let plan = Plan::draw_with(seed, &PROFILES[profile], workload_ms);
        prop_assert_eq!(plan.faults.is_empty(), PROFILES[profile].families.is_empty());
        for fault in &plan.faults {
            prop_assert!(fault.at_ms >= 500, "{fault:?}");
            prop_assert!(fault.at_ms + fault.for_ms <= workload_ms - 300, "{fault:?}");
        }
        prop_assert!(plan.faults.is_sorted_by_key(|fault| fault.at_ms));
    }
}

#[test]
fn other_seeds_give_other_plans() {
    let draw = |seed| Plan::draw(seed, &PROFILES[0]);
    assert_ne!(draw(1).faults, draw(2).faults);
}

#[test]
fn every_family_of_a_profile_comes_up() {
    let faults: Vec<_> = (0..20)
        .flat_map(|seed| Plan::draw(seed, &PROFILES[0]).faults)
        .collect();
    for name in ["kill", "pause", "partition"] {
        assert!(
            faults.iter().any(|fault| fault.what.name() == name),
            "{name} never drawn"
        );
    }
}

#[test]
fn an_invalid_plan_is_refused_in_one_line_with_file_field_and_remedy() {
    let text = Plan::draw(7, &PROFILES[1]).to_json();
    let refuse = |from: &str, to: &str| {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from} is not in the plan");
        let error = Plan::parse(&broken, Path::new("p.json")).expect_err("must be refused");
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        assert!(message.starts_with("p.json"), "{message}");
        message
    };
    for (from, to, wanted) in [
        (
            "\"nodes\": 3",
            "\"nodes\": 0",
            "cluster.nodes is 0; it must be 1 to 9",
        ),
        ("\"nodes\": 3", "\"nodes\": -1", "not a plan"),
        (
            "\"replication_factor\": 3",
            "\"replication_factor\": 4",
            "it must be 1 to 3",
        ),
        (
            "\"min_insync_replicas\": 2",
            "\"min_insync_replicas\": 9",
            "it must be 1 to 3",
        ),
        (
            "\"partitions\": 6",
            "\"partitons\": 6",
            "unknown field `partitons`",
        ),
        (
            "\"acks\": \"all\"",
            "\"acks\": \"some\"",
            "unknown variant `some`",
        ),
        (
            "\"format\": 1",
            "\"format\": 2",
            "format is 2; it must be 1 to 1",
        ),
        (
            "replica.lag.time.max.ms",
            "replica.lag.time.max",
            "cluster.broker_settings",
        ),
        ("\"faults\": []", "\"faults\": [{}]", "missing field"),
        (
            "\"profile\": \"none\"",
            "\"profile\": \"../x\"",
            "profile is \"../x\"; use",
        ),
        (
            "\"topic\": \"verdict\"",
            "\"topic\": \"__cluster_metadata\"",
            "cluster.topic is",
        ),
        (
            "\"workload_ms\": 15000",
            "\"workload_ms\": 18446744073709551615",
            "time.workload_ms is 18446744073709551615; it must be 1 to 86400000",
        ),
        (
            "\"acks\": \"all\"",
            "\"acks\": \"1\"",
            "workload.producer.idempotence is true; it needs",
        ),
        (
            "\"linger_ms\"",
            "\"linger\": 7, \"linger_ms\"",
            "unknown field `linger`",
        ),
        (
            "\"retry_backoff_ms\": 50",
            "\"retry_backoff_ms\": 70000",
            "it must be 0 to 60000",
        ),
        (
            "\"broker_settings\": {",
            "\"broker_settings\": {\n\"log.dirs\": \"/tmp\",",
            "cluster.broker_settings.log.dirs is /tmp; the harness decides",
        ),
        (
            "\"log_dirs\": 1",
            "\"log_dirs\": 9",
            "cluster.log_dirs is 9; it must be 1 to 8",
        ),
        (
            "\"log_dirs\": 1",
            "\"disk\": {\"fsync_ms\": 2000}",
            "cluster.disk.fsync_ms is 2000; it must be 0 to 1000",
        ),
        (
            "\"log_dirs\": 1",
            "\"disk\": {\"fsync_ms\": 0, \"quota_mib\": 0}",
            "cluster.disk.quota_mib is 0; it must be 1 to",
        ),
        (
            "\"nodes\": 3",
            "\"sabotage\": \"none\", \"nodes\": 3",
            "cluster.sabotage is \"none\"; `verdict list sabotage`",
        ),
    ] {
        let message = refuse(from, to);
        assert!(message.contains(wanted), "{from} -> {to}: {message}");
    }
}

#[test]
fn a_fault_that_cannot_strike_is_refused() {
    for (fault, wanted) in [
        (
            r#"{"fault":"kill","target":{"role":"node","id":9}}"#,
            "faults[0].what.target.id is 9; it must be 1 to 3",
        ),
        (
            r#"{"fault":"kill","target":{"role":"leader","topic":"verdict","partition":6}}"#,
            "faults[0].what.target.partition is 6; it must be 0 to 5",
        ),
        (
            r#"{"fault":"kill","target":{"role":"follower","topic":"t","partition":0}}"#,
            "faults[0].what.target.topic is \"t\"; the topic of the plan is \"verdict\"",
        ),
        (
            r#"{"fault":"bandwidth","target":{"role":"all"},"bytes_per_second":0}"#,
            "faults[0].what.bytes_per_second is 0",
        ),
        (
            r#"{"fault":"delay","target":{"role":"all"},"mean_ms":90000,"jitter_ms":0}"#,
            "faults[0].what.mean_ms is 90000",
        ),
        (
            r#"{"fault":"frame","target":{"role":"all"},
                "rule":{"side":"request","pick":{"probability":1.5},"action":"drop"}}"#,
            "faults[0].what.rule.pick is 1.5; it must be 0 to 1",
        ),
    ] {
        let scheduled = format!(r#""faults": [{{"at_ms":0,"for_ms":1,"draw":0,"what":{fault}}}]"#);
        let text = Plan::draw(7, &PROFILES[1]).to_json();
        let text = text.replace("\"faults\": []", &scheduled);
        let error = Plan::parse(&text, Path::new("p.json")).expect_err("must be refused");
        assert!(error.to_string().contains(wanted), "{fault}: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Plan::load(Path::new("/nowhere/plan.json")).expect_err("does not exist");
    assert!(matches!(error, PlanError::Unreadable { .. }));
    assert!(
        error
            .to_string()
            .starts_with("/nowhere/plan.json: cannot read"),
        "{error}"
    );
}

#[test]
fn the_scripts_come_up_in_nearly_every_default_run() {
    let is_return = |pair: &[ScheduledFault]| {
        let [cut, kill] = pair else { return false };
        matches!(
            (&cut.what, &kill.what),
            (
                FaultSpec::Partition { target: cut, shape: PartitionShape::IsolateFromNodes },
                FaultSpec::Kill { target: kill @ Target::Leader { .. } },
            ) if cut == kill
        ) && kill.at_ms > cut.at_ms + cut.for_ms
    };
    let all_down = FaultSpec::Kill {
        target: Target::All,
    };
    let (mut returns, mut downs) = (0, 0);
    for seed in 0..100 {
        let faults = Plan::draw(seed, &PROFILES[0]).faults;
        returns += i32::from(faults.windows(2).any(is_return));
        downs += i32::from(faults.iter().any(|fault| fault.what == all_down));
    }
    assert!(
        returns >= 95 && downs >= 95,
        "{returns} returns to lead, {downs} times all down"
    );
}

#[test]
fn a_plan_from_before_there_were_disks_has_one_directory_on_the_native_disk() {
    let text = Plan::draw(7, &PROFILES[0]).to_json();
    let old = text
        .replace("    \"log_dirs\": 1,\n", "")
        .replace(",\n    \"log_dirs\": 1", "");
    assert!(!old.contains("log_dirs"), "{old}");
    let plan = Plan::parse(&old, Path::new("p.json")).expect("it loads");
    assert_eq!((plan.cluster.log_dirs, plan.cluster.disk), (1, None));
}
