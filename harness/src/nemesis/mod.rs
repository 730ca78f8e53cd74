//! The nemesis: injects faults, proves that they act, heals them, proves that they are gone.
//!
//! In: fault specs from the plan. Out: a report for each fault, honest about having had no effect.
//! Keeps: every fault is healed, whatever happens in between; a fault undoes only what it did
//! itself, so faults may overlap. Source: DESIGN §4.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker::id::BrokerId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout};

use crate::disk::rule::DiskId;
use crate::disk::{DiskError, Disks};
use crate::link::{Links, Probe, probe_locally};
use crate::sandbox::{Endpoint, Sandbox, Status, Supervisor};
use crate::tmpfs::TmpfsMounts;
use crate::workload::group::Roster;

pub mod atlas;
pub mod catalogue;
mod client;
mod crash;
pub mod damage;
pub mod directory;
mod disk;
pub mod files;
mod frame;
mod kill;
mod link_faults;
pub mod min_isr;
mod partition;
mod pause;
mod power_loss;
mod repair;
mod resolve;
mod resources;
pub mod spec;
pub mod target;
mod terminate;

pub use atlas::Atlas;
pub use damage::{Damage, FileKind, Place};
pub use directory::DirectoryPick;
pub use files::NodeFiles;
pub use resolve::Resolved;
pub use spec::{FaultSpec, PartitionShape};
pub use target::{BoxFuture, ClusterState, ClusterView, LastKnown, PartitionState, Target};

/// How long the cluster may take to tell who is who: longer than who asks it is patient, who knows
/// better what was lacking.
const OBSERVE_LIMIT: Duration = Duration::from_secs(6);
/// How long a healed fault may take to show it.
const RECOVERY_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at what a fault does to disks.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// One try of a question to a node.
const PROBE_LIMIT: Duration = Duration::from_millis(500);
/// Between two tries.
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// All that faults act on. Cheap to clone.
#[derive(Clone)]
pub struct Arena {
    /// The processes.
    pub supervisor: Supervisor,
    /// The network.
    pub links: Links,
    /// The namespaces.
    pub sandbox: Sandbox,
    /// Who is who.
    pub view: Arc<dyn ClusterView>,
    /// Where the nodes' files lie.
    pub files: NodeFiles,
    /// What was lost, and what may still be.
    pub atlas: Atlas,
    /// The faulty log directories; none when the plan keeps the machine's own disk.
    pub disks: Disks,
    /// The log directories of limited size; none unless the plan has `cluster.tmpfs_mib`.
    pub tmpfs: TmpfsMounts,
    /// The members of the run's group.
    pub roster: Roster,
    /// What `min.insync.replicas` was before faults changed it.
    pub min_isr: min_isr::Changed,
    /// How long a broker waits for an operation before it gives the directory up.
    pub stall_timeout: Duration,
}

/// Whether a fault had an effect, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect", content = "evidence")]
pub enum Effect {
    /// It had; this shows it.
    Seen(String),
    /// It had none, and why that is believed.
    Vacuous(String),
}

/// One fault while it acts. The methods are called in this order, each once.
pub trait Fault: Send {
    /// Takes the resolved targets and what is needed to compare with later.
    fn setup(&mut self, arena: &Arena, targets: &[Endpoint]);
    /// Breaks things.
    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>>;
    /// What it has done to disks so far, if it acts on disks.
    fn look(&mut self, _arena: &Arena) -> Vec<DiskSample> {
        Vec::new()
    }
    /// Looks for evidence, at the end of the time that the fault acts.
    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect>;
    /// Undoes what `inject` did; called after a failed injection, too.
    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>>;
    /// Waits for evidence that nothing of it is left.
    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>>;
    /// What checkers and reports want to know of it beyond its evidence, as the fields of an
    /// object; called whenever it has come further.
    fn detail(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// What became of one fault of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// What was asked for.
    pub fault: FaultSpec,
    /// The nodes or clients that the target meant when it fired: `n2`, `c4`.
    pub targets: Vec<String>,
    /// Whether it had an effect.
    pub effect: Effect,
    /// Why the fault was not gone in time, if it was not.
    pub not_recovered: Option<String>,
}

/// What a fault has done to one disk so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSample {
    /// The disk.
    #[serde(flatten)]
    pub disk: DiskId,
    /// Operations that the fault looked at.
    pub matched: u64,
    /// Operations that it hit.
    pub hits: u64,
    /// Operations that it holds at this moment.
    pub held: u64,
}

/// A step of a fault, for the history and the progress line.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It acts from now on, on these nodes or clients.
    Injected(Resolved),
    /// What it does is done.
    Acting,
    /// It is about to be healed.
    Ending,
    /// What it does to disks; every 250 ms while it acts on any, and when it is healed.
    Acts(Vec<DiskSample>),
    /// It acts no longer; what it did, as [`Fault::detail`] tells.
    Healed(Effect, Map<String, Value>),
    /// Its trace is gone, or why not.
    Recovered(Result<(), String>, Map<String, Value>),
}

/// Lets one fault act for `hold` and heals it. `draw` picks among several possible targets.
pub async fn run_fault(
    arena: &Arena,
    spec: &FaultSpec,
    hold: Duration,
    draw: u64,
    on_step: &(dyn Fn(Step) + Sync),
) -> FaultReport {
    let report = |targets: &[Endpoint], effect, not_recovered| FaultReport {
        fault: spec.clone(),
        targets: short_names(targets),
        effect,
        not_recovered,
    };
    let resolved = match resolve::resolve(arena, spec.target(), draw).await {
        Ok(resolved) => resolved,
        Err(reason) => return report(&[], Effect::Vacuous(reason), None),
    };
    let targets = resolved.targets.clone();
    let mut fault = catalogue::build(spec, draw);
    fault.setup(arena, &targets);
    // Told first: whoever cancels an injection must still find that it began.
    on_step(Step::Injected(resolved));
    let injected = fault.inject(arena).await;
    let effect = match injected {
        Ok(()) => {
            on_step(Step::Acting);
            act(fault.as_mut(), arena, hold, on_step).await;
            fault.prove_effect(arena).await
        }
        Err(reason) => Effect::Vacuous(reason),
    };
    on_step(Step::Ending);
    let healed = fault.heal(arena).await;
    tell_disks(fault.as_mut(), arena, on_step);
    on_step(Step::Healed(effect.clone(), fault.detail()));
    let recovered = match healed {
        Ok(()) => fault.prove_recovered(arena).await,
        Err(reason) => Err(reason),
    };
    on_step(Step::Recovered(recovered.clone(), fault.detail()));
    report(&targets, effect, recovered.err())
}

/// Lets a fault act for `hold`, and tells what it does to disks meanwhile.
async fn act(
    fault: &mut dyn Fault,
    arena: &Arena,
    hold: Duration,
    on_step: &(dyn Fn(Step) + Sync),
) {
    let end = Instant::now() + hold;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK_PERIOD)).await;
        tell_disks(fault, arena, on_step);
    }
}

fn tell_disks(fault: &mut dyn Fault, arena: &Arena, on_step: &(dyn Fn(Step) + Sync)) {
    let disks = fault.look(arena);
    if !disks.is_empty() {
        on_step(Step::Acts(disks));
    }
}

/// Whatever any fault did: opens every link, mends every disk, raises every quota, resumes paused
/// nodes, restarts those that ended.
///
/// # Errors
/// The first quota that could not be raised or node that could not be started; the others are.
pub fn undo_everything(arena: &Arena) -> Result<(), String> {
    arena.links.heal_all();
    arena.disks.lift_all();
    let raised = arena.tmpfs.raise_all();
    let undo = |node: BrokerId| {
        let endpoint = Endpoint::of(node);
        match arena.supervisor.status(endpoint) {
            // A node that was killed in the meantime is not there to be resumed.
            Some(Status::Paused(_)) => drop(arena.supervisor.resume(endpoint)),
            Some(Status::Exited(_)) => {
                power_on(arena, node)?;
                return kill::start_again(arena, endpoint);
            }
            Some(Status::Running(_)) | None => {}
        }
        Ok(())
    };
    let undone: Vec<_> = nodes(arena).into_iter().map(undo).collect();
    client::undo(arena);
    raised.map_err(|error| format!("raising the quota of a log directory: {error}"))?;
    undone.into_iter().collect()
}

/// Undoes everything, and waits until every node answers.
///
/// # Errors
/// The first node that could not be started or does not answer.
pub async fn heal_everything(arena: &Arena) -> Result<(), String> {
    undo_everything(arena)?;
    for node in nodes(arena) {
        wait_until_it_answers(arena, node).await?;
    }
    Ok(())
}

/// Mounts those disks of `node` again that have no power.
fn power_on(arena: &Arena, node: BrokerId) -> Result<(), String> {
    for disk in arena.disks.of(node.0) {
        match arena.disks.power_on(disk) {
            Ok(()) | Err(DiskError::State { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// The nodes among `targets`.
fn brokers(targets: &[Endpoint]) -> Vec<BrokerId> {
    targets
        .iter()
        .filter_map(|target| target.broker())
        .collect()
}

/// `n2` for a node, `c4` for a client.
pub fn short_names(targets: &[Endpoint]) -> Vec<String> {
    let short = |target: &Endpoint| match target {
        Endpoint::Node(id) => format!("n{id}"),
        Endpoint::Client(number) => format!("c{number}"),
    };
    targets.iter().map(short).collect()
}

fn nodes(arena: &Arena) -> Vec<BrokerId> {
    let endpoints = arena.sandbox.endpoints();
    endpoints.filter_map(Endpoint::broker).collect()
}

/// Those of `nodes` whose processes run and are not paused.
fn running(arena: &Arena, nodes: &[BrokerId]) -> BTreeSet<BrokerId> {
    let runs = |node: &&BrokerId| {
        let status = arena.supervisor.status(Endpoint::of(**node));
        matches!(status, Some(Status::Running(_)))
    };
    nodes.iter().filter(runs).copied().collect()
}

/// Waits until `node` answers inside its own namespace.
async fn wait_until_it_answers(arena: &Arena, node: BrokerId) -> Result<(), String> {
    let answers = async {
        while !answers_locally(arena, node).await {
            sleep(PROBE_PAUSE).await;
        }
    };
    let late = |_| format!("node {node} does not answer {RECOVERY_LIMIT:?} after the fault");
    timeout(RECOVERY_LIMIT, answers).await.map_err(late)
}

async fn answers_locally(arena: &Arena, node: BrokerId) -> bool {
    let probe = probe_locally(&arena.sandbox, node, PROBE_LIMIT).await;
    matches!(probe, Ok(Probe::Answered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observer::REQUEST_TIMEOUT;
    use crate::cluster::patience::PATIENCE_MAX;

    #[test]
    fn the_patience_of_the_observer_fits_into_the_limit() {
        // One that begins to look just before its patience is over still asks everything.
        assert!(PATIENCE_MAX + 2 * REQUEST_TIMEOUT < OBSERVE_LIMIT);
    }
}
