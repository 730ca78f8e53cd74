//! A member that knows an epoch but has nobody to follow.
//!
//! In: the passing of time. Out: a voter stands for election, an observer asks around.
//! Invariant: an observer never stands. Source: Kafka's `UnattachedState`.

use rand::RngExt;

use crate::quorum::Quorum;
use crate::quorum::message::Request;
use crate::quorum::role::{FormerLeader, Role};
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Unattached {
    /// The leader of this epoch, which is gone; others who still name it are not believed.
    pub(in crate::quorum) former_leader: FormerLeader,
    /// When a voter loses patience, or an observer asks the next voter.
    pub(in crate::quorum) deadline: Time,
}

impl Quorum {
    /// Waits for news of a leader.
    pub(in crate::quorum) fn become_unattached(&mut self, now: Now, former_leader: FormerLeader) {
        let deadline = if self.config.is_voter(self.config.id) {
            now.time + self.draw_election_timeout()
        } else {
            now.time
        };
        self.change_role(Role::Unattached(Unattached {
            former_leader,
            deadline,
        }));
    }

    /// Takes the first role of a process. A fresh voter asks around early: pre-votes disturb
    /// nobody, and any answer names the leader if there is one.
    pub(in crate::quorum) fn start(&mut self, now: Now) {
        if self.config.majority() == 1 && self.may_stand() {
            self.become_candidate(now);
            return;
        }
        let share = 0.2 + 0.8 * self.rng.random::<f64>();
        self.change_role(Role::Unattached(Unattached {
            former_leader: FormerLeader::Unknown,
            deadline: now.time + self.config.election_timeout.mul_f64(share),
        }));
    }

    /// The deadline has passed.
    pub(in crate::quorum) fn unattached_timeout(&mut self, now: Now) {
        let Role::Unattached(unattached) = &self.role else {
            return;
        };
        let former_leader = unattached.former_leader;
        if now.time < unattached.deadline {
            return;
        }
        if self.may_stand() {
            self.become_prospective(now, former_leader);
            return;
        }
        let observes = !self.config.is_voter(self.config.id);
        let pause = if observes {
            self.config.retry_backoff
        } else {
            self.config.election_timeout
        };
        self.change_role(Role::Unattached(Unattached {
            former_leader,
            deadline: now.time + pause,
        }));
        if observes {
            self.ask_any_voter();
        }
    }

    /// Sends a fetch to a random voter: whatever it answers names the epoch and its leader.
    fn ask_any_voter(&mut self) {
        let chosen = self.rng.random_range(0..self.config.voters.len());
        if let Some(&voter) = self.config.voters.iter().nth(chosen) {
            let correlation = self.next_correlation();
            let request = self.fetch_request(0);
            self.outbox
                .send(voter, correlation, Request::Fetch(request));
        }
    }
}
