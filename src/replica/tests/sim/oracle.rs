//! The invariants S1 to S14 and S19 of the protocol, checked from outside.
//!
//! In: what the replicas and disks look like after each step. Out: nothing, or the first violation
//! as a sentence. The oracle keeps the one committed log: whatever any leader, even a deposed one,
//! has ever had below its high watermark.

use std::collections::BTreeMap;

use crate::id::BrokerId;
use crate::log::LogBatch;
use crate::offset::{BrokerEpoch, LeaderEpoch, Offset, ProducerId};
use crate::replica::tests::sim::disk::SimDisk;
use crate::replica::tests::sim::producer::payload;
use crate::replica::{PartitionRegistration, Replica, RoleName};

/// A violated invariant, as a sentence.
pub(super) type Violation = String;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// A replica and its disk, as the oracle sees them.
pub(super) struct Observed<'a> {
    pub(super) id: BrokerId,
    pub(super) life: BrokerEpoch,
    pub(super) replica: Option<&'a Replica>,
    pub(super) disk: &'a SimDisk,
}

/// What has been promised so far.
#[derive(Default)]
pub(super) struct Oracle {
    committed: Vec<LogBatch>,
    acked: BTreeMap<u64, Offset>,
    leader_of_epoch: BTreeMap<LeaderEpoch, BrokerId>,
    high_watermarks: BTreeMap<(BrokerId, BrokerEpoch, LeaderEpoch), Offset>,
    sequences: BTreeMap<ProducerId, i32>,
}

impl Oracle {
    pub(super) fn committed_len(&self) -> usize {
        self.committed.len()
    }

    pub(super) fn acked_len(&self) -> usize {
        self.acked.len()
    }

    fn committed_end(&self) -> Offset {
        self.committed
            .last()
            .map_or(0, |batch| batch.summary.next_offset())
    }

    /// Checks everything after a step.
    pub(super) fn check(
        &mut self,
        nodes: &[Observed<'_>],
        partition: &PartitionRegistration,
        min_isr: usize,
    ) -> Result<(), Violation> {
        for node in nodes {
            if let Some(replica) = node.replica.filter(|it| it.role() == RoleName::Leader) {
                self.check_leader(node, replica, partition, min_isr)?;
                self.commit(node, replica)?;
            }
        }
        for node in nodes {
            self.check_log(node, partition.isr.contains(&node.id))?;
        }
        Ok(())
    }

    fn check_leader(
        &mut self,
        node: &Observed<'_>,
        replica: &Replica,
        partition: &PartitionRegistration,
        min_isr: usize,
    ) -> Result<(), Violation> {
        let (id, epoch) = (node.id, replica.leader_epoch());
        let known = *self.leader_of_epoch.entry(epoch).or_insert(id);
        ensure!(
            known == id,
            "S1: {known} and {id} both lead in epoch {epoch}"
        );
        let now = replica.high_watermark();
        let isr_len = replica.isr().map_or(0, std::collections::BTreeSet::len);
        if let Some(before) = self.high_watermarks.insert((id, node.life, epoch), now) {
            ensure!(
                before <= now,
                "S6: leader {id}'s high watermark fell from {before} to {now}"
            );
            ensure!(
                before == now || isr_len >= min_isr,
                "S11: leader {id} went from {before} to {now} with {isr_len} in sync"
            );
        }
        let maximal = replica.maximal_isr().unwrap_or_default();
        if epoch == partition.leader_epoch {
            for member in &partition.isr {
                ensure!(
                    maximal.contains(member),
                    "S9: leader {id} does not wait for {member}"
                );
            }
        }
        Ok(())
    }

    /// Adds to the committed log what a leader shows below its high watermark.
    fn commit(&mut self, node: &Observed<'_>, replica: &Replica) -> Result<(), Violation> {
        let end = self.committed_end();
        for batch in node.disk.read(end, replica.high_watermark(), usize::MAX) {
            let summary = batch.summary;
            ensure!(
                summary.base_offset == self.committed_end(),
                "S14: leader {} commits {summary:?} after {}",
                node.id,
                self.committed_end()
            );
            if summary.has_producer() {
                let expected = self
                    .sequences
                    .insert(summary.producer_id, summary.last_sequence);
                let expected = expected.map_or(0, |last| last + 1);
                ensure!(
                    summary.base_sequence == expected,
                    "S19: producer {} has sequence {} at offset {} where {expected} belongs",
                    summary.producer_id,
                    summary.base_sequence,
                    summary.base_offset
                );
            }
            self.committed.push(batch);
        }
        Ok(())
    }

    /// The log of one disk against the committed one.
    fn check_log(&self, node: &Observed<'_>, in_isr: bool) -> Result<(), Violation> {
        if node.disk.will_restart() && !in_isr {
            return Ok(());
        }
        let id = node.id;
        let committed = &self.committed;
        let known_end = node
            .replica
            .map_or(0, Replica::high_watermark)
            .min(self.committed_end());
        let mut index = committed
            .partition_point(|batch| batch.summary.next_offset() <= node.disk.log_start_offset);
        let mut previous: Option<&LogBatch> = None;
        for batch in &node.disk.batches {
            if let Some(previous) = previous {
                let (before, after) = (previous.summary, batch.summary);
                ensure!(
                    before.next_offset() == after.base_offset,
                    "S14: gap on {id} at {after:?}"
                );
                ensure!(
                    before.leader_epoch <= after.leader_epoch,
                    "S13: {id} at {after:?}"
                );
            }
            previous = Some(batch);
            let Some(expected) = committed.get(index) else {
                continue;
            };
            if expected != batch && (in_isr || batch.summary.next_offset() <= known_end) {
                let rule = if in_isr { "S3" } else { "S2" };
                return Err(format!(
                    "{rule}: {id} has payload {} at {:?} where payload {} at {:?} is committed",
                    payload(batch),
                    batch.summary,
                    payload(expected),
                    expected.summary
                ));
            }
            index += 1;
        }
        if in_isr {
            let (end, committed_end) = (node.disk.end(), self.committed_end());
            ensure!(
                end >= committed_end,
                "S3/S4/S7: in-sync {id} ends at {end}, committed up to {committed_end}"
            );
        }
        Ok(())
    }

    /// S5: what a truncation removed must not have been committed.
    pub(super) fn truncated(&self, id: BrokerId, removed: &[LogBatch]) -> Result<(), Violation> {
        for batch in removed {
            let at = batch.summary.base_offset;
            let place = self
                .committed
                .partition_point(|it| it.summary.base_offset < at);
            ensure!(
                self.committed.get(place) != Some(batch),
                "S5: {id} truncated the committed batch {:?}",
                batch.summary
            );
        }
        Ok(())
    }

    /// An acknowledged batch is committed at the offset that the producer was told.
    pub(super) fn acknowledged(&mut self, payload_id: u64, at: Offset) -> Result<(), Violation> {
        let place = self
            .committed
            .partition_point(|batch| batch.summary.base_offset < at);
        let found = self.committed.get(place).map(payload);
        ensure!(
            found == Some(payload_id),
            "acked payload {payload_id} at offset {at}, committed there is {found:?}"
        );
        self.acked.insert(payload_id, at);
        Ok(())
    }

    /// S13 and S18: epochs grow, and epochs and producers are the fold of the log.
    pub(super) fn check_fold(&self, node: &Observed<'_>) -> Result<(), Violation> {
        let Some(replica) = node.replica else {
            return Ok(());
        };
        let log = replica.log();
        let pairs = log.epochs().entries().windows(2);
        for pair in pairs {
            let grows =
                pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset;
            ensure!(grows, "S13: epochs of {} are {:?}", node.id, log.epochs());
        }
        if node.disk.is_idle() {
            let fold = node.disk.fold();
            ensure!(
                *log.producers() == fold.producers,
                "S18: producers of {}",
                node.id
            );
            ensure!(
                log.log_end_offset() == fold.log_end_offset,
                "end of {}",
                node.id
            );
        }
        Ok(())
    }

    /// After everything healed: every disk ends like the committed log and holds every acked batch.
    pub(super) fn check_final(&self, nodes: &[Observed<'_>]) -> Result<(), Violation> {
        for node in nodes {
            ensure!(
                node.disk.end() == self.committed_end(),
                "S23: {} is behind",
                node.id
            );
            for (&acked, &at) in &self.acked {
                let is_gone = at < node.disk.log_start_offset;
                let held = node.disk.read(at, Offset::MAX, 1);
                let is_held = held.first().is_some_and(|batch| payload(batch) == acked);
                ensure!(
                    is_gone || is_held,
                    "lost: payload {acked} at {at} on {}",
                    node.id
                );
            }
        }
        Ok(())
    }
}
