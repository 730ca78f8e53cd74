//! SIGKILL: the process is gone at once, and its kernel says goodbye to the peers.
//!
//! Effect: the process ended by signal 9 and its port refuses. Healing: a restart.

use broker::id::BrokerId;

use crate::link::{Probe, probe_locally};
use crate::nemesis::{
    Arena, BoxFuture, Effect, Fault, PROBE_LIMIT, brokers, wait_until_it_answers,
};
use crate::sandbox::{Endpoint, ProcessError, Status};

/// The fault `kill`.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    targets: Vec<BrokerId>,
    killed: Vec<BrokerId>,
}

impl Fault for Kill {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.killed = kill_all(arena, &self.targets).await?;
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(prove_gone(arena, &self.killed))
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { restart_all(arena, &self.killed) })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.killed))
    }
}

/// Kills all at the same moment; returns those that ran until then.
pub(crate) async fn kill_all(arena: &Arena, targets: &[BrokerId]) -> Result<Vec<BrokerId>, String> {
    let runs = |node: &&BrokerId| arena.supervisor.pid(Endpoint::of(**node)).is_ok();
    let running: Vec<BrokerId> = targets.iter().filter(runs).copied().collect();
    let mut kills = tokio::task::JoinSet::new();
    for node in &running {
        let (supervisor, endpoint) = (arena.supervisor.clone(), Endpoint::of(*node));
        kills.spawn(async move { supervisor.kill(endpoint).await });
    }
    while let Some(killed) = kills.join_next().await {
        killed
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
    }
    if running.is_empty() {
        Err("none of the targets was running".into())
    } else {
        Ok(running)
    }
}

/// The processes are gone and nothing listens where they did.
pub(crate) async fn prove_gone(arena: &Arena, killed: &[BrokerId]) -> Effect {
    for node in killed {
        match arena.supervisor.status(Endpoint::of(*node)) {
            Some(Status::Exited(_)) => {}
            status => return Effect::Vacuous(format!("node {node} still runs: {status:?}")),
        }
        match probe_locally(&arena.sandbox, *node, PROBE_LIMIT).await {
            Ok(Probe::Refused) => {}
            answer => return Effect::Vacuous(format!("node {node} still listens: {answer:?}")),
        }
    }
    Effect::Seen(format!("process gone and port refused: {}", names(killed)))
}

/// Starts again those that still are down.
pub(crate) fn restart_all(arena: &Arena, killed: &[BrokerId]) -> Result<(), String> {
    killed
        .iter()
        .try_for_each(|node| start_again(arena, Endpoint::of(*node)))
}

/// Starts a node again unless it runs; healing everything may do so at the same moment. A node
/// that another fault holds down is started by that one.
pub(crate) fn start_again(arena: &Arena, endpoint: Endpoint) -> Result<(), String> {
    match arena.supervisor.restart(endpoint) {
        Ok(_) | Err(ProcessError::Running(_) | ProcessError::HeldDown(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each of `nodes` answers again, unless another fault stopped it since.
pub(crate) async fn prove_serving(arena: &Arena, nodes: &[BrokerId]) -> Result<(), String> {
    for node in nodes {
        if let Some(Status::Running(_)) = arena.supervisor.status(Endpoint::of(*node)) {
            wait_until_it_answers(arena, *node).await?;
        }
    }
    Ok(())
}

/// `node 1, node 3`.
pub(crate) fn names(nodes: &[BrokerId]) -> String {
    nodes
        .iter()
        .map(|node| format!("node {node}"))
        .collect::<Vec<_>>()
        .join(", ")
}
