//! How a leader takes batches from producers, and when it answers.
//!
//! In: validated batches. Out: stamped batches for the disk, one outcome for each request with
//! acks other than 0. Invariant: acks=all answers success only when the high watermark covers the
//! batch; a batch that is refused with `NotEnoughReplicas` or a producer error is not in the log.
//! Source: KIP-98, Kafka's `Partition.appendRecordsToLeader`, `checkEnoughReplicasReachOffset`.

use crate::config::sabotage::{self, Sabotage};
use crate::error::ErrorCode;
use crate::log::{AppendOrigin, ProducerCheck};
use crate::offset::Offset;
use crate::replica::core::Core;
use crate::replica::leader::LeaderState;
use crate::replica::waiting::Waiting;
use crate::replica::{Acks, ProduceRequest, Produced};
use crate::time::Time;

impl LeaderState {
    /// Appends the batch of `request`, recognises it as a retry, or refuses it.
    pub(super) fn produce(&mut self, core: &mut Core, request: ProduceRequest) {
        if let Err(code) = self.admit(core, &request) {
            reject(core, &request, code);
            return;
        }
        let summary = request.batch.summary;
        let log_start_offset = core.log.log_start_offset();
        match core.log.producers().check(&summary, AppendOrigin::Client) {
            ProducerCheck::Reject(code) => reject(core, &request, code),
            ProducerCheck::Duplicate {
                base_offset,
                last_offset,
                timestamp,
            } => {
                // The earlier batch may still be on its way to the followers: wait for it too.
                let produced = Produced {
                    base_offset,
                    timestamp,
                    log_start_offset,
                };
                self.wait(core, &request, produced, last_offset + 1);
            }
            ProducerCheck::Append => {
                let base_offset = core.log.log_end_offset();
                let batch = request
                    .batch
                    .clone()
                    .stamped(base_offset, self.leader_epoch);
                let required = batch.summary.next_offset();
                core.append(vec![batch]);
                let timestamp = summary.max_timestamp;
                let produced = Produced {
                    base_offset,
                    timestamp,
                    log_start_offset,
                };
                self.wait(core, &request, produced, required);
            }
        }
    }

    fn admit(&self, core: &Core, request: &ProduceRequest) -> Result<(), ErrorCode> {
        if core.is_truncating() {
            // The producers are not known again before the disk has answered.
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if request.batch.summary.offset_count() < 1 {
            return Err(ErrorCode::InvalidRecord);
        }
        let isr_len = self.partition.committed().isr.len();
        if request.acks == Acks::All && isr_len < self.required_isr(core) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(())
    }

    /// In-sync replicas without which acks=all is refused.
    fn required_isr(&self, core: &Core) -> usize {
        if sabotage::planted(Sabotage::RefuseBelowFullIsr) {
            return self.replicas.len();
        }
        self.effective_min_isr(core)
    }

    fn wait(
        &mut self,
        core: &mut Core,
        request: &ProduceRequest,
        produced: Produced,
        required: Offset,
    ) {
        let waiting = Waiting::new(request.token, produced, request.deadline);
        match request.acks {
            Acks::Zero => {}
            Acks::One => self.waiting_for_append.push(required, waiting),
            Acks::All if sabotage::planted(Sabotage::AckBeforeReplication) => {
                core.complete_produce(request.token, Ok(produced));
            }
            Acks::All => self.waiting_for_commit.push(required, waiting),
        }
        self.complete_waiting(core);
    }

    /// Answers the requests whose offset is reached.
    pub(super) fn complete_waiting(&mut self, core: &mut Core) {
        while let Some(done) = self
            .waiting_for_append
            .pop_covered(core.replicated_offset())
        {
            core.complete_produce(done.token, Ok(done.produced));
        }
        let has_enough = self.partition.maximal_isr().len() >= self.effective_min_isr(core);
        while let Some(done) = self.waiting_for_commit.pop_covered(core.high_watermark()) {
            let outcome = if has_enough {
                Ok(done.produced)
            } else {
                Err(ErrorCode::NotEnoughReplicasAfterAppend)
            };
            core.complete_produce(done.token, outcome);
        }
    }

    /// Answers the requests whose deadline has come; their batches stay in the log.
    pub(super) fn expire_waiting(&mut self, core: &mut Core, now: Time) {
        for waiting in [&mut self.waiting_for_append, &mut self.waiting_for_commit] {
            while let Some(late) = waiting.pop_late(now) {
                core.complete_produce(late.token, Err(ErrorCode::RequestTimedOut));
            }
        }
    }

    /// Answers the requests whose batches the disk refused. A repetition of such a batch waits for
    /// it like the original: none of them is told that it is in the log, none that it never was.
    pub(super) fn refuse_unwritten(&mut self, core: &mut Core) {
        let appended = core.log.appended_offset();
        for waiting in [&mut self.waiting_for_append, &mut self.waiting_for_commit] {
            while let Some(refused) = waiting.pop_beyond(appended) {
                core.complete_produce(refused.token, Err(ErrorCode::KafkaStorageError));
            }
        }
    }

    /// Answers every request with `code`: the leadership is over, their outcome is unknown.
    pub(super) fn abandon_waiting(&mut self, core: &mut Core, code: ErrorCode) {
        for waiting in [&mut self.waiting_for_append, &mut self.waiting_for_commit] {
            while let Some(abandoned) = waiting.pop_any() {
                core.complete_produce(abandoned.token, Err(code));
            }
        }
    }
}

/// Refuses `request`; a producer with acks=0 hears nothing.
pub(super) fn reject(core: &mut Core, request: &ProduceRequest, code: ErrorCode) {
    if request.acks != Acks::Zero {
        core.complete_produce(request.token, Err(code));
    }
}
