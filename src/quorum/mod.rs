//! The metadata quorum: a sans-IO core after KRaft that keeps one log identical on its voters.
//!
//! In: requests, responses, completed writes, proposals, time. Out: effects (`effects.rs` says
//! who performs each and what answers it). Invariants: at most one leader an epoch; what was
//! reported committed is never lost or changed; nothing is sent before the writes that it depends
//! on are durable. Messages may be lost, delayed, duplicated and reordered, and nodes may restart
//! at any point. Source: KIP-595, KIP-630, KIP-996; Raft for the proofs.
//!
//! Grammar: call `handle_*` or `propose` as things happen, then perform `take_effects`, then wait
//! for the next thing or `next_timeout`, whichever comes first.

mod config;
mod effects;
mod election;
mod log;
mod message;
mod recovery;
mod replication;
mod role;
#[cfg(test)]
mod sim;
mod snapshot;
mod status;
mod transition;

pub use config::{Config, ConfigError};
pub use effects::{
    Correlation, Effect, ElectionState, HaltReason, NotLeader, Payload, Proposed, Recovered,
    ReplyToken, Token,
};
pub use log::{Batch, BatchBody, LogEnd};
pub use message::{
    BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochResponse, FetchRequest, FetchResponse,
    FetchSnapshotRequest, FetchSnapshotResponse, Fetched, Leadership, Request, Response,
    SnapshotChunk, VoteRequest, VoteResponse,
};
pub use recovery::StartError;
pub use role::RoleName;
pub use snapshot::{Snapshot, SnapshotError, SnapshotId};

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::id::BrokerId;
use crate::offset::Offset;
use crate::time::{Now, Time};
use config::Mutation;
use effects::Outbox;
use log::QuorumLog;
use recovery::RecoveredLog;
use role::{FormerLeader, Role};

/// One member of the metadata quorum: a voter, or an observer that only fetches.
#[derive(Debug)]
pub struct Quorum {
    config: Config,
    rng: ChaCha8Rng,
    state: ElectionState,
    role: Role,
    log: QuorumLog,
    snapshot: Option<Snapshot>,
    high_watermark: Offset,
    delivered: Offset,
    announced: Leadership,
    last_correlation: Correlation,
    withdrawn: bool,
    /// Candidacies since a leader was last known: each doubles the patience of the next, so that
    /// slow disks and links do not keep a quorum from ever electing.
    failed_candidacies: u32,
    outbox: Outbox,
}

impl Quorum {
    /// Starts a member from what its disk holds. `seed` must differ between nodes and lives: it
    /// spreads election timeouts and correlations. The first effects are ready at once.
    pub fn new(
        now: Now,
        config: Config,
        seed: u64,
        recovered: Recovered,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let RecoveredLog { log, restarts } = recovery::recover(&recovered)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = log.start();
        let mut quorum = Self {
            outbox: Outbox::new(config.mutated(Mutation::AnswerBeforePersistence)),
            last_correlation: Correlation::from(rng.random::<u32>()) << 32,
            config,
            rng,
            state: recovered.state,
            role: Role::Halted,
            log,
            snapshot: recovered.snapshot,
            high_watermark: start.end_offset,
            delivered: start.end_offset,
            announced: Leadership::default(),
            withdrawn: false,
            failed_candidacies: 0,
        };
        if let Some(snapshot) = quorum.snapshot.clone() {
            quorum.outbox.push(Effect::LoadSnapshot { snapshot });
        }
        if restarts {
            quorum
                .outbox
                .write(|token| Effect::RestartLog { token, at: start });
        }
        quorum.start(now);
        quorum.settle();
        Ok(quorum)
    }

    /// A request of another member arrived; it is answered by `Effect::Reply`, possibly later.
    pub fn handle_request(&mut self, now: Now, reply_to: ReplyToken, request: Request) {
        if self.is_halted() {
            return;
        }
        match request {
            Request::Vote(request) => self.handle_vote_request(now, reply_to, request),
            Request::BeginQuorumEpoch(request) => {
                self.handle_begin_quorum_epoch(now, reply_to, request);
            }
            Request::EndQuorumEpoch(request) => {
                self.handle_end_quorum_epoch(now, reply_to, request);
            }
            Request::Fetch(request) => self.handle_fetch_request(now, reply_to, request),
            Request::FetchSnapshot(request) => {
                self.handle_fetch_snapshot_request(now, reply_to, request);
            }
        }
        self.settle();
    }

    /// The response to an `Effect::Send` arrived.
    pub fn handle_response(
        &mut self,
        now: Now,
        from: BrokerId,
        correlation: Correlation,
        response: Response,
    ) {
        if self.is_halted() {
            return;
        }
        self.observe(now, from, response.leadership());
        match response {
            Response::Vote(response) => {
                self.handle_vote_response(now, from, correlation, response);
            }
            Response::BeginQuorumEpoch(_) => {}
            Response::EndQuorumEpoch(_) => self.handle_goodbye_acknowledged(from),
            Response::Fetch(response) => {
                self.handle_fetch_response(now, from, correlation, response);
            }
            Response::FetchSnapshot(response) => {
                self.handle_fetch_snapshot_response(now, from, correlation, response);
            }
        }
        self.settle();
    }

    /// An `Effect::Send` failed: refused, reset, or timed out. Without this call the quorum finds
    /// out by its own timeouts, later.
    pub fn handle_request_failed(&mut self, now: Now, to: BrokerId, correlation: Correlation) {
        self.handle_fetch_failed(now, to, correlation);
        self.settle();
    }

    /// All writes up to `token` are durable. Tokens may be skipped, never reported early.
    pub fn handle_persisted(&mut self, now: Now, token: Token) {
        if self.is_halted() {
            return;
        }
        self.outbox.persisted(token);
        self.log.persisted(token);
        self.leader_wrote(now);
        self.advance_high_watermark(now);
        self.serve_parked(now);
        self.settle();
    }

    /// A write failed. The node leaves the quorum for good: what its disk holds is unknown.
    pub fn handle_storage_failed(&mut self, _now: Now) {
        self.halt(HaltReason::StorageFailed);
        self.settle();
    }

    /// The composition took a snapshot of everything it was told to apply up to `end_offset`; the
    /// log before it is dropped. `Effect::SaveSnapshot` follows.
    pub fn handle_snapshot_taken(
        &mut self,
        end_offset: Offset,
        bytes: Bytes,
    ) -> Result<SnapshotId, SnapshotError> {
        if self.is_halted() {
            return Err(SnapshotError::Halted);
        }
        if end_offset > self.delivered {
            return Err(SnapshotError::NotCommitted {
                end_offset,
                applied: self.delivered,
            });
        }
        let log_start = self.log.start().end_offset;
        let id = self
            .log
            .prefix(end_offset)
            .ok_or(SnapshotError::NotABatchEnd {
                end_offset,
                log_start,
            })?;
        if end_offset > log_start {
            self.log.drop_prefix(id);
            let snapshot = Snapshot { id, bytes };
            self.snapshot = Some(snapshot.clone());
            self.outbox
                .write(|token| Effect::SaveSnapshot { token, snapshot });
        }
        Ok(id)
    }

    /// The node shuts down: it stands for no more elections, and if it leads it hands over. Done
    /// when `has_withdrawn`, or when patience ends.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.withdrawn = true;
        self.resign(now);
        if matches!(self.role, Role::Prospective(_) | Role::Candidate(_)) {
            self.become_unattached(now, FormerLeader::Unknown);
        }
        self.settle();
    }

    /// Time has reached `next_timeout`.
    pub fn handle_timeout(&mut self, now: Now) {
        match self.role {
            Role::Unattached(_) => self.unattached_timeout(now),
            Role::Follower(_) => self.follower_timeout(now),
            Role::Prospective(_) => self.prospective_timeout(now),
            Role::Candidate(_) => self.candidate_timeout(now),
            Role::Leader(_) => self.leader_timeout(now),
            Role::Resigned(_) => self.resigned_timeout(now),
            Role::Halted => {}
        }
        self.settle();
    }

    /// Appends `record_count` records, at least one, as one batch. They are committed once
    /// `Effect::Committed` covers them; if leadership is lost before, their outcome is unknown.
    pub fn propose(
        &mut self,
        now: Now,
        payload: Payload,
        record_count: u32,
    ) -> Result<Proposed, NotLeader> {
        let Role::Leader(leader) = &self.role else {
            return Err(NotLeader {
                leader: self.leader(),
                epoch: self.epoch(),
            });
        };
        let epoch = leader.epoch;
        let base_offset = self.log.end().offset;
        let batch = Batch {
            base_offset,
            record_count: record_count.max(1),
            epoch,
            body: BatchBody::Records(payload),
        };
        let end_offset = batch.end_offset();
        self.append_as_leader(now, batch);
        self.advance_high_watermark(now);
        self.settle();
        Ok(Proposed {
            base_offset,
            end_offset,
            epoch,
        })
    }

    /// Hands over what must be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.outbox.take()
    }

    /// When `handle_timeout` must be called next.
    pub fn next_timeout(&self) -> Option<Time> {
        self.role.next_timeout()
    }
}

#[cfg(test)]
mod forged_test;
#[cfg(test)]
mod log_test;
#[cfg(test)]
mod quorum_test;
#[cfg(test)]
mod recovery_test;
