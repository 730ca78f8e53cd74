//! From a seed and a profile to a plan.
//!
//! Invariant: nothing but the arguments decides; every draw happens in the order of this file, so
//! adding a draw at the end changes no plan before it.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::plan::profile::Profile;
use crate::plan::{
    ClusterPlan, GroupPlan, PLAN_FORMAT, Plan, TimePlan, WorkloadPlan, disk, quota, schedule,
};
use crate::worker::protocol::{Acks, Compression, ConsumerOptions, ProducerOptions};

/// The topic of every run.
const TOPIC: &str = "verdict";

/// Length of the workload unless `--time-limit` says otherwise: with a second for the start and a
/// few for recovery and final reads, a run ends within half a minute.
const WORKLOAD_MS: u64 = 15_000;

/// The shortest workload that leaves room for a fault and what follows it.
pub const WORKLOAD_MS_MIN: u64 = 1_000;

impl Plan {
    /// The plan of `seed` and `profile`.
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        Self::draw_with(seed, profile, WORKLOAD_MS)
    }

    /// The plan of `seed` and `profile` with a workload of `workload_ms` milliseconds.
    pub fn draw_with(seed: u64, profile: &Profile, workload_ms: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut cluster = draw_cluster(&mut rng);
        let workload = draw_workload(&mut rng);
        if profile.has_disks {
            disk::draw_into(seed, &mut cluster);
        }
        if profile.makes_disks_hang() {
            disk::make_impatient(seed, &mut cluster);
        }
        if profile.takes_resources() {
            quota::draw_into(seed, &mut cluster, &workload, workload_ms);
        }
        let faults = schedule::draw(&mut rng, profile, &cluster, workload_ms);
        let mut plan = Self {
            format: PLAN_FORMAT,
            seed,
            profile: profile.name.to_owned(),
            cluster,
            workload,
            time: TimePlan {
                start_deadline_ms: 15_000,
                workload_ms,
                recovery_deadline_ms: 15_000,
                final_deadline_ms: 15_000,
            },
            atlas: profile.is_atlas,
            faults,
        };
        if profile.is_group {
            GroupPlan::draw_into(&mut plan, None);
        }
        plan
    }
}

fn draw_cluster(rng: &mut impl Rng) -> ClusterPlan {
    ClusterPlan {
        nodes: 3,
        topic: TOPIC.to_owned(),
        partitions: 6,
        replication_factor: 3,
        min_insync_replicas: 2,
        further_topics: Vec::new(),
        broker_settings: draw_broker_settings(rng),
        log_dirs: 1,
        disk: None,
        tmpfs_mib: None,
        sabotage: None,
    }
}

/// Timeouts short enough that a fault of a second or two passes them, and segments small enough
/// that some runs roll them.
fn draw_broker_settings(rng: &mut impl Rng) -> BTreeMap<String, String> {
    let segment_bytes = pick(rng, &["65536", "262144", "1048576", "1073741824"]);
    let lag_ms = pick(rng, &["800", "1200", "2000"]);
    let session_ms = pick(rng, &["1000", "1500"]);
    [
        ("auto.create.topics.enable", "false"),
        ("broker.heartbeat.interval.ms", "200"),
        ("broker.session.timeout.ms", session_ms),
        ("controller.quorum.election.backoff.max.ms", "100"),
        ("controller.quorum.election.timeout.ms", "300"),
        ("controller.quorum.fetch.timeout.ms", "600"),
        ("controller.quorum.request.timeout.ms", "500"),
        ("log.segment.bytes", segment_bytes),
        ("replica.fetch.backoff.ms", "50"),
        ("replica.fetch.wait.max.ms", "100"),
        ("replica.high.watermark.checkpoint.interval.ms", "500"),
        ("replica.lag.time.max.ms", lag_ms),
        ("replica.socket.timeout.ms", "800"),
        ("request.timeout.ms", "1000"),
        ("unclean.leader.election.enable", "false"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn draw_workload(rng: &mut impl Rng) -> WorkloadPlan {
    let payload_bytes_max = pick(rng, &[64, 256, 1024, 4096]);
    WorkloadPlan {
        producers: 3,
        consumers: 3,
        processes_per_producer: 10,
        sends_per_second: pick(rng, &[500, 1000, 2000]),
        payload_bytes: [16, payload_bytes_max],
        producer: ProducerOptions {
            acks: Acks::All,
            idempotence: true,
            compression: pick(
                rng,
                &[
                    Compression::None,
                    Compression::Gzip,
                    Compression::Snappy,
                    Compression::Lz4,
                    Compression::Zstd,
                ],
            ),
            linger_ms: pick(rng, &[0, 2, 5]),
            delivery_timeout_ms: pick(rng, &[2000, 4000]),
            retry_backoff_ms: 50,
            max_in_flight: pick(rng, &[1, 5]),
        },
        consumer: ConsumerOptions {
            max_poll_records: pick(rng, &[50, 500]),
            fetch_max_wait_ms: 100,
            partition_fetch_bytes: pick(rng, &[4096, 65_536, 1_048_576]),
            group: None,
        },
        request_timeout_ms: 1000,
        poll_timeout_ms: 200,
        polls_per_assignment: pick(rng, &[10, 40]),
        polls_per_end_read: 10,
        group: None,
    }
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    let index = rng.random_range(0..from.len());
    *from
        .get(index)
        .expect("invariant: the range ends at the length")
}
