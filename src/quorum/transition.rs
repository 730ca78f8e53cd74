//! What moves a member between roles from outside: news of epochs and leaders, and its end.
//!
//! In: leaderships that other members report, BeginQuorumEpoch, EndQuorumEpoch. Out: the new role
//! and the effects of leaving the old one. Invariant: the epoch never falls, and a node follows
//! at most one leader in an epoch. Source: KIP-595, Kafka's `KafkaRaftClient.maybeTransition`.

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::quorum::Quorum;
use crate::quorum::effects::{Correlation, Effect, ElectionState, HaltReason, ReplyToken};
use crate::quorum::message::{
    BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochResponse, Leadership, Response,
};
use crate::quorum::role::{FormerLeader, Role};
use crate::time::Now;

impl Quorum {
    /// Takes note of what `from` knows about the leadership.
    pub(super) fn observe(&mut self, now: Now, from: BrokerId, seen: Leadership) {
        let leader = seen
            .leader
            .filter(|&leader| leader != self.config.id && self.config.is_voter(leader));
        if seen.epoch > self.state.epoch {
            self.set_state(ElectionState {
                epoch: seen.epoch,
                voted_for: None,
            });
            match leader {
                Some(leader) => self.become_follower(now, leader),
                None => self.become_unattached(now, FormerLeader::Unknown),
            }
        } else if seen.epoch == self.state.epoch
            && let Some(leader) = leader
            && self.may_follow(from, leader)
        {
            self.become_follower(now, leader);
        }
    }

    /// Whether word of `leader` in the present epoch ends this node's search.
    fn may_follow(&self, from: BrokerId, leader: BrokerId) -> bool {
        let former_leader = match &self.role {
            Role::Unattached(unattached) => unattached.former_leader,
            Role::Prospective(prospective) => prospective.former_leader,
            Role::Candidate(_) => FormerLeader::Unknown,
            _ => return false,
        };
        match former_leader {
            FormerLeader::Unknown => true,
            FormerLeader::Silent(silent) => silent == leader && from == leader,
            FormerLeader::Resigned(_) => false,
        }
    }

    /// A leader introduces itself.
    pub(super) fn handle_begin_quorum_epoch(
        &mut self,
        now: Now,
        reply_to: ReplyToken,
        request: BeginQuorumEpochRequest,
    ) {
        let error = self.check_epoch_request(request.leader, request.epoch);
        if error.is_none() {
            let seen = Leadership {
                epoch: request.epoch,
                leader: Some(request.leader),
            };
            self.observe(now, request.leader, seen);
        }
        let response = Response::BeginQuorumEpoch(self.epoch_response(error));
        self.outbox.reply(reply_to, response);
    }

    /// A leader says good-bye: its preferred successor stands at once, without sounding out, for
    /// the others hear of the end at the same time.
    pub(super) fn handle_end_quorum_epoch(
        &mut self,
        now: Now,
        reply_to: ReplyToken,
        request: EndQuorumEpochRequest,
    ) {
        let error = self.check_epoch_request(request.leader, request.epoch);
        if error.is_none() {
            let seen = Leadership {
                epoch: request.epoch,
                leader: None,
            };
            self.observe(now, request.leader, seen);
            self.leader_resigned(now, &request);
        }
        let response = Response::EndQuorumEpoch(self.epoch_response(error));
        self.outbox.reply(reply_to, response);
    }

    /// Takes note that the leader of the present epoch leads no more.
    fn leader_resigned(&mut self, now: Now, request: &EndQuorumEpochRequest) {
        let resigned = FormerLeader::Resigned(request.leader);
        let known = match &self.role {
            Role::Follower(_) => FormerLeader::Unknown,
            Role::Unattached(unattached) => unattached.former_leader,
            Role::Prospective(prospective) => prospective.former_leader,
            _ => return,
        };
        if request.preferred_successors.first() == Some(&self.config.id) && self.may_stand() {
            self.become_candidate(now);
        } else if known != resigned {
            self.become_unattached(now, resigned);
        }
    }

    fn check_epoch_request(&self, leader: BrokerId, epoch: i32) -> Option<ErrorCode> {
        let other_leader = self.role.leader_of_epoch(self.config.id);
        if !self.config.is_voter(leader) || leader == self.config.id {
            Some(ErrorCode::InconsistentVoterSet)
        } else if epoch < self.state.epoch {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if epoch == self.state.epoch && other_leader.is_some_and(|other| other != leader) {
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        }
    }

    fn epoch_response(&self, error: Option<ErrorCode>) -> EpochResponse {
        EpochResponse {
            error,
            leadership: self.leadership(),
        }
    }

    /// Whether this node may open a new epoch.
    pub(super) fn may_stand(&self) -> bool {
        self.config.is_voter(self.config.id) && !self.withdrawn
    }

    /// Remembers an epoch and vote, and has them persisted.
    pub(super) fn set_state(&mut self, state: ElectionState) {
        assert!(
            state.epoch >= self.state.epoch,
            "invariant: epoch {} follows epoch {}",
            state.epoch,
            self.state.epoch
        );
        self.state = state;
        self.outbox.persist_state(state);
    }

    /// Takes a new role; a leader that loses its own says so to whoever waits for it.
    pub(super) fn change_role(&mut self, role: Role) {
        let former = std::mem::replace(&mut self.role, role);
        if let Role::Leader(leader) = former {
            self.outbox.push(Effect::LostLeadership {
                epoch: leader.epoch,
            });
            self.refuse_parked(leader.parked);
        }
    }

    /// Leaves the quorum for good. A leader still says good-bye: that depends on no write but
    /// those it was elected with, which were durable before it asked for votes.
    pub(super) fn halt(&mut self, reason: HaltReason) {
        if self.is_halted() {
            return;
        }
        let successors = match &self.role {
            Role::Leader(leader) => leader.successors(),
            _ => Vec::new(),
        };
        let goodbye = self.goodbye(successors.clone());
        let correlation = self.next_correlation();
        self.change_role(Role::Halted);
        self.outbox.drop_held();
        for to in successors {
            self.outbox.push(Effect::Send {
                to,
                correlation,
                request: goodbye.clone(),
            });
        }
        self.outbox.push(Effect::Halted { reason });
    }

    /// A correlation that this life has not used.
    pub(super) fn next_correlation(&mut self) -> Correlation {
        self.last_correlation = self.last_correlation.wrapping_add(1);
        self.last_correlation
    }

    /// Ends every event: reports commits and a change of leader, and checks the invariants.
    pub(super) fn settle(&mut self) {
        let end = self.log.end();
        assert!(
            self.delivered <= self.high_watermark && self.high_watermark <= end.offset,
            "invariant: delivered {} <= high_watermark {} <= log_end_offset {}",
            self.delivered,
            self.high_watermark,
            end.offset
        );
        assert!(
            end.epoch <= self.state.epoch,
            "invariant: the log's last epoch {} is at most the node's {}",
            end.epoch,
            self.state.epoch
        );
        if self.delivered < self.high_watermark && !self.is_halted() {
            let batches = self
                .log
                .read(self.delivered, self.high_watermark, usize::MAX);
            self.delivered = self.high_watermark;
            self.outbox.push(Effect::Committed {
                batches,
                upto: self.high_watermark,
            });
        }
        let leadership = self.leadership();
        if self.announced != leadership {
            self.announced = leadership;
            self.outbox.push(Effect::LeaderChanged {
                leader: leadership.leader,
                epoch: leadership.epoch,
            });
        }
    }
}
