//! The part of a plan that makes the run's consumers members of a group.

use checkers::history::{CommitMode, OffsetReset};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, profile};

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
    /// Whether members also commit what they have processed, by explicit offsets, when partitions
    /// are revoked; for the modes in which the application commits after processing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commit_on_revocation: bool,
    /// The time that processing one record takes is drawn evenly from this inclusive range, in
    /// milliseconds.
    pub process_ms: [u64; 2],
}

/// The group of every drawn plan.
pub const GROUP: &str = "verdict-group";

/// Plans of groups have draws of their own, so that they change no other plan.
const STREAM: u64 = 1 << 40;

/// So have those of `vary`.
const VARIATIONS: u64 = STREAM + (1 << 8);

/// Less than a member can process, so that few members are not left behind by the producers.
const SENDS_PER_MEMBER: u32 = 75;

impl GroupPlan {
    /// Turns the consumers of `plan` into members of a group: the rest of the plan is fitted to
    /// sessions that a fault of a second or two outlives, and to processing that takes time.
    /// Without a `mode` that is drawn, too.
    pub(crate) fn draw_into(plan: &mut Plan, mode: Option<CommitMode>) {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(STREAM);
        let drawn = pick(&mut rng, &CommitMode::ALL);
        let mode = mode.unwrap_or(drawn);
        let session_timeout_ms = pick(&mut rng, &[1_000, 1_500]);
        let delay_ms = pick(&mut rng, &["0", "100"]);
        let offsets_partitions = pick(&mut rng, &["4", "10", "50"]);
        // One or two that were all down would not work off in time what has piled up.
        let least = if mode == CommitMode::AutoHandoff {
            3
        } else {
            1
        };
        plan.workload.consumers = rng.random_range(1..=8).max(least);
        plan.workload.sends_per_second = pick(&mut rng, &[150, 300]);
        if plan.workload.consumers < 3 {
            plan.workload.sends_per_second = SENDS_PER_MEMBER * plan.workload.consumers;
        }
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
            commit_on_revocation: false,
            session_timeout_ms,
            heartbeat_interval_ms: 200,
            max_poll_interval_ms: pick(&mut rng, &[5_000, 8_000]),
            auto_commit_interval_ms: pick(&mut rng, &[500, 1_000]),
            static_members: rng.random_ratio(1, 2),
            process_ms: pick(&mut rng, &[[0, 2], [1, 4]]),
        });
        if mode == CommitMode::AutoHandoff {
            plan.let_work_pile_up();
        }
        if profile::find(&plan.profile).is_some_and(|p| p.is_group && !p.families.is_empty()) {
            Self::vary(plan);
        }
    }

    /// What only a mix of faults varies; the incidents of scripts, canaries and the matrix are
    /// built on plain members.
    fn vary(plan: &mut Plan) {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(VARIATIONS);
        let (earliest, latest) = (OffsetReset::Earliest, OffsetReset::Latest);
        let reset = pick(&mut rng, &[earliest, earliest, earliest, latest]);
        let commit_on_revocation = rng.random_ratio(1, 2);
        // So small that the commits of a run fill several segments, which are compacted under load.
        let segments_are_small = rng.random_ratio(1, 2);
        if let Some(group) = &mut plan.workload.group {
            group.reset = reset;
            let after = [CommitMode::SyncAfter, CommitMode::AsyncAfter];
            group.commit_on_revocation = commit_on_revocation && after.contains(&group.mode);
        }
        let settings = &mut plan.cluster.broker_settings;
        for (key, value) in SMALL_SEGMENTS.iter().filter(|_| segments_are_small) {
            settings.insert((*key).to_owned(), (*value).to_owned());
        }
    }
}

/// Settings with which `__consumer_offsets` is compacted every half second.
const SMALL_SEGMENTS: &[(&str, &str)] = &[
    ("offsets.topic.segment.bytes", "4096"),
    ("log.retention.check.interval.ms", "500"),
];

impl Plan {
    /// Lets the members of a drawn plan commit in another way, or makes its consumers members if
    /// its faults are those of disks; whether it could.
    pub fn commit_as(&mut self, mode: CommitMode) -> bool {
        let has_members = self.workload.group.is_some() || self.cluster.disk.is_some();
        if has_members {
            GroupPlan::draw_into(self, Some(mode));
        }
        has_members
    }

    /// Makes processing about as slow as sending is fast: what is handed over then waits, and
    /// while it waits it is committed. Work that is done at once would hide what the mode loses.
    pub(crate) fn let_work_pile_up(&mut self) {
        let busy = u64::from(self.workload.consumers).min(self.cluster.partitions as u64);
        let mean_ms = 1_000 * busy / u64::from(self.workload.sends_per_second).max(1);
        if let Some(group) = &mut self.workload.group {
            group.process_ms = [mean_ms / 2, mean_ms + mean_ms / 2];
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_varies_what_the_controls_leave_alone() {
        let drawn = |name: &str| {
            let profile = profile::find(name).expect("a profile");
            let plans = (1..=60).map(|seed| {
                let mut plan = Plan::draw(seed, profile);
                assert!(plan.commit_as(CommitMode::SyncAfter));
                plan
            });
            plans.collect::<Vec<Plan>>()
        };
        let count = |plans: &[Plan], is: fn(&Plan) -> bool| plans.iter().filter(|p| is(p)).count();
        let group = |plan: &Plan| plan.workload.group.clone().expect("a group");
        let of: [fn(&Plan) -> bool; 3] = [
            |plan| {
                plan.workload
                    .group
                    .as_ref()
                    .is_some_and(|g| g.reset == OffsetReset::Latest)
            },
            |plan| {
                plan.workload
                    .group
                    .as_ref()
                    .is_some_and(|g| g.commit_on_revocation)
            },
            |plan| plan.cluster.setting("offsets.topic.segment.bytes") == Some("4096"),
        ];
        for is in of {
            assert!((5..55).contains(&count(&drawn("group"), is)));
            assert_eq!(count(&drawn("group-none"), is), 0);
        }
        let mut plans = drawn("group");
        let members: Vec<u32> = plans.iter().map(|plan| plan.workload.consumers).collect();
        assert!(
            (1..=8).all(|number| members.contains(&number)),
            "{members:?}"
        );
        for plan in &mut plans {
            assert_eq!(plan.check(std::path::Path::new("drawn")), Ok(()));
            assert!(plan.commit_as(CommitMode::AutoInLoop));
            assert!(
                !group(plan).commit_on_revocation,
                "the client commits by itself"
            );
        }
    }

    #[test]
    fn another_mode_changes_nothing_else_but_that_handed_over_work_piles_up() {
        let group = profile::find("group").expect("a profile");
        for seed in 1..20 {
            let mut plan = Plan::draw(seed, group);
            assert!(plan.commit_as(CommitMode::SyncAfter));
            let prompt = plan.clone();
            assert!(plan.commit_as(CommitMode::AutoHandoff));
            assert!(
                plan.workload.consumers >= 3,
                "seed {seed}: too few to catch up"
            );
            let [least, most] = plan.workload.group.as_ref().expect("a group").process_ms;
            let busy = u64::from(plan.workload.consumers).min(plan.cluster.partitions as u64);
            let sent_in_a_turn = u64::from(plan.workload.sends_per_second) * (least + most) / 2;
            assert!(sent_in_a_turn + 300 >= 1_000 * busy, "seed {seed}");
            assert!(plan.commit_as(CommitMode::SyncAfter));
            assert_eq!(plan, prompt, "seed {seed}");
        }
    }
}
