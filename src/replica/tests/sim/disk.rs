//! A disk of one log: operations queue up, run in order, and lose what a crash takes.

use std::collections::VecDeque;

use crate::log::{LogBatch, LogState, ProducerState};
use crate::offset::Offset;
use crate::replica::Effect;

/// What the disk answers.
pub(super) enum DiskEvent {
    Appended(Offset),
    Flushed(Offset),
    Truncated(LogState),
    Refused,
}

/// The batches on one disk, and the operations that wait for it.
pub(super) struct SimDisk {
    pub(super) batches: Vec<LogBatch>,
    pub(super) log_start_offset: Offset,
    pub(super) flushed_offset: Offset,
    pub(super) high_watermark_checkpoint: Offset,
    /// The producers of the records that retention removed: they outlive them (KIP-360).
    producers_below_start: ProducerState,
    queue: VecDeque<Effect>,
    /// Whether there is no space for an append.
    pub(super) is_full: bool,
}

impl SimDisk {
    pub(super) fn new() -> Self {
        Self {
            batches: Vec::new(),
            log_start_offset: 0,
            flushed_offset: 0,
            high_watermark_checkpoint: 0,
            producers_below_start: ProducerState::default(),
            queue: VecDeque::new(),
            is_full: false,
        }
    }

    pub(super) fn ask(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the replica has already given up what still lies on the disk.
    pub(super) fn will_restart(&self) -> bool {
        self.queue
            .iter()
            .any(|effect| matches!(effect, Effect::RestartAt { .. }))
    }

    pub(super) fn end(&self) -> Offset {
        self.batches
            .last()
            .map_or(self.log_start_offset, |batch| batch.summary.next_offset())
    }

    /// Runs the next operation. `removed` gets the batches that a truncation takes away.
    pub(super) fn step(&mut self, removed: &mut Vec<LogBatch>) -> Option<DiskEvent> {
        match self.queue.pop_front()? {
            Effect::Append { batches } if self.is_full || !self.continues(&batches) => {
                Some(DiskEvent::Refused)
            }
            Effect::Append { batches } => {
                self.batches.extend(batches);
                Some(DiskEvent::Appended(self.end()))
            }
            Effect::Flush => {
                self.flushed_offset = self.end();
                Some(DiskEvent::Flushed(self.end()))
            }
            Effect::Truncate { to } => {
                self.cut(to, removed);
                Some(DiskEvent::Truncated(self.fold()))
            }
            Effect::RestartAt { offset } => {
                self.batches.clear();
                self.producers_below_start.clear();
                self.log_start_offset = offset;
                self.flushed_offset = offset;
                Some(DiskEvent::Truncated(self.fold()))
            }
            effect => panic!("not an operation of a disk: {effect:?}"),
        }
    }

    /// What comes after a refused append would leave a hole.
    fn continues(&self, batches: &[LogBatch]) -> bool {
        let first = batches.first();
        first.is_none_or(|first| first.summary.base_offset == self.end())
    }

    fn cut(&mut self, to: Offset, removed: &mut Vec<LogBatch>) {
        let kept = self
            .batches
            .partition_point(|batch| batch.summary.next_offset() <= to);
        removed.extend(self.batches.split_off(kept));
        self.log_start_offset = self.log_start_offset.min(to);
        self.flushed_offset = self.flushed_offset.min(self.end());
    }

    /// Retention: whole batches below `offset` go.
    pub(super) fn retain_from(&mut self, offset: Offset) {
        let gone = self
            .batches
            .partition_point(|batch| batch.summary.next_offset() <= offset);
        for batch in self.batches.drain(..gone) {
            self.producers_below_start.update(&batch.summary);
        }
        self.log_start_offset = self.log_start_offset.max(offset);
        self.flushed_offset = self.flushed_offset.max(self.log_start_offset);
    }

    /// The process dies: what was asked for and not done is gone, what was written stays.
    pub(super) fn crash(&mut self) {
        self.queue.clear();
    }

    /// The machine dies: only `survives` and what lies below it stays.
    pub(super) fn lose_tail(&mut self, survives: Offset) {
        self.cut(survives.max(self.log_start_offset), &mut Vec::new());
    }

    /// What recovery finds, and flushes.
    pub(super) fn recover(&mut self) -> LogState {
        self.flushed_offset = self.end();
        self.fold()
    }

    pub(super) fn fold(&self) -> LogState {
        let mut state = LogState::empty_at(self.log_start_offset);
        state.producers = self.producers_below_start.clone();
        for batch in &self.batches {
            state.append(&batch.summary);
        }
        state
    }

    /// The batches from `start` on that end at or before `upper`, at most `count`.
    pub(super) fn read(&self, start: Offset, upper: Offset, count: usize) -> Vec<LogBatch> {
        let first = self
            .batches
            .partition_point(|batch| batch.summary.next_offset() <= start);
        let rest = self.batches.iter().skip(first);
        let visible = rest.take_while(|batch| batch.summary.next_offset() <= upper);
        visible.take(count).cloned().collect()
    }
}
