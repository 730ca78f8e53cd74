//! SIGTERM: a controlled shutdown, which hands over leaderships first.
//!
//! Effect: the process ended and its port refuses. Healing: a restart.

use std::time::Duration;

use broker::id::BrokerId;

use crate::nemesis::kill::{prove_gone, prove_serving, restart_all};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, brokers};
use crate::sandbox::{Endpoint, ProcessError};

/// How long a controlled shutdown may take before SIGKILL ends it.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// The fault `terminate`.
#[derive(Debug, Default)]
pub(crate) struct Terminate {
    targets: Vec<BrokerId>,
    ended: Vec<BrokerId>,
    notes: String,
}

impl Fault for Terminate {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let mut stops = tokio::task::JoinSet::new();
            for node in &self.targets {
                let (supervisor, node) = (arena.supervisor.clone(), *node);
                stops.spawn(async move {
                    let endpoint = Endpoint::of(node);
                    (node, supervisor.terminate(endpoint, SHUTDOWN_LIMIT).await)
                });
            }
            while let Some(stopped) = stops.join_next().await {
                let (node, exit) = stopped.map_err(|error| error.to_string())?;
                self.note(arena, node, exit).await;
            }
            let nothing = || "none of the targets was running".to_owned();
            if self.ended.is_empty() {
                Err(nothing())
            } else {
                Ok(())
            }
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            match prove_gone(arena, &self.ended).await {
                Effect::Seen(evidence) => Effect::Seen(format!("{evidence};{}", self.notes)),
                vacuous @ Effect::Vacuous(_) => vacuous,
            }
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { restart_all(arena, &self.ended) })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.ended))
    }
}

impl Terminate {
    async fn note(
        &mut self,
        arena: &Arena,
        node: BrokerId,
        exit: Result<crate::sandbox::Exit, ProcessError>,
    ) {
        let note = match exit {
            Ok(exit) => match (exit.code, exit.signal) {
                (Some(code), _) => format!(" node {node} ended with code {code}"),
                (None, signal) => format!(" node {node} ended by signal {}", signal.unwrap_or(0)),
            },
            Err(ProcessError::Timeout { limit, .. }) => {
                let _ = arena.supervisor.kill(Endpoint::of(node)).await;
                format!(" node {node} ignored SIGTERM for {limit:?} and was killed")
            }
            Err(_) => return,
        };
        self.ended.push(node);
        self.notes.push_str(&note);
    }
}
