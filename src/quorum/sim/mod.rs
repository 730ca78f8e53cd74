//! A whole quorum in one thread: seeded, adversarial, and watched by an oracle.
//!
//! In: a seed and a `Plan`. Out: nothing, or the first `Violation` with a line that reproduces
//! it. Invariant: the same plan gives the same trace, event for event. Messages are lost, delayed,
//! duplicated and reordered, links are cut one way or both, nodes crash with any part of what was
//! not fsynced, pause, halt on disk errors, and restart. Then everything is healed, and the
//! cluster must make progress within bounded time. Source: TigerBeetle's VOPR (safety, then
//! liveness), Vanlightly's KRaft TLA+ (the invariants).

mod cluster;
mod disk;
mod nemesis;
mod network;
mod oracle;
mod scenario_test;
mod simulation_test;
mod state_machine_test;

use std::fmt;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::quorum::config::Mutation;
use cluster::Cluster;

/// Everything that determines a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) voters: i32,
    /// Events until the cluster is healed.
    pub(super) steps: u32,
    /// Of a thousand messages, how many are lost.
    pub(super) lost_permille: u32,
    /// Of a thousand messages, how many arrive twice.
    pub(super) doubled_permille: u32,
    /// Of a thousand messages, how many are held up.
    pub(super) late_permille: u32,
    /// The longest that a message is held up, in milliseconds.
    pub(super) late_millis: u64,
    /// The longest fsync, in milliseconds.
    pub(super) fsync_millis: u64,
    /// Of ten thousand events, how many are followed by a fault.
    pub(super) fault_permyriad: u32,
    /// Of a thousand events, how many are followed by a proposal.
    pub(super) proposal_permille: u32,
    /// Of a thousand elections, how many winners die within a few fsyncs.
    pub(super) assassin_permille: u32,
    /// The bug to plant.
    pub(super) mutation: Option<Mutation>,
}

impl Plan {
    /// The plan that `seed` draws for a cluster of `voters` voters and one observer.
    pub(super) fn draw(seed: u64, voters: i32, steps: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        let mut pick = |choices: [u32; 4]| choices[rng.random_range(0..4)];
        Self {
            seed,
            voters,
            steps,
            lost_permille: pick([0, 10, 50, 200]),
            doubled_permille: pick([0, 10, 50, 200]),
            late_permille: pick([0, 10, 50, 200]),
            late_millis: u64::from(pick([20, 100, 400, 1500])),
            fsync_millis: u64::from(pick([0, 2, 10, 60])),
            fault_permyriad: pick([20, 50, 100, 200]),
            proposal_permille: pick([10, 30, 100, 200]),
            assassin_permille: pick([0, 0, 200, 800]),
            mutation: None,
        }
    }

    /// A plan in which hardly any leader survives its election: what was appended but not
    /// committed piles up in the logs (Raft's figure 8).
    pub(super) fn churn(seed: u64, voters: i32, steps: u32) -> Self {
        Self {
            lost_permille: 10,
            doubled_permille: 10,
            late_permille: 20,
            late_millis: 100,
            fsync_millis: 10,
            fault_permyriad: 10,
            proposal_permille: 20,
            assassin_permille: 900,
            ..Self::draw(seed, voters, steps)
        }
    }

    /// The same plan with a bug.
    pub(super) fn with(mut self, mutation: Mutation) -> Self {
        self.mutation = Some(mutation);
        self
    }

    /// Runs the plan: faults, then healing, then progress. Returns the hash of the trace.
    pub(super) fn run(&self) -> Result<Summary, Violation> {
        let mut cluster = Cluster::new(self.clone());
        let outcome = cluster
            .run_faults()
            .and_then(|()| cluster.require_progress());
        outcome
            .map(|()| cluster.summary())
            .map_err(|what| Violation {
                plan: self.clone(),
                at: cluster.now().time.as_duration(),
                what,
            })
    }
}

/// What a run was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The hash of every event.
    pub(super) trace: u64,
    pub(super) events: u64,
    pub(super) elections: usize,
    pub(super) committed: usize,
    pub(super) acknowledged: usize,
    pub(super) crashes: u32,
    pub(super) snapshots_loaded: u32,
    pub(super) truncations: u32,
}

/// A broken promise.
#[derive(Debug)]
pub(super) struct Violation {
    plan: Plan,
    at: Duration,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, at, what } = self;
        writeln!(f, "after {at:?}: {what}\n{plan:?}")?;
        write!(
            f,
            "REPRODUCE: QUORUM_SEED={} QUORUM_VOTERS={} QUORUM_STEPS={} cargo test -p \
             verdict-broker --lib quorum::sim::simulation_test::reproduce -- --nocapture",
            plan.seed, plan.voters, plan.steps
        )
    }
}
