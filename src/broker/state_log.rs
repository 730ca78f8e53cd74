//! What the log of a node says of roles, in-sync replicas and fences, as Kafka's state-change log.
//!
//! In: a replica before and after a registration, a decision of the controller. Out: lines.
//! Invariant: it changes nothing; a line stands for a change, never for a repetition.

use std::collections::BTreeSet;

use tracing::info;

use crate::id::{BrokerId, TopicPartition};
use crate::metadata::MetadataRecord;
use crate::offset::LeaderEpoch;
use crate::replica::{PartitionRegistration, Replica, RoleName};

/// What was last said of a replica.
#[derive(Debug)]
pub(super) struct RoleBefore {
    leader_epoch: LeaderEpoch,
    isr: Option<BTreeSet<BrokerId>>,
}

impl RoleBefore {
    pub(super) fn of(replica: &Replica) -> Self {
        Self {
            leader_epoch: replica.leader_epoch(),
            isr: replica.isr().cloned(),
        }
    }

    /// Says what `registration` made of the replica.
    pub(super) fn note_change(
        &self,
        name: &TopicPartition,
        registration: &PartitionRegistration,
        replica: &Replica,
    ) {
        let leader_epoch = replica.leader_epoch();
        let is_new_epoch = leader_epoch != self.leader_epoch;
        match replica.role() {
            RoleName::Leader if is_new_epoch => {
                let (isr, end) = (ids(&registration.isr), replica.log().log_end_offset());
                info!(partition = %name, leader_epoch, ?isr, end, "leads");
            }
            RoleName::Follower if is_new_epoch => {
                let leader = registration.leader.map(|id| id.0);
                let end = replica.log().log_end_offset();
                info!(partition = %name, ?leader, leader_epoch, end, "follows");
            }
            RoleName::Leader => self.note_isr(name, replica),
            _ => {}
        }
    }

    /// Says what became of the ISR that the replica leads.
    pub(super) fn note_isr(&self, name: &TopicPartition, replica: &Replica) {
        let (Some(before), Some(isr)) = (&self.isr, replica.isr()) else {
            return;
        };
        let (gone, new): (Vec<i32>, Vec<i32>) = (
            before.difference(isr).map(|id| id.0).collect(),
            isr.difference(before).map(|id| id.0).collect(),
        );
        let isr = ids(isr);
        if !gone.is_empty() {
            info!(partition = %name, ?gone, ?isr, "the isr shrank");
        }
        if !new.is_empty() {
            info!(partition = %name, ?new, ?isr, "the isr grew");
        }
    }
}

fn ids<'a>(brokers: impl IntoIterator<Item = &'a BrokerId>) -> Vec<i32> {
    brokers.into_iter().map(|id| id.0).collect()
}

/// Says whom a decision of the controller fences.
pub(super) fn note_decision(record: &MetadataRecord) {
    if let MetadataRecord::BrokerRegistrationChange {
        broker_id,
        fenced: Some(is_fenced),
        ..
    } = record
    {
        let what = if *is_fenced { "fenced" } else { "unfenced" };
        info!(broker = broker_id.0, "a broker is {what}");
    }
}
