//! The faulty disk: a file system of our own under every log directory of every node.
//!
//! In: rules from the nemesis. Out: what the brokers see, and proof of what was done to them.
//! Invariant: without rules a broker cannot tell it from the machine's own file system.
//! Source: `sandbox.md` §4.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub mod journal;
pub mod rule;

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
#[derive(Clone, Debug, Default)]
pub struct Disks {}

impl Disks {
    /// Mounts the faulty file system over `backing` at `mount_point`.
    pub fn mount(
        &self,
        id: DiskId,
        _backing: &Path,
        _mount_point: &Path,
        _options: DiskOptions,
    ) -> Result<(), DiskError> {
        Err(DiskError::Unknown(id))
    }

    /// The disks of `node`, in the order of `log.dirs`.
    pub fn of(&self, _node: i32) -> Vec<DiskId> {
        Vec::new()
    }

    /// Where the files of `id` lie.
    pub fn backing(&self, _id: DiskId) -> Option<PathBuf> {
        None
    }

    /// From now on `rule` acts.
    pub fn impose(&self, id: DiskId, _rule: DiskRule) -> Result<RuleId, DiskError> {
        Err(DiskError::Unknown(id))
    }

    /// What a rule has done so far, or had done when it was lifted.
    pub fn effect(&self, _id: DiskId, _rule: RuleId) -> RuleEffect {
        RuleEffect::default()
    }

    /// The rule acts no longer; everything that it held is answered.
    pub fn lift(&self, _id: DiskId, _rule: RuleId) -> RuleEffect {
        RuleEffect::default()
    }

    /// No rule acts any longer.
    pub fn lift_all(&self) {}

    /// Answers with EIO what is held on `id`, so that a killed process can end. Rules stay.
    pub fn release(&self, _id: DiskId) {}

    /// The power goes: what is held is answered with EIO, the file system is unmounted, and the
    /// files are rolled back to what survives. Call it once SIGKILL was sent to the node.
    pub async fn power_off(
        &self,
        id: DiskId,
        _survival: Survival,
        _draw: u64,
    ) -> Result<PowerLossEffect, DiskError> {
        Err(DiskError::Unknown(id))
    }

    /// Mounts a disk without power again, at the same place. Rules do not outlive the power.
    pub fn power_on(&self, id: DiskId) -> Result<(), DiskError> {
        Err(DiskError::Unknown(id))
    }

    /// Ends all disks.
    pub fn unmount_all(&self) {}
}
