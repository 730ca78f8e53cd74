//! The planted bugs of replication: each is found, by the name of an anomaly that it causes.
//!
//! Each has a plan of its own, the incident that shows it. All sends are batches of one record:
//! then logs that parted have batches that begin at the same offsets, so a follower that nobody
//! tells of its divergence goes on fetching and leads one day. With larger batches it is often
//! refused for ever instead, and the run ends as not available again.

use broker::config::sabotage::Sabotage;
use checkers::anomaly::Kind;
use harness::plan::script::Script;
use harness::plan::{Plan, profile};
use libtest_mimic::Trial;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::planted;

/// A planted bug, and the incident that shows it.
struct Planted {
    bug: Sabotage,
    script: Script,
    workload_ms: u64,
    /// One of these must be found.
    anomalies: &'static [Kind],
}

const PLANTED: &[Planted] = &[
    Planted {
        bug: Sabotage::AckBeforeReplication,
        script: Script::ReturnToLead,
        workload_ms: 7_500,
        anomalies: &[Kind::LostWrite, Kind::InconsistentOffsets],
    },
    Planted {
        bug: Sabotage::TruncateToHighWatermarkOnRestart,
        script: Script::AllDown,
        workload_ms: 3_000,
        anomalies: &[Kind::LostWrite, Kind::InconsistentOffsets],
    },
    Planted {
        bug: Sabotage::IgnoreLeaderEpochInFetch,
        script: Script::ReturnToLead,
        workload_ms: 7_500,
        anomalies: &[Kind::InconsistentOffsets, Kind::Duplicate],
    },
    Planted {
        bug: Sabotage::NoDuplicateWindowAfterFailover,
        script: Script::ReturnToLead,
        workload_ms: 7_500,
        anomalies: &[Kind::Duplicate],
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(feature = "sabotage") {
        return Vec::new();
    }
    let trial = |planted: &'static Planted| {
        let draw = |seed| plan(planted, seed);
        planted::trial("planted_logs", planted.bug, planted.anomalies, draw)
    };
    PLANTED.iter().map(trial).collect()
}

fn plan(planted: &Planted, seed: u64) -> Plan {
    let profile = profile::find("none").expect("a profile");
    let mut plan = Plan::draw_with(seed, profile, planted.workload_ms);
    plan.cluster.partitions = 2;
    plan.workload.producers = 6;
    plan.workload.processes_per_producer = 1;
    plan.workload.producer.linger_ms = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let end_ms = planted.workload_ms - 300;
    let scene = planted.script.draw(&mut rng, &plan.cluster, 1_000, end_ms);
    plan.faults = scene.expect("the workload is long enough for its incident");
    plan
}
