//! The disk of one simulated node: what is durable, and the writes that a crash may take.
//!
//! In: the writes of the core, in order. Out: completions; after a crash, what a restart finds.
//! Invariant: the log on disk is contiguous whatever prefix of the writes survives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::{Batch, Effect, ElectionState, Recovered, Snapshot, Token};

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) state: ElectionState,
    snapshot: Option<Snapshot>,
    log: Vec<Batch>,
    log_end: Offset,
    pending: VecDeque<Effect>,
    /// Every end of the log that was ever durable here, with the epoch before it.
    pub(super) positions: BTreeSet<(Offset, LeaderEpoch)>,
    /// Every vote that was ever durable here.
    pub(super) votes: BTreeMap<LeaderEpoch, BrokerId>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let mut disk = Self::default();
        disk.positions.insert((0, 0));
        disk
    }

    pub(super) fn queue(&mut self, write: Effect) {
        self.pending.push_back(write);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Completes some of the pending writes; returns the last one's token.
    pub(super) fn complete(&mut self, rng: &mut ChaCha8Rng) -> Result<Option<Token>, String> {
        let mut last = None;
        let count = rng.random_range(1..=3);
        for _ in 0..count {
            let Some(write) = self.pending.pop_front() else {
                break;
            };
            last = token(&write);
            self.apply(write)?;
        }
        Ok(last)
    }

    /// Loses what is not durable: any number of the first pending writes survives, the last of
    /// them perhaps in part.
    pub(super) fn crash(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let survives = rng.random_range(0..=self.pending.len());
        let pending = std::mem::take(&mut self.pending);
        for (index, write) in pending.into_iter().enumerate() {
            match write {
                _ if index < survives => self.apply(write)?,
                Effect::AppendLog { token, mut batches } if index == survives => {
                    batches.truncate(rng.random_range(0..=batches.len()));
                    self.apply(Effect::AppendLog { token, batches })?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// What a restart finds.
    pub(super) fn recover(&self) -> Recovered {
        Recovered {
            state: self.state,
            snapshot: self.snapshot.clone(),
            batches: self.log.clone(),
        }
    }

    fn apply(&mut self, write: Effect) -> Result<(), String> {
        match write {
            Effect::PersistState { state, .. } => self.apply_state(state)?,
            Effect::AppendLog { batches, .. } => {
                for batch in batches {
                    if batch.base_offset != self.log_end {
                        let end = self.log_end;
                        return Err(format!(
                            "append of {batch:?} to a log on disk ending at {end}"
                        ));
                    }
                    self.log_end = batch.end_offset();
                    self.positions.insert((batch.end_offset(), batch.epoch));
                    self.log.push(batch);
                }
            }
            Effect::TruncateLog { to, .. } => {
                self.log.retain(|batch| batch.end_offset() <= to);
                self.log_end = self.log_end.min(to);
            }
            Effect::SaveSnapshot { token, snapshot } => {
                self.positions
                    .insert((snapshot.id.end_offset, snapshot.id.epoch));
                if token % 2 == 0 {
                    let end_offset = snapshot.id.end_offset;
                    self.log.retain(|batch| batch.end_offset() > end_offset);
                }
                self.snapshot = Some(snapshot);
            }
            Effect::RestartLog { at, .. } => {
                self.log.clear();
                self.log_end = at.end_offset;
            }
            other => return Err(format!("{other:?} is not a write")),
        }
        Ok(())
    }

    fn apply_state(&mut self, state: ElectionState) -> Result<(), String> {
        if state.epoch < self.state.epoch {
            return Err(format!("epoch fell from {:?} to {state:?}", self.state));
        }
        self.state = state;
        if let Some(vote) = state.voted_for {
            let first = *self.votes.entry(state.epoch).or_insert(vote);
            if first != vote {
                return Err(format!(
                    "voted for {first}, then {vote} in epoch {}",
                    state.epoch
                ));
            }
        }
        Ok(())
    }
}

/// The token of a write.
fn token(write: &Effect) -> Option<Token> {
    match write {
        Effect::PersistState { token, .. }
        | Effect::AppendLog { token, .. }
        | Effect::TruncateLog { token, .. }
        | Effect::SaveSnapshot { token, .. }
        | Effect::RestartLog { token, .. } => Some(*token),
        _ => None,
    }
}
