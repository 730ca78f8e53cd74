//! The leader of an epoch: whom it leads, how far each is, and whether a majority still listens.
//!
//! In: its election, fetches of voters, time. Out: the epoch's marker, BeginQuorumEpoch,
//! resignation. Invariant: it appends at its log's end only, and resigns when a majority has not
//! fetched, or its own disk has not finished any write, for `check_quorum_timeout`.
//! Source: KIP-595, KAFKA-15489 (check quorum), `LeaderState`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::Quorum;
use crate::quorum::effects::{Effect, ReplyToken};
use crate::quorum::log::{Batch, BatchBody};
use crate::quorum::message::{BeginQuorumEpochRequest, FetchRequest, Request};
use crate::quorum::role::Role;
use crate::time::{Now, Time};

#[derive(Debug)]
pub(in crate::quorum) struct Leader {
    pub(in crate::quorum) epoch: LeaderEpoch,
    /// The offset of the epoch's marker: only beyond it does counting replicas commit.
    pub(in crate::quorum) epoch_start_offset: Offset,
    /// The other voters.
    pub(in crate::quorum) voters: BTreeMap<BrokerId, Progress>,
    /// Fetches that wait for news.
    pub(in crate::quorum) parked: Vec<Parked>,
    /// When the majority has been silent for too long.
    quorum_deadline: Option<Time>,
    /// When its disk has taken too long: the followers hear from it, so they would wait for ever.
    write_deadline: Option<Time>,
}

/// How far another voter is.
#[derive(Debug)]
pub(in crate::quorum) struct Progress {
    /// Everything before this is durable there; 0 until it fetched a prefix of this log.
    pub(in crate::quorum) end_offset: Offset,
    /// When it was last heard of; at first the election.
    pub(in crate::quorum) last_fetch: Time,
    /// When to introduce this leader to it, unless it fetches.
    begin_at: Time,
}

/// A fetch that waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::quorum) struct Parked {
    pub(in crate::quorum) reply_to: ReplyToken,
    pub(in crate::quorum) request: FetchRequest,
    pub(in crate::quorum) deadline: Time,
}

impl Leader {
    pub(in crate::quorum) fn next_timeout(&self) -> Option<Time> {
        let begin = self.voters.values().map(|progress| progress.begin_at);
        let parked = self.parked.iter().map(|parked| parked.deadline);
        begin
            .chain(parked)
            .chain(self.quorum_deadline)
            .chain(self.write_deadline)
            .min()
    }

    /// The other voters, the most caught-up first.
    pub(in crate::quorum) fn successors(&self) -> Vec<BrokerId> {
        let mut voters: Vec<_> = self.voters.iter().collect();
        voters.sort_by_key(|(id, progress)| (Reverse(progress.end_offset), **id));
        voters.into_iter().map(|(&id, _)| id).collect()
    }

    /// The greatest offset that a majority, this node with `own_end` included, has flushed.
    pub(in crate::quorum) fn majority_end(&self, own_end: Offset) -> Offset {
        let others = self.voters.values().map(|progress| progress.end_offset);
        let mut ends: Vec<_> = others.chain([own_end]).collect();
        ends.sort_unstable_by_key(|&end| Reverse(end));
        ends.get(ends.len() / 2).copied().unwrap_or(0)
    }

    /// The last time at which a majority, this node included, was in touch.
    fn majority_contact(&self) -> Option<Time> {
        let mut contacts: Vec<_> = self
            .voters
            .values()
            .map(|progress| progress.last_fetch)
            .collect();
        contacts.sort_unstable_by_key(|&contact| Reverse(contact));
        let others_needed = contacts.len().div_ceil(2);
        contacts.get(others_needed.checked_sub(1)?).copied()
    }
}

impl Quorum {
    /// Leads the epoch it was elected in: its first act is to append the epoch's marker.
    pub(in crate::quorum) fn become_leader(&mut self, now: Now) {
        self.failed_candidacies = 0;
        let epoch = self.state.epoch;
        let epoch_start_offset = self.log.end().offset;
        let voters = self.config.other_voters().map(|voter| {
            let progress = Progress {
                end_offset: 0,
                last_fetch: now.time,
                begin_at: now.time,
            };
            (voter, progress)
        });
        let leader = Leader {
            epoch,
            epoch_start_offset,
            voters: voters.collect(),
            parked: Vec::new(),
            quorum_deadline: None,
            write_deadline: None,
        };
        self.change_role(Role::Leader(leader));
        self.outbox.push(Effect::BecameLeader {
            epoch,
            epoch_start_offset,
        });
        let marker = Batch {
            base_offset: epoch_start_offset,
            record_count: 1,
            epoch,
            body: BatchBody::LeaderChange {
                leader: self.config.id,
            },
        };
        self.append_as_leader(now, marker);
        self.update_quorum_deadline();
        self.introduce(now);
    }

    /// Appends a batch of this leader.
    pub(in crate::quorum) fn append_as_leader(&mut self, now: Now, batch: Batch) {
        self.log.append(batch.clone());
        let token = self.outbox.write(|token| Effect::AppendLog {
            token,
            batches: vec![batch],
        });
        self.log.writing(token);
        let patience = self.config.check_quorum_timeout();
        // Alone it is no better off without a leader.
        if let Role::Leader(leader) = &mut self.role
            && leader.write_deadline.is_none()
            && !leader.voters.is_empty()
        {
            leader.write_deadline = Some(now.time + patience);
        }
    }

    /// The disk finished a write of this leader.
    pub(in crate::quorum) fn leader_wrote(&mut self, now: Now) {
        let is_done = self.log.flushed_end() == self.log.end().offset;
        let patience = self.config.check_quorum_timeout();
        if let Role::Leader(leader) = &mut self.role {
            let waits = !is_done && !leader.voters.is_empty();
            leader.write_deadline = waits.then(|| now.time + patience);
        }
    }

    /// `voter` fetched: it follows this leader.
    pub(in crate::quorum) fn heard_of(&mut self, now: Now, voter: BrokerId) {
        let quiet = self.config.fetch_timeout / 2;
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.voters.get_mut(&voter)
        {
            progress.last_fetch = now.time;
            progress.begin_at = now.time + quiet;
            self.update_quorum_deadline();
        }
    }

    fn update_quorum_deadline(&mut self) {
        let patience = self.config.check_quorum_timeout();
        if let Role::Leader(leader) = &mut self.role {
            leader.quorum_deadline = leader.majority_contact().map(|contact| contact + patience);
        }
    }

    /// Introduces this leader to the voters that do not fetch.
    fn introduce(&mut self, now: Now) {
        let correlation = self.next_correlation();
        let again_at = now.time + self.config.retry_backoff * 2;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let request = BeginQuorumEpochRequest {
            leader: self.config.id,
            epoch: leader.epoch,
        };
        for (&voter, progress) in &mut leader.voters {
            if progress.begin_at <= now.time {
                progress.begin_at = again_at;
                self.outbox
                    .send(voter, correlation, Request::BeginQuorumEpoch(request));
            }
        }
    }

    /// Resigns without a majority; else introduces itself and answers the fetches that waited
    /// long enough.
    pub(in crate::quorum) fn leader_timeout(&mut self, now: Now) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let mut deadlines = leader.quorum_deadline.iter().chain(&leader.write_deadline);
        if deadlines.any(|deadline| *deadline <= now.time) {
            self.resign(now);
            return;
        }
        self.introduce(now);
        self.serve_parked(now);
    }
}
