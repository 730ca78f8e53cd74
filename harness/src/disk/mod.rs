//! The faulty disk: a file system of our own under every log directory of every node.
//!
//! In: rules from the nemesis. Out: what the brokers see, and proof of what was done to them.
//! Invariant: without rules a broker cannot tell it from the machine's own file system.
//! Source: `sandbox.md` §4.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

mod classify;
mod decide;
mod device;
mod files;
mod held;
pub mod journal;
mod mount;
mod perform;
pub mod rule;
mod rules;
mod serve;
mod volume;

use device::Device;
use journal::{Journal, NameDurability};
pub use mount::DEVICE;
use rule::{DiskId, DiskRule, PowerLossEffect, RuleEffect, Survival};

/// A rule that was imposed on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u64);

/// What a disk is like when nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// What chance is drawn from.
    pub seed: u64,
    /// How long an fsync takes.
    pub fsync: Duration,
    /// Its size in bytes; that of the machine's own disk if absent.
    pub quota: Option<u64>,
    /// What a file's fsync does to its name.
    pub names: NameDurability,
}

/// Why a disk could not be handled.
#[derive(Debug, Error)]
pub enum DiskError {
    /// There is no such disk.
    #[error("node {} has no faulty disk {}; the plan needs `cluster.disk`", .0.node, .0.directory)]
    Unknown(DiskId),
    /// It is mounted already, or has no power.
    #[error("disk {} of node {} is {is}", .id.directory, .id.node)]
    State {
        /// Which.
        id: DiskId,
        /// What it is.
        is: &'static str,
    },
    /// The system refused a step.
    #[error("{step} for {}: {source}", .path.display())]
    Os {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The faulty disks of a run. Cheap to clone; all clones act on the same disks.
#[derive(Clone, Default)]
pub struct Disks {
    devices: Arc<Mutex<BTreeMap<DiskId, Arc<Device>>>>,
}

impl Disks {
    /// Mounts the faulty file system over `backing` at `mount_point`.
    pub fn mount(
        &self,
        id: DiskId,
        backing: &Path,
        mount_point: &Path,
        options: DiskOptions,
    ) -> Result<(), DiskError> {
        if self.devices().contains_key(&id) {
            let is = "mounted already";
            return Err(DiskError::State { id, is });
        }
        let device = Arc::new(Device::new(id, backing, mount_point, options)?);
        device.power_on()?;
        self.devices().insert(id, device);
        Ok(())
    }

    /// The disks of `node`, in the order of `log.dirs`.
    pub fn of(&self, node: i32) -> Vec<DiskId> {
        let devices = self.devices();
        devices
            .keys()
            .filter(|id| id.node == node)
            .copied()
            .collect()
    }

    /// Where the files of `id` lie.
    pub fn backing(&self, id: DiskId) -> Option<PathBuf> {
        Some(self.device(id).ok()?.backing.clone())
    }

    /// From now on `rule` acts, also over losses of power, until it is lifted.
    pub fn impose(&self, id: DiskId, rule: DiskRule) -> Result<RuleId, DiskError> {
        self.device(id)?.impose(rule)
    }

    /// What a rule has done so far, or had done when it was lifted.
    pub fn effect(&self, id: DiskId, rule: RuleId) -> RuleEffect {
        let device = self.device(id);
        device.map_or_else(|_| RuleEffect::default(), |device| device.effect(rule))
    }

    /// The rule acts no longer; everything that it held is done and answered.
    pub fn lift(&self, id: DiskId, rule: RuleId) -> RuleEffect {
        let device = self.device(id);
        device.map_or_else(|_| RuleEffect::default(), |device| device.lift(rule))
    }

    /// No rule acts any longer.
    pub fn lift_all(&self) {
        for device in self.all() {
            device.lift_all();
        }
    }

    /// Answers with EIO what is held on `id`, so that a killed process can end. Rules stay.
    ///
    /// A process that dies may ask for more on its way: call it until the process is gone.
    pub fn release(&self, id: DiskId) {
        if let Ok(device) = self.device(id) {
            device.release();
        }
    }

    /// The power of `id` is gone as of now: no fsync that ends later counts. [`Disks::power_off`]
    /// is to follow, or [`Disks::keep_power`].
    pub fn lose_power(&self, id: DiskId) {
        self.with_journal(id, Journal::lose_power);
    }

    /// The power of `id` stayed after all: the fsyncs since [`Disks::lose_power`] count.
    pub fn keep_power(&self, id: DiskId) {
        self.with_journal(id, Journal::keep_power);
    }

    fn with_journal(&self, id: DiskId, act: impl FnOnce(&mut Journal)) {
        if let Some(journal) = self.journal(id) {
            act(&mut journal.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The power goes: what is held is answered with EIO, the file system is unmounted, and the
    /// files are rolled back to what survives. Call it once SIGKILL was sent to the node.
    pub async fn power_off(
        &self,
        id: DiskId,
        survival: Survival,
        draw: u64,
    ) -> Result<PowerLossEffect, DiskError> {
        let device = self.device(id)?;
        let lost = tokio::task::spawn_blocking(move || device.power_off(survival, draw));
        lost.await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Unmounts a disk whose node is down, so that its files can be changed in the backing folder.
    /// Everything that was written is durable from then on.
    pub fn unmount(&self, id: DiskId) -> Result<(), DiskError> {
        self.device(id)?.unmount()
    }

    /// Mounts a disk that was unmounted or lost its power, at the same place.
    pub fn power_on(&self, id: DiskId) -> Result<(), DiskError> {
        self.device(id)?.power_on()
    }

    /// The journal of `id`: what a loss of power would take now.
    pub fn journal(&self, id: DiskId) -> Option<Arc<Mutex<Journal>>> {
        Some(Arc::clone(&self.device(id).ok()?.journal))
    }

    /// Ends all disks; nothing waits for them afterwards.
    pub fn unmount_all(&self) {
        let devices = std::mem::take(&mut *self.devices());
        for device in devices.values() {
            device.end();
        }
    }

    fn device(&self, id: DiskId) -> Result<Arc<Device>, DiskError> {
        let device = self.devices().get(&id).map(Arc::clone);
        device.ok_or(DiskError::Unknown(id))
    }

    fn all(&self) -> Vec<Arc<Device>> {
        self.devices().values().map(Arc::clone).collect()
    }

    fn devices(&self) -> MutexGuard<'_, BTreeMap<DiskId, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Disks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.devices().keys()).finish()
    }
}
