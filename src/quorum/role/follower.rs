//! A member that fetches from the leader: the log, or first a snapshot.
//!
//! In: fetch responses, time. Out: appends, truncations, snapshots, the high watermark.
//! Invariant: one fetch is in flight at a time, and it leaves only when everything before its
//! offset is durable here, for the leader counts it as such.
//! Source: KIP-595, KIP-630, Kafka's `FollowerState`.

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::Offset;
use crate::quorum::Quorum;
use crate::quorum::config::Mutation;
use crate::quorum::effects::{Correlation, Effect, HaltReason};
use crate::quorum::log::{Batch, LogEnd};
use crate::quorum::message::{
    FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, Fetched, Request,
};
use crate::quorum::role::{FormerLeader, Role};
use crate::quorum::snapshot::{Download, Snapshot, SnapshotId};
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Follower {
    pub(in crate::quorum) leader: BrokerId,
    /// Whether this leader ever answered a fetch of this node.
    pub(in crate::quorum) has_fetched: bool,
    /// When this node doubts its leader.
    deadline: Time,
    pull: Pull,
    download: Option<Download>,
}

/// The state of the one fetch.
#[derive(Debug)]
enum Pull {
    /// Pausing until then.
    Paused(Time),
    /// Waiting for this answer until then.
    InFlight(Correlation, Time),
}

impl Follower {
    pub(in crate::quorum) fn next_timeout(&self) -> Time {
        let (Pull::Paused(until) | Pull::InFlight(_, until)) = self.pull;
        until.min(self.deadline)
    }

    fn awaits(&self, correlation: Correlation) -> bool {
        matches!(self.pull, Pull::InFlight(awaited, _) if awaited == correlation)
    }
}

impl Quorum {
    /// Follows `leader` in the present epoch.
    pub(in crate::quorum) fn become_follower(&mut self, now: Now, leader: BrokerId) {
        self.failed_candidacies = 0;
        self.change_role(Role::Follower(Follower {
            leader,
            has_fetched: false,
            deadline: now.time + self.config.fetch_timeout,
            pull: Pull::Paused(now.time),
            download: None,
        }));
        self.pull(now);
    }

    /// The fetch that describes this node's log.
    pub(in crate::quorum) fn fetch_request(&self, max_wait_millis: u32) -> FetchRequest {
        let end = self.log.end();
        FetchRequest {
            replica: self.config.id,
            epoch: self.state.epoch,
            fetch_offset: end.offset,
            last_fetched_epoch: end.epoch,
            high_watermark: self.high_watermark,
            max_wait_millis,
        }
    }

    /// Asks the leader for what comes next.
    fn pull(&mut self, now: Now) {
        let correlation = self.next_correlation();
        let max_wait = self.config.fetch_max_wait;
        let fetch = self.fetch_request(max_wait.as_millis() as u32);
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        let request = match &follower.download {
            None => Request::Fetch(fetch),
            Some(download) => Request::FetchSnapshot(FetchSnapshotRequest {
                replica: fetch.replica,
                epoch: fetch.epoch,
                snapshot: download.id,
                position: download.position(),
            }),
        };
        let patience = max_wait + self.config.request_timeout;
        follower.pull = Pull::InFlight(correlation, now.time + patience);
        self.outbox.send(follower.leader, correlation, request);
    }

    /// Doubts the leader, or fetches again after a pause or a lost answer.
    pub(in crate::quorum) fn follower_timeout(&mut self, now: Now) {
        let Role::Follower(follower) = &self.role else {
            return;
        };
        if now.time < follower.deadline {
            if follower.next_timeout() <= now.time {
                self.pull(now);
            }
        } else {
            let former_leader = FormerLeader::Silent(follower.leader);
            self.stop_following(now, former_leader);
        }
    }

    /// The leader is silent, or says that it no longer leads.
    fn stop_following(&mut self, now: Now, former_leader: FormerLeader) {
        if self.may_stand() {
            self.become_prospective(now, former_leader);
        } else {
            self.become_unattached(now, former_leader);
        }
    }

    /// Fetches again after a pause.
    fn pause(&mut self, now: Now) {
        let until = now.time + self.config.retry_backoff;
        if let Role::Follower(follower) = &mut self.role {
            follower.pull = Pull::Paused(until);
        }
    }

    /// The fetch failed in transit. If the leader answered before, its process may just have died:
    /// this node sounds out the others at once. That disturbs nobody, and the leader's own answer
    /// brings it back.
    pub(in crate::quorum) fn handle_fetch_failed(
        &mut self,
        now: Now,
        to: BrokerId,
        correlation: Correlation,
    ) {
        let Role::Follower(follower) = &self.role else {
            return;
        };
        if follower.leader != to || !follower.awaits(correlation) {
            return;
        }
        if follower.has_fetched && self.may_stand() {
            self.stop_following(now, FormerLeader::Silent(to));
        } else {
            self.pause(now);
        }
    }

    /// The leader answered: it is alive, and the next answer is awaited anew.
    fn leader_answered(&mut self, now: Now) {
        let deadline = now.time + self.config.fetch_timeout;
        if let Role::Follower(follower) = &mut self.role {
            follower.has_fetched = true;
            follower.deadline = deadline;
        }
    }

    /// Takes a fetch response into account if this node awaits it.
    pub(in crate::quorum) fn handle_fetch_response(
        &mut self,
        now: Now,
        from: BrokerId,
        correlation: Correlation,
        response: FetchResponse,
    ) {
        if !self.awaits_from(from, correlation, response.leadership.epoch) {
            return;
        }
        match response.outcome {
            Ok(Fetched::Batches {
                batches,
                high_watermark,
            }) if self.can_append(&batches) => {
                self.leader_answered(now);
                self.append_fetched(batches, high_watermark);
                self.pull(now);
            }
            Ok(Fetched::Diverging { epoch, end_offset }) => {
                self.leader_answered(now);
                self.truncate_diverging(
                    now,
                    LogEnd {
                        epoch,
                        offset: end_offset,
                    },
                );
            }
            Ok(Fetched::Snapshot(id))
                if id.end_offset >= self.high_watermark && id.epoch <= self.state.epoch =>
            {
                self.leader_answered(now);
                self.set_download(Some(Download::new(id)));
                self.pull(now);
            }
            Err(ErrorCode::NotLeaderOrFollower) => {
                self.stop_following(now, FormerLeader::Resigned(from));
            }
            Ok(_) | Err(_) => self.pause(now),
        }
    }

    /// Takes a piece of a snapshot into account if this node awaits it.
    pub(in crate::quorum) fn handle_fetch_snapshot_response(
        &mut self,
        now: Now,
        from: BrokerId,
        correlation: Correlation,
        response: FetchSnapshotResponse,
    ) {
        if !self.awaits_from(from, correlation, response.leadership.epoch) {
            return;
        }
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        match response.outcome {
            Ok(chunk) => {
                let complete = follower
                    .download
                    .as_mut()
                    .and_then(|download| download.add(&chunk));
                self.leader_answered(now);
                if let Some(snapshot) = complete {
                    self.set_download(None);
                    self.install_snapshot(snapshot);
                }
                self.pull(now);
            }
            Err(ErrorCode::NotLeaderOrFollower) => {
                self.stop_following(now, FormerLeader::Resigned(from));
            }
            Err(ErrorCode::SnapshotNotFound | ErrorCode::PositionOutOfRange) => {
                self.set_download(None);
                self.pause(now);
            }
            Err(_) => self.pause(now),
        }
    }

    /// Whether this node follows `from` in `epoch` and awaits the answer `correlation`.
    fn awaits_from(&self, from: BrokerId, correlation: Correlation, epoch: i32) -> bool {
        let Role::Follower(follower) = &self.role else {
            return false;
        };
        follower.leader == from && follower.awaits(correlation) && epoch == self.state.epoch
    }

    fn set_download(&mut self, download: Option<Download>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.download = download;
        }
    }

    /// Whether `batches` continue the log and belong to no epoch of the future.
    fn can_append(&self, batches: &[Batch]) -> bool {
        let mut end = self.log.end();
        batches.iter().all(|batch| {
            let fits = batch.base_offset == end.offset
                && batch.epoch >= end.epoch
                && batch.epoch <= self.state.epoch
                && batch.record_count > 0
                && batch.end_offset() < Offset::MAX;
            end = LogEnd {
                epoch: batch.epoch,
                offset: batch.end_offset(),
            };
            fits
        })
    }

    fn append_fetched(&mut self, batches: Vec<Batch>, high_watermark: Offset) {
        if !batches.is_empty() {
            for batch in &batches {
                self.log.append(batch.clone());
            }
            let token = self
                .outbox
                .write(|token| Effect::AppendLog { token, batches });
            self.log.writing(token);
        }
        let known = high_watermark.min(self.log.end().offset);
        self.high_watermark = self.high_watermark.max(known);
    }

    /// Cuts the log where it parts from the leader's, and fetches on from there.
    fn truncate_diverging(&mut self, now: Now, leader_end: LogEnd) {
        let to = self.log.truncation_point(leader_end);
        let Some(to) = to.filter(|&to| to >= self.high_watermark) else {
            self.halt(HaltReason::CommittedRecordsDiverge {
                leader_end: leader_end.offset,
                high_watermark: self.high_watermark,
            });
            return;
        };
        if to >= self.log.end().offset {
            self.pause(now);
            return;
        }
        if !self.config.mutated(Mutation::KeepDivergingSuffix) {
            let to = self.log.truncate(to);
            let token = self.outbox.write(|token| Effect::TruncateLog { token, to });
            self.log.writing(token);
        }
        self.pull(now);
    }

    /// Replaces log and applied state by a snapshot of the leader.
    fn install_snapshot(&mut self, snapshot: Snapshot) {
        let at: SnapshotId = snapshot.id;
        self.log.restart(at);
        self.high_watermark = self.high_watermark.max(at.end_offset);
        self.delivered = at.end_offset;
        self.outbox.write(|token| Effect::SaveSnapshot {
            token,
            snapshot: snapshot.clone(),
        });
        self.outbox.write(|token| Effect::RestartLog { token, at });
        self.outbox.push(Effect::LoadSnapshot {
            snapshot: snapshot.clone(),
        });
        self.snapshot = Some(snapshot);
    }
}
