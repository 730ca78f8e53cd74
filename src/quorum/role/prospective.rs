//! A voter that sounds out whether it could win, without raising the epoch (KIP-996).
//!
//! In: pre-vote responses, time. Out: a candidacy, or a return to the former leader.
//! Invariant: a node cut off from the majority never raises its epoch, so its return disturbs
//! nobody. Source: KIP-996, Kafka's `ProspectiveState`.

use crate::quorum::Quorum;
use crate::quorum::election::Ballots;
use crate::quorum::role::{FormerLeader, Role};
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Prospective {
    /// The leader of this epoch, which is gone.
    pub(in crate::quorum) former_leader: FormerLeader,
    pub(in crate::quorum) ballots: Ballots,
    /// When to give the former leader another chance.
    pub(in crate::quorum) deadline: Time,
}

impl Prospective {
    pub(in crate::quorum) fn next_timeout(&self) -> Time {
        let ask_at = self.ballots.next_timeout();
        ask_at.map_or(self.deadline, |ask_at| ask_at.min(self.deadline))
    }
}

impl Quorum {
    /// Asks the other voters whether they would vote for this node.
    pub(in crate::quorum) fn become_prospective(&mut self, now: Now, former_leader: FormerLeader) {
        let round = self.next_correlation();
        let deadline = now.time + self.draw_election_timeout();
        self.change_role(Role::Prospective(Prospective {
            former_leader,
            ballots: Ballots::new(now.time, round, self.config.other_voters()),
            deadline,
        }));
        if self.config.majority() == 1 {
            self.become_candidate(now);
        } else {
            self.ask_for_votes(now);
        }
    }

    /// Asks again, or returns to the former leader after a round without a majority: it may have
    /// been this node's own link that was down.
    pub(in crate::quorum) fn prospective_timeout(&mut self, now: Now) {
        let Role::Prospective(prospective) = &self.role else {
            return;
        };
        let former_leader = prospective.former_leader;
        if now.time < prospective.deadline {
            self.ask_for_votes(now);
        } else if let FormerLeader::Silent(leader) = former_leader {
            self.become_follower(now, leader);
        } else {
            self.become_prospective(now, former_leader);
        }
    }
}
