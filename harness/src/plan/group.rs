//! The part of a plan that makes the run's consumers members of a group.

use checkers::history::{CommitMode, OffsetReset};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// How the consumers share their work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPlan {
    /// The group's name.
    pub group: String,
    /// What members do with what they read, and when they commit.
    pub mode: CommitMode,
    /// Assignors by their names on the wire, most preferred first.
    pub assignors: Vec<String>,
    /// Where a member starts in a partition without a committed offset.
    pub reset: OffsetReset,
    /// `session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u64,
    /// `max.poll.interval.ms`, which is also the rebalance timeout.
    pub max_poll_interval_ms: u64,
    /// `auto.commit.interval.ms`, for the modes in which the client commits.
    pub auto_commit_interval_ms: u64,
    /// Whether every client is a static member, with its own `group.instance.id`.
    pub static_members: bool,
    /// The time that processing one record takes is drawn evenly from this inclusive range, in
    /// milliseconds.
    pub process_ms: [u64; 2],
}

/// The group of every drawn plan.
pub const GROUP: &str = "verdict-group";

/// Plans of groups have draws of their own, so that they change no other plan.
const STREAM: u64 = 1 << 40;

impl GroupPlan {
    /// Turns the consumers of `plan` into members of a group: the rest of the plan is fitted to
    /// sessions that a fault of a second or two outlives, and to processing that takes time.
    pub(super) fn draw_into(plan: &mut Plan, rng_seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
        rng.set_stream(STREAM);
        let mode = pick(&mut rng, &CommitMode::ALL);
        let session_timeout_ms = pick(&mut rng, &[1_000, 1_500]);
        let delay_ms = pick(&mut rng, &["0", "100"]);
        let offsets_partitions = pick(&mut rng, &["4", "10", "50"]);
        plan.workload.consumers = rng.random_range(3..=8);
        plan.workload.sends_per_second = pick(&mut rng, &[150, 300]);
        plan.workload.consumer.max_poll_records = pick(&mut rng, &[20, 50]);
        for (key, value) in [
            ("group.initial.rebalance.delay.ms", delay_ms),
            ("group.min.session.timeout.ms", "500"),
            ("min.insync.replicas", "2"),
            ("offsets.commit.timeout.ms", "1500"),
            ("offsets.topic.num.partitions", offsets_partitions),
        ] {
            let settings = &mut plan.cluster.broker_settings;
            settings.insert(key.to_owned(), value.to_owned());
        }
        let assignors = pick(&mut rng, ASSIGNORS);
        plan.workload.group = Some(Self {
            group: GROUP.to_owned(),
            mode,
            assignors: assignors.iter().map(|&name| name.to_owned()).collect(),
            reset: OffsetReset::Earliest,
            session_timeout_ms,
            heartbeat_interval_ms: 200,
            max_poll_interval_ms: pick(&mut rng, &[5_000, 8_000]),
            auto_commit_interval_ms: pick(&mut rng, &[500, 1_000]),
            static_members: rng.random_ratio(1, 2),
            process_ms: pick(&mut rng, &[[0, 2], [1, 4]]),
        });
    }
}

/// What members may offer; one of these is drawn.
const ASSIGNORS: &[&[&str]] = &[
    &["range"],
    &["roundrobin"],
    &["sticky"],
    &["cooperative-sticky"],
    &["range", "cooperative-sticky"],
];

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    let index = rng.random_range(0..from.len());
    *from
        .get(index)
        .expect("invariant: the range ends at the length")
}
