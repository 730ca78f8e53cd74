//! One faulty disk over the whole run: with and without power.
//!
//! In: a backing folder, a mount point. Out: mounts, and folders rolled back to what survives.
//! Invariants: without power nobody sees the files but through the backing folder; rules and their
//! counters, and the journal, outlive each mount.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::files::Files;
use crate::disk::files::space::Space;
use crate::disk::journal::Journal;
use crate::disk::mount::{Mounted, Unmount};
use crate::disk::rule::{DiskId, DiskRule, PowerLossEffect, RuleEffect, Survival};
use crate::disk::rules::Rules;
use crate::disk::volume::Volume;
use crate::disk::{DiskError, DiskOptions, RuleId};

/// One faulty disk.
pub(super) struct Device {
    id: DiskId,
    /// Where its files lie.
    pub(super) backing: PathBuf,
    mount_point: PathBuf,
    options: DiskOptions,
    rules: Arc<Rules>,
    /// What a loss of power may take.
    pub(super) journal: Arc<Mutex<Journal>>,
    mounted: Mutex<Option<Mounted>>,
}

impl Device {
    /// A disk without power.
    pub(super) fn new(
        id: DiskId,
        backing: &Path,
        mount_point: &Path,
        options: DiskOptions,
    ) -> Result<Self, DiskError> {
        let journal = Journal::new(backing).map_err(at("starting the journal", backing))?;
        let journal = journal.with_names(options.names);
        // Disks of one run draw differently.
        let stream = (u64::from(id.directory) << 32) | u64::from(id.node.unsigned_abs());
        Ok(Self {
            id,
            backing: backing.to_owned(),
            mount_point: mount_point.to_owned(),
            options,
            rules: Arc::new(Rules::new(options.seed.rotate_left(17) ^ stream)),
            journal: Arc::new(Mutex::new(journal)),
            mounted: Mutex::default(),
        })
    }

    /// Mounts it.
    pub(super) fn power_on(&self) -> Result<(), DiskError> {
        let mut mounted = self.mounted();
        if mounted.is_some() {
            let is = "mounted already";
            return Err(DiskError::State { id: self.id, is });
        }
        let space = Space::measure(&self.backing, self.options.quota)
            .map_err(at("measuring", &self.backing))?;
        let files = Files::new(&self.backing, Arc::clone(&self.journal), space)
            .map_err(|errno| at("opening", &self.backing)(errno.into()))?;
        let volume = Volume::new(files, Arc::clone(&self.rules), self.options.fsync);
        *mounted = Some(Mounted::new(Arc::new(volume), &self.mount_point)?);
        Ok(())
    }

    /// Takes the power away: what waits is refused, and what does not survive is gone.
    pub(super) fn power_off(
        &self,
        survival: Survival,
        draw: u64,
    ) -> Result<PowerLossEffect, DiskError> {
        self.take_mounted()?.unmount(Unmount::AtOnce)?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal
            .roll_back(survival, draw)
            .map_err(at("rolling back", &self.backing))
    }

    /// Unmounts it; everything that was written is durable from then on.
    pub(super) fn unmount(&self) -> Result<(), DiskError> {
        self.take_mounted()?.unmount(Unmount::Gently)?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let all = Survival::Subset(1000);
        journal
            .roll_back(all, 0)
            .map_err(at("writing back", &self.backing))?;
        Ok(())
    }

    /// Ends it, whatever its state.
    pub(super) fn end(&self) {
        let mounted = self.mounted().take();
        if let Some(mounted) = mounted
            && let Err(error) = mounted.unmount(Unmount::Gently)
        {
            tracing::warn!("{error}");
        }
        // Only an empty folder goes; one that is still mounted stays.
        let _ = std::fs::remove_dir(&self.mount_point);
    }

    /// From now on `rule` acts.
    pub(super) fn impose(&self, rule: DiskRule) -> Result<RuleId, DiskError> {
        if let Some(mounted) = &*self.mounted() {
            return Ok(mounted.volume.impose(rule));
        }
        let space = Space::measure(&self.backing, None).map_err(at("measuring", &self.backing))?;
        Ok(self.rules.impose(rule, space.used))
    }

    /// What a rule has done.
    pub(super) fn effect(&self, rule: RuleId) -> RuleEffect {
        self.rules.effect(rule)
    }

    /// The rule acts no longer.
    pub(super) fn lift(&self, rule: RuleId) -> RuleEffect {
        let volume = self.volume();
        match volume {
            Some(volume) => volume.lift(rule),
            None => {
                self.rules.lift(rule);
                self.rules.effect(rule)
            }
        }
    }

    /// No rule acts any longer.
    pub(super) fn lift_all(&self) {
        for rule in self.rules.acting() {
            self.lift(rule);
        }
    }

    /// Refuses what waits. Rules stay.
    pub(super) fn release(&self) {
        if let Some(volume) = self.volume() {
            volume.held.release();
        }
    }

    /// What is mounted. Taken out of the lock: what is answered may take a while.
    fn volume(&self) -> Option<Arc<Volume>> {
        let mounted = self.mounted();
        mounted.as_ref().map(|mounted| Arc::clone(&mounted.volume))
    }

    fn take_mounted(&self) -> Result<Mounted, DiskError> {
        let is = "without power already";
        let none = || DiskError::State { id: self.id, is };
        self.mounted().take().ok_or_else(none)
    }

    fn mounted(&self) -> MutexGuard<'_, Option<Mounted>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(step: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Os { step, path, source }
}
