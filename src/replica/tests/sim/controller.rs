//! A toy controller of one partition: registrations, fencing, elections from the ISR,
//! AlterPartition by Kafka's table. Its history is what the brokers replay, each at its own pace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::BrokerEpoch;
use crate::replica::{
    AlterPartitionAnswer, AlterPartitionRequest, EligibleBrokers, LeaderRecoveryState,
    PartitionRegistration,
};

/// One version of the metadata.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) registration: PartitionRegistration,
    pub(super) eligible: Arc<EligibleBrokers>,
}

struct BrokerRegistration {
    epoch: BrokerEpoch,
    fenced: bool,
}

/// The controller.
pub(super) struct Controller {
    pub(super) partition: PartitionRegistration,
    brokers: BTreeMap<BrokerId, BrokerRegistration>,
    pub(super) history: Vec<Snapshot>,
    next_broker_epoch: BrokerEpoch,
}

impl Controller {
    /// A partition with every broker in sync, led by the first.
    pub(super) fn new(brokers: &[BrokerId]) -> Self {
        let partition = PartitionRegistration {
            replicas: brokers.to_vec(),
            isr: brokers.to_vec(),
            leader: brokers.first().copied(),
            ..PartitionRegistration::default()
        };
        let mut controller = Self {
            partition,
            brokers: BTreeMap::new(),
            history: Vec::new(),
            next_broker_epoch: 100,
        };
        for &id in brokers {
            let epoch = controller.next_epoch();
            controller.brokers.insert(
                id,
                BrokerRegistration {
                    epoch,
                    fenced: false,
                },
            );
        }
        controller.publish();
        controller
    }

    fn next_epoch(&mut self) -> BrokerEpoch {
        self.next_broker_epoch += 1;
        self.next_broker_epoch
    }

    pub(super) fn epoch_of(&self, id: BrokerId) -> BrokerEpoch {
        self.brokers[&id].epoch
    }

    pub(super) fn is_fenced(&self, id: BrokerId) -> bool {
        self.brokers[&id].fenced
    }

    /// A new life of `id`: fenced, out of the ISR if anyone else is in it. Returns its epoch and
    /// the version of the metadata that it must have seen before it is unfenced.
    pub(super) fn register(&mut self, id: BrokerId) -> (BrokerEpoch, usize) {
        let epoch = self.next_epoch();
        self.brokers.insert(
            id,
            BrokerRegistration {
                epoch,
                fenced: true,
            },
        );
        self.leave_isr(id);
        self.publish();
        (epoch, self.history.len() - 1)
    }

    pub(super) fn fence(&mut self, id: BrokerId) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.fenced = true;
        }
        self.leave_isr(id);
        self.publish();
    }

    pub(super) fn unfence(&mut self, id: BrokerId) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.fenced = false;
        }
        if self.partition.leader.is_none() {
            self.elect_from_isr();
        }
        self.publish();
    }

    /// The last member stays, without leading.
    fn leave_isr(&mut self, id: BrokerId) {
        let was_leader = self.partition.leader == Some(id);
        if self.partition.isr.len() > 1 && self.partition.isr.contains(&id) {
            self.partition.isr.retain(|&member| member != id);
            self.partition.partition_epoch += i32::from(!was_leader);
        }
        if was_leader {
            self.elect_from_isr();
        }
    }

    fn elect_from_isr(&mut self) {
        let replicas = self.partition.replicas.clone();
        let is_candidate =
            |id: &BrokerId| self.partition.isr.contains(id) && !self.brokers[id].fenced;
        let leader = replicas.into_iter().find(is_candidate);
        self.lead(leader);
    }

    fn lead(&mut self, leader: Option<BrokerId>) {
        self.partition.leader = leader;
        self.partition.leader_epoch += 1;
        self.partition.partition_epoch += 1;
    }

    /// Moves the leadership to `id` if it may lead.
    pub(super) fn elect(&mut self, id: BrokerId) {
        if self.partition.isr.contains(&id) && !self.brokers[&id].fenced {
            self.lead(Some(id));
            self.publish();
        }
    }

    pub(super) fn alter_partition(
        &mut self,
        from: BrokerId,
        from_epoch: BrokerEpoch,
        request: &AlterPartitionRequest,
    ) -> Result<AlterPartitionAnswer, ErrorCode> {
        let partition = &self.partition;
        if self.epoch_of(from) != from_epoch {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        if request.leader_epoch > partition.leader_epoch
            || request.partition_epoch > partition.partition_epoch
        {
            return Err(ErrorCode::NotController);
        }
        if request.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition.leader != Some(from) {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let is_known = |&(id, _): &(BrokerId, _)| partition.replicas.contains(&id);
        if !request.new_isr.iter().all(is_known)
            || !request.new_isr.iter().any(|&(id, _)| id == from)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let is_eligible = |&(id, epoch): &(BrokerId, BrokerEpoch)| {
            let broker = &self.brokers[&id];
            !broker.fenced && (epoch == -1 || epoch == broker.epoch)
        };
        if !request.new_isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        self.partition.isr = request.new_isr.iter().map(|&(id, _)| id).collect();
        self.partition.leader_recovery_state = request.leader_recovery_state;
        self.partition.partition_epoch += 1;
        self.publish();
        Ok(AlterPartitionAnswer {
            leader_epoch: self.partition.leader_epoch,
            partition_epoch: self.partition.partition_epoch,
            isr: self.partition.isr.clone(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
        })
    }

    /// Invariant S8, then one more version for the brokers to replay.
    fn publish(&mut self) {
        let partition = &self.partition;
        assert!(
            partition
                .leader
                .is_none_or(|leader| partition.isr.contains(&leader)),
            "S8"
        );
        assert!(
            partition
                .isr
                .iter()
                .all(|member| partition.replicas.contains(member)),
            "S8"
        );
        assert!(!partition.isr.is_empty(), "S8");
        let unfenced = self.brokers.iter().filter(|(_, broker)| !broker.fenced);
        let eligible = unfenced.map(|(&id, broker)| (id, broker.epoch)).collect();
        let registration = partition.clone();
        self.history.push(Snapshot {
            registration,
            eligible: Arc::new(eligible),
        });
    }
}
