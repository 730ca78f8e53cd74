//! A producer as a well-behaved client is one: at most five batches in flight, in order, to one
//! leader; whatever is not acknowledged is sent again, with the same sequence, in order.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::log::{BatchSummary, LogBatch};
use crate::offset::{NO_PRODUCER_ID, ProducerId};
use crate::replica::ProduceToken;

/// The id that makes a batch recognisable wherever it lies.
pub(super) fn payload(batch: &LogBatch) -> u64 {
    u64::from_be_bytes(batch.bytes[16..24].try_into().unwrap())
}

/// A batch with `count` records, and room for the stamps in front of its payload.
pub(super) fn new_batch(payload: u64, id: ProducerId, sequence: i32, count: i32) -> LogBatch {
    let mut bytes = vec![0; 24];
    bytes[16..].copy_from_slice(&payload.to_be_bytes());
    let is_idempotent = id != NO_PRODUCER_ID;
    LogBatch {
        summary: BatchSummary {
            base_offset: 0,
            last_offset: i64::from(count) - 1,
            leader_epoch: -1,
            producer_id: id,
            producer_epoch: if is_idempotent { 0 } else { -1 },
            base_sequence: if is_idempotent { sequence } else { -1 },
            last_sequence: if is_idempotent {
                sequence + count - 1
            } else {
                -1
            },
            max_timestamp: 0,
            is_control: false,
            is_transactional: false,
        },
        bytes: Bytes::from(bytes),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unsent,
    Sent(ProduceToken, BrokerId),
    /// Stays in the window until everything before it is acknowledged.
    Acked,
}

struct Windowed {
    batch: LogBatch,
    progress: Progress,
}

/// An idempotent producer.
pub(super) struct SimProducer {
    id: ProducerId,
    next_sequence: i32,
    window: VecDeque<Windowed>,
}

impl SimProducer {
    pub(super) fn new(id: ProducerId) -> Self {
        Self {
            id,
            next_sequence: 0,
            window: VecDeque::new(),
        }
    }

    /// The next batch to send to `leader`: one to send again, or a new one named `payload`.
    pub(super) fn next_send(
        &mut self,
        leader: BrokerId,
        token: ProduceToken,
        payload: Option<u64>,
        count: i32,
    ) -> Option<LogBatch> {
        let elsewhere = |slot: &Windowed| match slot.progress {
            Progress::Sent(_, to) => to != leader,
            _ => false,
        };
        if self.window.iter().any(elsewhere) {
            return None;
        }
        let is_unsent = |slot: &Windowed| slot.progress == Progress::Unsent;
        if !self.window.iter().any(is_unsent) {
            let payload = payload.filter(|_| self.window.len() < 5)?;
            let batch = new_batch(payload, self.id, self.next_sequence, count);
            self.next_sequence += count;
            self.window.push_back(Windowed {
                batch,
                progress: Progress::Unsent,
            });
        }
        let next = self
            .window
            .iter_mut()
            .find(|slot| slot.progress == Progress::Unsent)?;
        next.progress = Progress::Sent(token, leader);
        Some(next.batch.clone())
    }

    /// Takes an outcome; the payload of the batch if it is acknowledged.
    pub(super) fn completed(
        &mut self,
        token: ProduceToken,
        outcome: Result<(), ErrorCode>,
    ) -> Option<u64> {
        let is_it = |slot: &Windowed| match slot.progress {
            Progress::Sent(sent, _) => sent == token,
            _ => false,
        };
        let position = self.window.iter().position(is_it)?;
        if outcome.is_ok() {
            let acked = payload(&self.window[position].batch);
            self.window[position].progress = Progress::Acked;
            while self
                .window
                .front()
                .is_some_and(|slot| slot.progress == Progress::Acked)
            {
                self.window.pop_front();
            }
            return Some(acked);
        }
        for later in self.window.iter_mut().skip(position) {
            if later.progress != Progress::Acked {
                later.progress = Progress::Unsent;
            }
        }
        None
    }

    /// Its connection to `broker` broke: everything unacknowledged there must be sent again.
    pub(super) fn disconnected(&mut self, broker: BrokerId) {
        for slot in &mut self.window {
            if matches!(slot.progress, Progress::Sent(_, to) if to == broker) {
                slot.progress = Progress::Unsent;
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.window.is_empty()
    }
}
