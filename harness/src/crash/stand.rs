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
use crate::disk::journal::CrashState;
use crate::disk::rule::{DiskId, PowerLossEffect};
use crate::plan::Plan;
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
    _folder: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) supervisor: Supervisor,
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
            _folder: folder,
            store,
            supervisor: Supervisor::new(),
        };
        Ok((boot, missing))
    }
}

impl Boot {
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
