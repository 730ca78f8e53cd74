//! Elections from both sides: the ballots of a node that stands, and the answer of one that votes.
//!
//! In: vote requests, vote responses. Out: grants, counts. Invariant: a node grants at most one
//! candidate its vote in an epoch, across restarts, and only one whose log holds everything that
//! its own does. Source: KIP-595 (votes), KIP-996 (pre-vote).

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::quorum::Quorum;
use crate::quorum::config::Mutation;
use crate::quorum::effects::{Correlation, ElectionState, ReplyToken};
use crate::quorum::log::LogEnd;
use crate::quorum::message::{Leadership, Request, Response, VoteRequest, VoteResponse};
use crate::quorum::role::{FormerLeader, Role, Unattached};
use crate::time::{Now, Time};

/// What one voter said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ballot {
    /// Nothing, or nothing final: ask again at that time.
    Open {
        ask_at: Time,
    },
    Granted,
    Rejected,
}

/// The ballots of the other voters in one round. The node's own vote is its own.
#[derive(Debug)]
pub(super) struct Ballots {
    /// Every request of the round carries it, so answers of other rounds do not count.
    pub(super) round: Correlation,
    votes: BTreeMap<BrokerId, Ballot>,
}

impl Ballots {
    pub(super) fn new(
        now: Time,
        round: Correlation,
        voters: impl Iterator<Item = BrokerId>,
    ) -> Self {
        let votes = voters.map(|voter| (voter, Ballot::Open { ask_at: now }));
        Self {
            round,
            votes: votes.collect(),
        }
    }

    /// Votes in favour, the node's own included.
    pub(super) fn granted(&self) -> usize {
        1 + self.count(Ballot::Granted)
    }

    /// Votes against.
    pub(super) fn rejected(&self) -> usize {
        self.count(Ballot::Rejected)
    }

    /// Records what `voter` said; a vote once granted stays granted.
    pub(super) fn record(&mut self, voter: BrokerId, ballot: Ballot) {
        if let Some(vote) = self.votes.get_mut(&voter)
            && *vote != Ballot::Granted
        {
            *vote = ballot;
        }
    }

    /// The voters to ask now; each is due again at `ask_again_at`.
    pub(super) fn take_due(&mut self, now: Time, ask_again_at: Time) -> Vec<BrokerId> {
        let mut due = Vec::new();
        for (&voter, ballot) in &mut self.votes {
            if let Ballot::Open { ask_at } = ballot
                && *ask_at <= now
            {
                *ask_at = ask_again_at;
                due.push(voter);
            }
        }
        due
    }

    /// When somebody must be asked next.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let open = self.votes.values().filter_map(|ballot| match ballot {
            Ballot::Open { ask_at } => Some(*ask_at),
            Ballot::Granted | Ballot::Rejected => None,
        });
        open.min()
    }

    fn count(&self, ballot: Ballot) -> usize {
        self.votes.values().filter(|&&vote| vote == ballot).count()
    }
}

impl Quorum {
    /// Answers a vote or pre-vote request.
    pub(super) fn handle_vote_request(
        &mut self,
        now: Now,
        reply_to: ReplyToken,
        request: VoteRequest,
    ) {
        let me = self.config.id;
        let both_vote = self.config.is_voter(me) && self.config.is_voter(request.candidate);
        let error = if !both_vote || request.candidate == me {
            Some(ErrorCode::InconsistentVoterSet)
        } else if request.epoch < self.state.epoch {
            Some(ErrorCode::FencedLeaderEpoch)
        } else {
            None
        };
        let vote_granted = error.is_none() && {
            self.observe(
                now,
                request.candidate,
                Leadership {
                    epoch: request.epoch,
                    leader: None,
                },
            );
            self.decide_vote(now, request)
        };
        let response = VoteResponse {
            error,
            leadership: self.leadership(),
            vote_granted,
        };
        self.outbox.reply(reply_to, Response::Vote(response));
    }

    /// Whether this node, in the epoch of the request, votes for its sender.
    fn decide_vote(&mut self, now: Now, request: VoteRequest) -> bool {
        let candidate_log = LogEnd {
            epoch: request.last_epoch,
            offset: request.last_offset,
        };
        if candidate_log < self.log.end() && !self.config.mutated(Mutation::IgnoreCandidateLog) {
            return false;
        }
        if request.pre_vote {
            return !self.role.hears_a_leader();
        }
        match self.state.voted_for {
            Some(candidate) if candidate == request.candidate => true,
            Some(_) if !self.config.mutated(Mutation::VoteTwice) => false,
            _ if self.role.leader_of_epoch(self.config.id).is_some() => false,
            _ => {
                self.set_state(ElectionState {
                    voted_for: Some(request.candidate),
                    ..self.state
                });
                let deadline = now.time + self.draw_election_timeout();
                self.change_role(Role::Unattached(Unattached {
                    former_leader: FormerLeader::Unknown,
                    deadline,
                }));
                true
            }
        }
    }

    /// Takes a vote response into account if this node still stands in that round.
    pub(super) fn handle_vote_response(
        &mut self,
        now: Now,
        from: BrokerId,
        round: Correlation,
        response: VoteResponse,
    ) {
        let granted = response.vote_granted && response.leadership.epoch == self.state.epoch;
        let majority = self.config.majority();
        let ask_at = now.time + self.config.retry_backoff;
        match &mut self.role {
            Role::Prospective(prospective) if prospective.ballots.round == round => {
                let refused = Ballot::Open { ask_at };
                let ballot = if granted { Ballot::Granted } else { refused };
                prospective.ballots.record(from, ballot);
                if prospective.ballots.granted() >= majority {
                    self.become_candidate(now);
                }
            }
            Role::Candidate(candidate) if candidate.ballots.round == round => {
                let refused = Ballot::Rejected;
                let ballot = if granted { Ballot::Granted } else { refused };
                candidate.ballots.record(from, ballot);
                if candidate.ballots.granted() >= majority {
                    self.become_leader(now);
                } else {
                    self.hasten_lost_candidacy(now);
                }
            }
            _ => {}
        }
    }

    /// Asks the voters that are due in the round of a candidate or prospective.
    pub(super) fn ask_for_votes(&mut self, now: Now) {
        let ask_again_at = now.time + self.config.retry_backoff;
        let (ballots, pre_vote) = match &mut self.role {
            Role::Prospective(prospective) => (&mut prospective.ballots, true),
            Role::Candidate(candidate) => (&mut candidate.ballots, false),
            _ => return,
        };
        let round = ballots.round;
        let log_end = self.log.end();
        let request = VoteRequest {
            candidate: self.config.id,
            epoch: self.state.epoch,
            last_epoch: log_end.epoch,
            last_offset: log_end.offset,
            pre_vote,
        };
        for voter in ballots.take_due(now.time, ask_again_at) {
            self.outbox.send(voter, round, Request::Vote(request));
        }
    }

    /// A random patience, so that voters rarely stand at the same time.
    pub(super) fn draw_election_timeout(&mut self) -> Duration {
        let base = self.config.election_timeout;
        base + base.mul_f64(self.rng.random::<f64>())
    }
}
