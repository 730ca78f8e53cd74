//! A place where log directories of a crash are booted: one network namespace, one job at a time.
//!
//! In: crash images and a state of them. Out: the nodes' log directories made anew, with the
//! configuration that the run gave its nodes, and processes on them.
//! Invariant: what one state leaves behind never reaches the next one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::node_endpoints;
use crate::crash::find::SavedLoss;
use crate::disk::journal::{CrashState, NameDurability};
use crate::disk::rule::{DiskId, PowerLossEffect};
use crate::disk::{DiskOptions, Disks};
use crate::plan::{DiskPlan, Plan};
use crate::run::launch::OBSERVER;
use crate::run::store::Store;
use crate::sandbox::{Sandbox, Supervisor};
use crate::workload::log::client_endpoints;

/// What states are booted in.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    pub(super) plan: Arc<Plan>,
    pub(super) sandbox: Sandbox,
    /// How long a whole cluster may take to come up.
    pub(super) whole_within: Duration,
}

/// One state on its way: its files vanish with it.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) plan: Arc<Plan>,
    pub(super) store: Store,
    pub(super) supervisor: Supervisor,
    /// The faulty disks below its log directories, if it has any.
    pub(super) disks: Disks,
    _folder: tempfile::TempDir,
}

/// What a state lacks of what had been written, by disk.
pub(super) type Missing = BTreeMap<DiskId, PowerLossEffect>;

/// The plan of the run `plan` without its faults and its workload, on plain disks.
pub(super) fn boot_plan(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.cluster.disk = None;
    plan.faults.clear();
    plan.workload.group = None;
    plan.workload.producers = 0;
    plan.workload.consumers = 1;
    plan
}

impl Stand {
    /// A stand with a namespace of its own.
    pub(super) fn new(plan: &Arc<Plan>, whole_within: Duration) -> io::Result<Self> {
        let endpoints = node_endpoints(plan).chain(client_endpoints(plan));
        Ok(Self {
            plan: Arc::clone(plan),
            sandbox: Sandbox::shared(endpoints.chain([OBSERVER]))?,
            whole_within,
        })
    }

    /// Makes the log directories of `losses` as `state` left them, below `scratch`.
    pub(super) fn prepare(
        &self,
        scratch: &Path,
        losses: &[&SavedLoss],
        state: CrashState,
    ) -> io::Result<(Boot, Missing)> {
        let folder = tempfile::tempdir_in(scratch)?;
        let store = Store::open(folder.path());
        let mut missing = Missing::new();
        for loss in losses {
            for path in [store.node_log(loss.node), store.node_config(loss.node)] {
                std::fs::create_dir_all(path)?;
            }
            std::fs::create_dir_all(store.node_data(loss.node))?;
            for (disk, image) in &loss.disks {
                let made = image.materialize(salted(state, *disk), &store.backing(*disk))?;
                missing.insert(*disk, made);
            }
        }
        std::fs::create_dir_all(store.clients())?;
        let boot = Boot {
            plan: Arc::clone(&self.plan),
            store,
            supervisor: Supervisor::new(),
            disks: Disks::default(),
            _folder: folder,
        };
        Ok((boot, missing))
    }
}

impl Boot {
    /// Puts faulty disks below the log directories of the node of `loss`.
    pub(super) fn on_faulty_disks(mut self, loss: &SavedLoss) -> io::Result<Self> {
        let mut plan = Plan::clone(&self.plan);
        let names = NameDurability::default();
        plan.cluster.disk = Some(DiskPlan {
            fsync_ms: 0,
            quota_mib: None,
            names,
        });
        let options = DiskOptions {
            seed: plan.seed,
            fsync: Duration::ZERO,
            quota: None,
            names,
        };
        for id in loss.disks.keys() {
            let (backing, mount_point) = (self.store.backing(*id), self.store.mount_point(*id));
            std::fs::create_dir_all(&mount_point)?;
            let mounted = self.disks.mount(*id, &backing, &mount_point, options);
            mounted.map_err(io::Error::other)?;
        }
        self.plan = Arc::new(plan);
        self.supervisor = Supervisor::on(self.disks.clone());
        Ok(self)
    }

    /// Kills everything that was started on it.
    pub(super) async fn end(&self) -> io::Result<()> {
        for endpoint in self.supervisor.endpoints() {
            if self.supervisor.pid(endpoint).is_ok() {
                let killed = self.supervisor.kill(endpoint).await;
                killed.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        self.disks.unmount_all();
    }
}

/// What all disks lack together.
pub(super) fn total(missing: &Missing) -> PowerLossEffect {
    let mut total = PowerLossEffect::default();
    for effect in missing.values() {
        total.unsynced += effect.unsynced;
        total.lost += effect.lost;
        total.missed += effect.missed;
        total.torn += effect.torn;
        total.lost_bytes += effect.lost_bytes;
    }
    total
}

/// Disks of one state draw differently.
pub(super) fn salted(state: CrashState, disk: DiskId) -> CrashState {
    let salt = (u64::from(disk.node.unsigned_abs()) << 32) | u64::from(disk.directory);
    match state {
        CrashState::Prefix { .. } => state,
        CrashState::Drawn { survival, draw } => CrashState::Drawn {
            survival,
            draw: draw.rotate_left(20) ^ salt,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::rule::Survival;

    #[test]
    fn the_disks_of_a_state_keep_prefixes_of_their_own() {
        let disk = |node, directory| DiskId { node, directory };
        let state = CrashState::Drawn {
            survival: Survival::Prefix,
            draw: 7,
        };
        let [one, other] = [disk(1, 0), disk(1, 1)].map(|disk| salted(state, disk));
        assert_ne!(one, other);
        assert_ne!(one, salted(state, disk(2, 0)));
    }
}
