//! The leader's side of replication: fetches, snapshots, and the high watermark.
//!
//! In: fetch requests, flushes. Out: batches, divergences, snapshot pieces, commits.
//! Invariant: only flushed records are shown to anybody, and the high watermark rises only over
//! records of the leader's own epoch that a majority has flushed. Source: KIP-595, KIP-630,
//! KIP-1166 (answer a fetch early when the high watermark rose), Raft §5.4.2.

use std::time::Duration;

use crate::error::ErrorCode;
use crate::offset::LeaderEpoch;
use crate::quorum::Quorum;
use crate::quorum::config::Mutation;
use crate::quorum::effects::ReplyToken;
use crate::quorum::log::{LogEnd, Relation};
use crate::quorum::message::{
    FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, Fetched, Response,
    SnapshotChunk,
};
use crate::quorum::role::{Parked, Role};
use crate::time::Now;

impl Quorum {
    /// Answers a fetch, or parks it until there is something to answer.
    pub(super) fn handle_fetch_request(
        &mut self,
        now: Now,
        reply_to: ReplyToken,
        request: FetchRequest,
    ) {
        if let Err(error) = self.check_leads(request.epoch) {
            self.answer_fetch(reply_to, Err(error));
            return;
        }
        if request.fetch_offset < 0 || request.last_fetched_epoch < 0 {
            self.answer_fetch(reply_to, Err(ErrorCode::InvalidRequest));
            return;
        }
        self.heard_of(now, request.replica);
        self.note_progress(now, &request);
        let max_wait = Duration::from_millis(u64::from(request.max_wait_millis));
        let parked = Parked {
            reply_to,
            request,
            deadline: now.time + max_wait.min(self.config.fetch_max_wait),
        };
        self.answer_or_park(now, parked);
    }

    /// Whether this node leads `epoch`, the one that a request is for.
    fn check_leads(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if epoch < self.state.epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if epoch > self.state.epoch {
            Err(ErrorCode::UnknownLeaderEpoch)
        } else if self.is_leader() {
            Ok(())
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        }
    }

    /// Learns from a fetch what its sender has flushed.
    fn note_progress(&mut self, now: Now, request: &FetchRequest) {
        if self.relation(request) != Relation::Prefix {
            return;
        }
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.voters.get_mut(&request.replica)
            && progress.end_offset < request.fetch_offset
        {
            progress.end_offset = request.fetch_offset;
            self.advance_high_watermark(now);
        }
    }

    /// Commits what a majority has flushed.
    pub(super) fn advance_high_watermark(&mut self, now: Now) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let majority_end = leader.majority_end(self.log.flushed_end());
        let own_epoch = majority_end > leader.epoch_start_offset
            || self.config.mutated(Mutation::CommitEarlierEpochs);
        if own_epoch && majority_end > self.high_watermark {
            self.high_watermark = majority_end;
            self.serve_parked(now);
        }
    }

    /// Answers the parked fetches that have waited long enough or for which there is news.
    pub(super) fn serve_parked(&mut self, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for parked in std::mem::take(&mut leader.parked) {
            self.answer_or_park(now, parked);
        }
    }

    fn answer_or_park(&mut self, now: Now, parked: Parked) {
        let request = &parked.request;
        let fetched = self.fetched(request);
        let is_news = match &fetched {
            Fetched::Batches {
                batches,
                high_watermark,
            } => !batches.is_empty() || *high_watermark > request.high_watermark,
            Fetched::Diverging { .. } | Fetched::Snapshot(_) => true,
        };
        match &mut self.role {
            Role::Leader(leader) if !is_news && now.time < parked.deadline => {
                leader.parked.push(parked);
            }
            _ => self.answer_fetch(parked.reply_to, Ok(fetched)),
        }
    }

    /// How the log of a fetch's sender relates to this one.
    fn relation(&self, request: &FetchRequest) -> Relation {
        let follower = LogEnd {
            epoch: request.last_fetched_epoch,
            offset: request.fetch_offset,
        };
        match self.log.relation(follower) {
            Relation::Diverging(_)
                if self.config.mutated(Mutation::IgnoreLastFetchedEpoch)
                    && follower.offset <= self.log.end().offset =>
            {
                Relation::Prefix
            }
            relation => relation,
        }
    }

    /// What a fetch brings at present.
    fn fetched(&self, request: &FetchRequest) -> Fetched {
        match self.relation(request) {
            Relation::Prefix => {
                let flushed_end = self.log.flushed_end();
                let max_bytes = self.config.fetch_max_bytes;
                Fetched::Batches {
                    batches: self.log.read(request.fetch_offset, flushed_end, max_bytes),
                    high_watermark: self.high_watermark.min(flushed_end),
                }
            }
            Relation::Diverging(end) => Fetched::Diverging {
                epoch: end.epoch,
                end_offset: end.offset,
            },
            Relation::BeforeStart => Fetched::Snapshot(self.log.start()),
        }
    }

    /// Tells the fetches parked at a leader that it no longer leads.
    pub(super) fn refuse_parked(&mut self, parked: Vec<Parked>) {
        for parked in parked {
            self.answer_fetch(parked.reply_to, Err(ErrorCode::NotLeaderOrFollower));
        }
    }

    fn answer_fetch(&mut self, reply_to: ReplyToken, outcome: Result<Fetched, ErrorCode>) {
        let response = Response::Fetch(FetchResponse {
            leadership: self.leadership(),
            outcome,
        });
        self.outbox.reply_with_flushed(reply_to, response);
    }

    /// Answers with a piece of the snapshot that the log continues.
    pub(super) fn handle_fetch_snapshot_request(
        &mut self,
        now: Now,
        reply_to: ReplyToken,
        request: FetchSnapshotRequest,
    ) {
        let outcome = self.check_leads(request.epoch).and_then(|()| {
            self.heard_of(now, request.replica);
            self.chunk(&request)
        });
        let response = Response::FetchSnapshot(FetchSnapshotResponse {
            leadership: self.leadership(),
            outcome,
        });
        self.outbox.reply_with_flushed(reply_to, response);
    }

    fn chunk(&self, request: &FetchSnapshotRequest) -> Result<SnapshotChunk, ErrorCode> {
        let snapshot = self
            .snapshot
            .as_ref()
            .filter(|have| have.id == request.snapshot);
        let snapshot = snapshot.ok_or(ErrorCode::SnapshotNotFound)?;
        let chunk = snapshot.chunk(request.position, self.config.snapshot_chunk_bytes);
        chunk.ok_or(ErrorCode::PositionOutOfRange)
    }
}
