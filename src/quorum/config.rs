//! The settings of the metadata quorum: who votes, and how patient everybody is.
//!
//! In: the node's configuration (`controller.quorum.*`). Out: a validated plain struct.
//! Invariant: a `Config` that passed `validate` leaves a long poll room to finish before the
//! follower that waits for it loses patience. Source: Kafka's `QuorumConfig`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::BrokerId;

/// What a member of the quorum, voter or observer, needs to know at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub id: BrokerId,
    /// All voters, at least one. A node that is not among them observes: it fetches, never votes.
    pub voters: BTreeSet<BrokerId>,
    /// The least time without a leader before a voter stands for election; the actual time is
    /// drawn between once and twice this value (`controller.quorum.election.timeout.ms`).
    pub election_timeout: Duration,
    /// How long a follower waits for a successful fetch before it doubts its leader
    /// (`controller.quorum.fetch.timeout.ms`). A leader that no majority fetches from for one and
    /// a half times this resigns.
    pub fetch_timeout: Duration,
    /// How long the leader parks a fetch that has nothing to bring; at most half of
    /// `fetch_timeout`.
    pub fetch_max_wait: Duration,
    /// How long a fetch may take beyond its parking before it is sent again.
    pub request_timeout: Duration,
    /// The pause before a request that failed, was rejected or got no answer is repeated.
    pub retry_backoff: Duration,
    /// The most bytes of batches in one fetch response; the first batch always fits.
    pub fetch_max_bytes: usize,
    /// The most bytes of a snapshot in one chunk; at least one.
    pub snapshot_chunk_bytes: usize,
    /// The deliberate bug that this node has, for the tests that prove their oracle.
    #[cfg(test)]
    pub(super) mutation: Option<Mutation>,
}

impl Config {
    /// Kafka's defaults for node `id` among `voters`.
    pub fn new(id: BrokerId, voters: BTreeSet<BrokerId>) -> Self {
        Self {
            id,
            voters,
            election_timeout: Duration::from_secs(1),
            fetch_timeout: Duration::from_secs(2),
            fetch_max_wait: Duration::from_millis(500),
            request_timeout: Duration::from_secs(2),
            retry_backoff: Duration::from_millis(50),
            fetch_max_bytes: 1024 * 1024,
            snapshot_chunk_bytes: 1024 * 1024,
            #[cfg(test)]
            mutation: None,
        }
    }

    /// The timings of a cluster on one machine: a cold start elects well under half a second and
    /// a failover is over within about one.
    pub fn fast(id: BrokerId, voters: BTreeSet<BrokerId>) -> Self {
        Self {
            election_timeout: Duration::from_millis(150),
            fetch_timeout: Duration::from_millis(500),
            fetch_max_wait: Duration::from_millis(150),
            request_timeout: Duration::from_millis(250),
            retry_backoff: Duration::from_millis(40),
            ..Self::new(id, voters)
        }
    }

    /// Checks what the quorum relies on.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.voters.is_empty() {
            return Err(ConfigError::NoVoters);
        }
        if self.fetch_max_wait * 2 > self.fetch_timeout {
            return Err(ConfigError::FetchWaitTooLong {
                fetch_max_wait: self.fetch_max_wait,
                fetch_timeout: self.fetch_timeout,
            });
        }
        for (name, value) in [
            ("election timeout", self.election_timeout),
            ("retry backoff", self.retry_backoff),
            ("request timeout", self.request_timeout),
        ] {
            if value < Duration::from_millis(1) {
                return Err(ConfigError::TooShort { name, value });
            }
        }
        if self.snapshot_chunk_bytes == 0 {
            return Err(ConfigError::NoChunk);
        }
        Ok(())
    }

    /// Whether `id` votes.
    pub fn is_voter(&self, id: BrokerId) -> bool {
        self.voters.contains(&id)
    }

    /// The voters other than this node.
    pub(super) fn other_voters(&self) -> impl Iterator<Item = BrokerId> + '_ {
        self.voters
            .iter()
            .copied()
            .filter(|&voter| voter != self.id)
    }

    /// How many voters make a majority.
    pub(super) fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// How long a leader leads without hearing from a majority.
    pub(super) fn check_quorum_timeout(&self) -> Duration {
        self.fetch_timeout * 3 / 2
    }

    /// Whether this node has the deliberate bug `mutation`; never outside the quorum's own tests.
    #[cfg(test)]
    pub(super) fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether this node has the deliberate bug `mutation`; never outside the quorum's own tests.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' version reads it")]
    pub(super) const fn mutated(&self, _mutation: Mutation) -> bool {
        false
    }
}

/// A deliberate bug: the model checks must catch every one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Grants a vote without looking at the vote already given in this epoch.
    VoteTwice,
    /// Lets messages go before the writes that they depend on are durable.
    AnswerBeforePersistence,
    /// Commits records of earlier epochs by counting replicas (Raft's figure 8).
    CommitEarlierEpochs,
    /// Keeps a diverging suffix instead of truncating it.
    KeepDivergingSuffix,
    /// As leader, serves a fetch by its offset alone, whatever epoch its sender's log ends in.
    IgnoreLastFetchedEpoch,
    /// Grants votes to candidates whose log lacks records that this voter has.
    IgnoreCandidateLog,
}

/// Why a configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody could ever be elected.
    #[error("controller.quorum.voters is empty: name at least one voter")]
    NoVoters,
    /// A healthy leader would look dead to followers that have nothing to fetch.
    #[error(
        "the quorum parks a fetch for {fetch_max_wait:?}, which must be at most half of \
         controller.quorum.fetch.timeout.ms = {fetch_timeout:?}"
    )]
    FetchWaitTooLong {
        /// The configured wait.
        fetch_max_wait: Duration,
        /// The configured patience.
        fetch_timeout: Duration,
    },
    /// A timer would fire without end.
    #[error("the quorum's {name} is {value:?}: it must be at least one millisecond")]
    TooShort {
        /// Which timer.
        name: &'static str,
        /// The configured value.
        value: Duration,
    },
    /// A snapshot would never arrive.
    #[error("the quorum's snapshot chunk is zero bytes: it must be at least one")]
    NoChunk,
}
