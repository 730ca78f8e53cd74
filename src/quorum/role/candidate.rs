//! A voter that stands for election in an epoch of its own.
//!
//! In: vote responses, time. Out: leadership, or another round of sounding out.
//! Invariant: epoch and vote for itself are persisted before any vote request leaves (the outbox
//! holds it). Source: KIP-595, Kafka's `CandidateState`.

use rand::RngExt;

use crate::quorum::Quorum;
use crate::quorum::effects::ElectionState;
use crate::quorum::election::Ballots;
use crate::quorum::role::{FormerLeader, Role};
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Candidate {
    pub(in crate::quorum) ballots: Ballots,
    /// When the candidacy counts as failed.
    pub(in crate::quorum) deadline: Time,
    /// Whether a majority already said no, so that the deadline was brought forward.
    pub(in crate::quorum) lost: bool,
}

impl Candidate {
    pub(in crate::quorum) fn next_timeout(&self) -> Time {
        let ask_at = self.ballots.next_timeout();
        ask_at.map_or(self.deadline, |ask_at| ask_at.min(self.deadline))
    }
}

impl Quorum {
    /// Opens a new epoch and votes for itself in it.
    pub(in crate::quorum) fn become_candidate(&mut self, now: Now) {
        let Some(epoch) = self.state.epoch.checked_add(1) else {
            return;
        };
        self.set_state(ElectionState {
            epoch,
            voted_for: Some(self.config.id),
        });
        let round = self.next_correlation();
        let patience = self.draw_election_timeout() * (1 << self.failed_candidacies.min(4));
        let deadline = now.time + patience;
        self.change_role(Role::Candidate(Candidate {
            ballots: Ballots::new(now.time, round, self.config.other_voters()),
            deadline,
            lost: false,
        }));
        if self.config.majority() == 1 {
            self.become_leader(now);
        } else {
            self.ask_for_votes(now);
        }
    }

    /// Asks again, or gives the epoch up.
    pub(in crate::quorum) fn candidate_timeout(&mut self, now: Now) {
        let Role::Candidate(candidate) = &self.role else {
            return;
        };
        if now.time < candidate.deadline {
            self.ask_for_votes(now);
            return;
        }
        self.failed_candidacies += 1;
        if self.may_stand() {
            self.become_prospective(now, FormerLeader::Unknown);
        } else {
            self.become_unattached(now, FormerLeader::Unknown);
        }
    }

    /// Once a majority is out of reach, waits only a random moment: the rivals in a split vote
    /// must not all come back together.
    pub(in crate::quorum) fn hasten_lost_candidacy(&mut self, now: Now) {
        let Role::Candidate(candidate) = &mut self.role else {
            return;
        };
        let reachable = self.config.voters.len() - candidate.ballots.rejected();
        if reachable < self.config.majority() && !candidate.lost {
            candidate.lost = true;
            let pause = self
                .config
                .election_timeout
                .mul_f64(self.rng.random::<f64>());
            candidate.deadline = candidate.deadline.min(now.time + pause);
        }
    }
}
