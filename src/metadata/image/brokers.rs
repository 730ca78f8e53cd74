//! The registered brokers.
//!
//! In: registration records. Out: lookups by id.
//! Invariant: a broker's epoch only grows, and a change names the epoch that it is for, so a record
//! of an earlier life changes nothing. Source: Kafka's `ClusterControlManager.replay`.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::ImageError;
use crate::id::{BrokerId, UNASSIGNED_DIRECTORY};
use crate::metadata::record::{BrokerRegistration, MetadataRecord};
use crate::offset::BrokerEpoch;
use crate::replica::PartitionRegistration;

/// The brokers that registered and have not left, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokersImage {
    by_id: Arc<BTreeMap<BrokerId, Arc<BrokerRegistration>>>,
}

impl BrokersImage {
    /// The registration of a broker.
    pub fn get(&self, broker_id: BrokerId) -> Option<&Arc<BrokerRegistration>> {
        self.by_id.get(&broker_id)
    }

    /// All registrations, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.by_id.values()
    }

    /// The broker epoch of a registered broker.
    pub fn epoch(&self, broker_id: BrokerId) -> Option<BrokerEpoch> {
        self.get(broker_id)
            .map(|registration| registration.broker_epoch)
    }

    /// Whether the broker may lead and be in an ISR: registered, unfenced, not shutting down.
    pub fn is_active(&self, broker_id: BrokerId) -> bool {
        self.get(broker_id)
            .is_some_and(|registration| registration.is_active())
    }

    /// Whether the log directory of the replica that `broker_id` has of `partition` is online.
    pub fn is_replica_online(
        &self,
        partition: &PartitionRegistration,
        broker_id: BrokerId,
    ) -> bool {
        let directory = partition.directory_of(broker_id);
        let registration = self.get(broker_id);
        directory == UNASSIGNED_DIRECTORY
            || registration.is_some_and(|broker| broker.is_directory_online(directory))
    }

    /// Whether `self` and `other` are the same map in memory, and thus equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_id, &other.by_id)
    }

    pub(super) fn register(&mut self, registration: &BrokerRegistration) -> Result<(), ImageError> {
        let registered = self.epoch(registration.broker_id);
        if registered.is_some_and(|epoch| epoch >= registration.broker_epoch) {
            return Err(ImageError::UnknownBroker {
                broker_id: registration.broker_id,
                broker_epoch: registration.broker_epoch,
                registered,
            });
        }
        Arc::make_mut(&mut self.by_id)
            .insert(registration.broker_id, Arc::new(registration.clone()));
        Ok(())
    }

    pub(super) fn unregister(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> Result<(), ImageError> {
        self.entry(broker_id, broker_epoch)?;
        Arc::make_mut(&mut self.by_id).remove(&broker_id);
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
        fenced: Option<bool>,
        in_controlled_shutdown: Option<bool>,
    ) -> Result<(), ImageError> {
        let registration = self.entry(broker_id, broker_epoch)?;
        registration.fenced = fenced.unwrap_or(registration.fenced);
        registration.in_controlled_shutdown =
            in_controlled_shutdown.unwrap_or(registration.in_controlled_shutdown);
        Ok(())
    }

    pub(super) fn set_offline_directories(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
        directories: &[Uuid],
    ) -> Result<(), ImageError> {
        let registration = self.entry(broker_id, broker_epoch)?;
        let known = registration.directories.clone();
        let new = directories.iter().filter(|told| !known.contains(told));
        registration.directories.extend(new);
        registration.offline_directories = directories.to_vec();
        Ok(())
    }

    fn entry(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> Result<&mut BrokerRegistration, ImageError> {
        let registered = self.epoch(broker_id);
        let unknown = ImageError::UnknownBroker {
            broker_id,
            broker_epoch,
            registered,
        };
        if registered != Some(broker_epoch) {
            return Err(unknown);
        }
        let entry = Arc::make_mut(&mut self.by_id)
            .get_mut(&broker_id)
            .ok_or(unknown)?;
        Ok(Arc::make_mut(entry))
    }

    pub(super) fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for registration in self.iter() {
            records.push(MetadataRecord::RegisterBroker(
                registration.as_ref().clone(),
            ));
            if !registration.offline_directories.is_empty() {
                records.push(MetadataRecord::BrokerDirectoriesOffline {
                    broker_id: registration.broker_id,
                    broker_epoch: registration.broker_epoch,
                    directories: registration.offline_directories.clone(),
                });
            }
        }
        records
    }
}
