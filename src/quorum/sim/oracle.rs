//! The judge of a simulated cluster: it sees every effect of every node and knows the promises.
//!
//! In: effects, disks. Out: `Err` with the first broken promise. Invariants judged: one leader an
//! epoch · one vote an epoch, across crashes · committed prefix identical on all nodes, delivered
//! in order and once a life · acknowledged proposals in it · a new leader has all of it · equal
//! (offset, epoch) means equal prefix · high watermarks never fall · nothing is sent before its
//! persistence. Source: Raft §5, Vanlightly's `kraft` TLA+.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use rustc_hash::FxHasher;

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::sim::disk::Disk;
use crate::quorum::{
    Batch, BatchBody, Fetched, Proposed, Quorum, Request, Response, Snapshot, VoteRequest,
};

/// What a node's composition has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) end: Offset,
    pub(super) hash: u64,
}

impl Applied {
    /// The state after one more batch.
    fn after(self, batch: &Batch) -> Self {
        let mut hasher = FxHasher::default();
        (
            self.hash,
            batch.base_offset,
            batch.record_count,
            batch.epoch,
        )
            .hash(&mut hasher);
        match &batch.body {
            BatchBody::Records(bytes) => bytes.hash(&mut hasher),
            BatchBody::LeaderChange { leader } => leader.hash(&mut hasher),
        }
        Self {
            end: batch.end_offset(),
            hash: hasher.finish(),
        }
    }

    /// The state as a snapshot's bytes: end and hash, padded so that it takes several chunks.
    pub(super) fn to_bytes(self) -> Bytes {
        let mut bytes = vec![0; 40];
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bytes.extend_from_slice(&self.hash.to_be_bytes());
        bytes.into()
    }

    fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let tail = bytes.get(40..56)?;
        let (end, hash) = tail.split_at_checked(8)?;
        Some(Self {
            end: Offset::from_be_bytes(end.try_into().ok()?),
            hash: u64::from_be_bytes(hash.try_into().ok()?),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    leaders: BTreeMap<LeaderEpoch, BrokerId>,
    votes: BTreeMap<(BrokerId, LeaderEpoch), BrokerId>,
    /// The committed log, by base offset.
    pub(super) committed: BTreeMap<Offset, Batch>,
    /// The epochs in which batches were committed, by base offset.
    committed_in: BTreeMap<Offset, LeaderEpoch>,
    /// The applied state at every end of a committed batch.
    states: BTreeMap<Offset, u64>,
    /// The applied state at every (end, epoch) of any log.
    prefixes: BTreeMap<(Offset, LeaderEpoch), u64>,
    pub(super) end: Applied,
    pub(super) acknowledged: usize,
}

impl Oracle {
    pub(super) fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// The node, after any event.
    pub(super) fn check_leader(&mut self, node: &Quorum) -> Result<(), String> {
        if node.is_leader() {
            let leader = *self.leaders.entry(node.epoch()).or_insert(node.id());
            if leader != node.id() {
                let epoch = node.epoch();
                return Err(format!(
                    "{leader} and {} both lead epoch {epoch}",
                    node.id()
                ));
            }
        }
        Ok(())
    }

    /// A node was elected: everything committed in earlier epochs must be in its log. (A candidate
    /// of a past epoch may still win it; it will never commit anything.)
    pub(super) fn check_complete(&self, node: &Quorum) -> Result<(), String> {
        let start = node.log_start().end_offset;
        let log = node.log.read(start, Offset::MAX, usize::MAX);
        let mut log = log.iter();
        for (base_offset, batch) in self.committed.range(start..) {
            let earlier = self.committed_in.get(base_offset) < Some(&node.epoch());
            if log.next() != Some(batch) && earlier {
                let (id, epoch) = (node.id(), node.epoch());
                return Err(format!(
                    "{id} leads epoch {epoch} without the committed {batch:?}"
                ));
            }
        }
        Ok(())
    }

    /// A node reported batches as committed.
    pub(super) fn check_committed(
        &mut self,
        (node, epoch): (BrokerId, LeaderEpoch),
        applied: &mut Applied,
        batches: &[Batch],
        upto: Offset,
    ) -> Result<(), String> {
        for batch in batches {
            if batch.base_offset != applied.end {
                let end = applied.end;
                return Err(format!(
                    "{node} applied up to {end} and was handed {batch:?}"
                ));
            }
            *applied = applied.after(batch);
            if batch.base_offset == self.end.end {
                self.end = *applied;
                self.states.insert(applied.end, applied.hash);
                self.committed.insert(batch.base_offset, batch.clone());
                self.committed_in.insert(batch.base_offset, epoch);
            } else if self.committed.get(&batch.base_offset) != Some(batch) {
                let other = self.committed.get(&batch.base_offset);
                return Err(format!(
                    "{node} committed {batch:?}, but {other:?} is committed"
                ));
            }
            if self.states.get(&applied.end) != Some(&applied.hash) {
                return Err(format!(
                    "{node} applied another prefix up to {}",
                    applied.end
                ));
            }
        }
        if applied.end != upto {
            let end = applied.end;
            return Err(format!(
                "{node} was handed batches up to {end} and told {upto}"
            ));
        }
        Ok(())
    }

    /// A node loaded a snapshot.
    pub(super) fn check_snapshot(
        &self,
        node: BrokerId,
        snapshot: &Snapshot,
    ) -> Result<Applied, String> {
        let applied = Applied::from_bytes(&snapshot.bytes)
            .ok_or_else(|| format!("{node} loaded a mangled snapshot {snapshot:?}"))?;
        let committed = self.states.get(&applied.end);
        if applied.end != snapshot.id.end_offset || committed != Some(&applied.hash) {
            return Err(format!(
                "{node} loaded {snapshot:?}: not a committed prefix"
            ));
        }
        Ok(applied)
    }

    /// A leader reported a proposal of its own as committed: that acknowledges it.
    pub(super) fn acknowledge(
        &mut self,
        proposed: Proposed,
        payload: &Bytes,
    ) -> Result<(), String> {
        let batch = self.committed.get(&proposed.base_offset);
        let kept = batch.is_some_and(|batch| {
            batch.epoch == proposed.epoch && batch.body == BatchBody::Records(payload.clone())
        });
        if !kept {
            return Err(format!(
                "{proposed:?} was acknowledged, but {batch:?} is committed"
            ));
        }
        self.acknowledged += 1;
        Ok(())
    }

    /// Equal (offset, epoch) means equal prefix, on whatever node.
    pub(super) fn check_log_matching(&mut self, node: &Quorum) -> Result<(), String> {
        let start = node.log_start();
        let hash = match start.end_offset {
            0 => 0,
            end => *self
                .states
                .get(&end)
                .ok_or_else(|| format!("no committed prefix at {end}"))?,
        };
        let mut state = Applied {
            end: start.end_offset,
            hash,
        };
        for batch in node.log.read(start.end_offset, Offset::MAX, usize::MAX) {
            state = state.after(&batch);
            let key = (state.end, batch.epoch);
            let first = *self.prefixes.entry(key).or_insert(state.hash);
            if first != state.hash {
                return Err(format!("two logs differ before (offset, epoch) {key:?}"));
            }
        }
        Ok(())
    }

    /// A request leaves `node`, whose disk is `disk`: everything it claims must be durable.
    pub(super) fn check_request(
        &mut self,
        node: BrokerId,
        disk: &Disk,
        request: &Request,
    ) -> Result<(), String> {
        let (epoch, position, elected) = match request {
            Request::Vote(vote) => {
                let position = Some((vote.last_offset, vote.last_epoch));
                (vote.epoch, position, !vote.pre_vote)
            }
            Request::BeginQuorumEpoch(begin) => (begin.epoch, None, true),
            Request::EndQuorumEpoch(end) => (end.epoch, None, true),
            Request::Fetch(fetch) => (
                fetch.epoch,
                Some((fetch.fetch_offset, fetch.last_fetched_epoch)),
                false,
            ),
            Request::FetchSnapshot(fetch) => (fetch.epoch, None, false),
        };
        let durable = epoch <= disk.state.epoch
            && position.is_none_or(|position| disk.positions.contains(&position))
            && (!elected || disk.votes.get(&epoch) == Some(&node));
        if !durable {
            return Err(format!("{node} sent {request:?} before it was durable"));
        }
        if elected {
            self.note_vote(node, epoch, node)?;
        }
        Ok(())
    }

    /// A response leaves `node`; `vote` is the request if it was for a vote.
    pub(super) fn check_response(
        &mut self,
        node: BrokerId,
        disk: &Disk,
        vote: Option<&VoteRequest>,
        response: &Response,
    ) -> Result<(), String> {
        let mut durable = response.leadership().epoch <= disk.state.epoch;
        if let (Response::Vote(answer), Some(vote)) = (response, vote)
            && answer.vote_granted
            && !vote.pre_vote
        {
            durable &= disk.votes.get(&vote.epoch) == Some(&vote.candidate);
            self.note_vote(node, vote.epoch, vote.candidate)?;
        }
        if let Response::Fetch(answer) = response
            && let Ok(Fetched::Batches { batches, .. }) = &answer.outcome
        {
            durable &= batches
                .iter()
                .all(|batch| disk.positions.contains(&(batch.end_offset(), batch.epoch)));
        }
        if durable {
            Ok(())
        } else {
            Err(format!(
                "{node} answered {response:?} before it was durable"
            ))
        }
    }

    fn note_vote(
        &mut self,
        voter: BrokerId,
        epoch: LeaderEpoch,
        candidate: BrokerId,
    ) -> Result<(), String> {
        let first = *self.votes.entry((voter, epoch)).or_insert(candidate);
        if first == candidate {
            Ok(())
        } else {
            Err(format!(
                "{voter} voted for {first} and for {candidate} in epoch {epoch}"
            ))
        }
    }
}
