//! A leader that gave its epoch up: it shuts down, or lost touch with the majority.
//!
//! In: acknowledgements of its good-bye, time. Out: EndQuorumEpoch to every voter until each
//! acknowledged it. Invariants: it never leads this epoch again; the good-bye does not wait for the
//! log's writes, for a disk that hangs may be why it resigned. Source: KIP-595, `ResignedState`.

use std::collections::BTreeSet;

use crate::id::BrokerId;
use crate::quorum::Quorum;
use crate::quorum::message::{EndQuorumEpochRequest, Request};
use crate::quorum::role::{FormerLeader, Role};
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Resigned {
    /// The voters that have not acknowledged.
    pub(in crate::quorum) unacknowledged: BTreeSet<BrokerId>,
    /// The other voters, the most caught-up first.
    pub(in crate::quorum) successors: Vec<BrokerId>,
    /// When to say good-bye again.
    pub(in crate::quorum) repeat_at: Time,
    /// When to stand again; never during a shutdown.
    pub(in crate::quorum) stand_at: Option<Time>,
}

impl Resigned {
    pub(in crate::quorum) fn next_timeout(&self) -> Option<Time> {
        let repeat_at = (!self.unacknowledged.is_empty()).then_some(self.repeat_at);
        repeat_at.into_iter().chain(self.stand_at).min()
    }
}

impl Quorum {
    /// Stops leading and tells the others who should take over.
    pub(in crate::quorum) fn resign(&mut self, now: Now) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let successors = leader.successors();
        let stand_at = self
            .may_stand()
            .then(|| now.time + self.draw_election_timeout());
        self.change_role(Role::Resigned(Resigned {
            unacknowledged: successors.iter().copied().collect(),
            successors,
            repeat_at: now.time,
            stand_at,
        }));
        self.say_goodbye(now);
    }

    /// The good-bye of this leader.
    pub(in crate::quorum) fn goodbye(&self, preferred_successors: Vec<BrokerId>) -> Request {
        Request::EndQuorumEpoch(EndQuorumEpochRequest {
            leader: self.config.id,
            epoch: self.state.epoch,
            preferred_successors,
        })
    }

    /// Sends the good-bye to whoever has not acknowledged it.
    fn say_goodbye(&mut self, now: Now) {
        let correlation = self.next_correlation();
        let Role::Resigned(resigned) = &mut self.role else {
            return;
        };
        resigned.repeat_at = now.time + self.config.retry_backoff * 2;
        let receivers: Vec<_> = resigned.unacknowledged.iter().copied().collect();
        let successors = resigned.successors.clone();
        let goodbye = self.goodbye(successors);
        for voter in receivers {
            self.outbox
                .send_with_state(voter, correlation, goodbye.clone());
        }
    }

    /// Repeats the good-bye, or stands again.
    pub(in crate::quorum) fn resigned_timeout(&mut self, now: Now) {
        let Role::Resigned(resigned) = &self.role else {
            return;
        };
        if resigned
            .stand_at
            .is_some_and(|stand_at| stand_at <= now.time)
        {
            self.become_prospective(now, FormerLeader::Unknown);
        } else if resigned.repeat_at <= now.time {
            self.say_goodbye(now);
        }
    }

    /// `from` knows.
    pub(in crate::quorum) fn handle_goodbye_acknowledged(&mut self, from: BrokerId) {
        if let Role::Resigned(resigned) = &mut self.role {
            resigned.unacknowledged.remove(&from);
        }
    }
}
