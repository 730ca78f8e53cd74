//! SIGSTOP and SIGCONT: a zombie that neither answers nor dies; its kernel still acknowledges.
//!
//! Effect: `/proc` shows the state T. Healing: SIGCONT, another state, and an answer.

use std::fs;
use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::{sleep, timeout};

use crate::nemesis::kill::{names, prove_serving};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, PROBE_PAUSE, brokers};
use crate::sandbox::Endpoint;

/// How long the kernel may take to stop every thread.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The fault `pause`.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    targets: Vec<BrokerId>,
    paused: Vec<BrokerId>,
    /// Those that were seen stopped; another fault may kill them before the pause ends.
    stopped: Vec<BrokerId>,
}

impl Fault for Pause {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for node in &self.targets {
                if arena.supervisor.pause(Endpoint::of(*node)).is_ok() {
                    self.paused.push(*node);
                }
            }
            for node in &self.paused {
                if is_stopped_in_time(arena, Endpoint::of(*node)).await {
                    self.stopped.push(*node);
                }
            }
            let nothing = || "none of the targets was running".to_owned();
            if self.paused.is_empty() {
                Err(nothing())
            } else {
                Ok(())
            }
        })
    }

    fn prove_effect<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let effect = if self.stopped.is_empty() {
            Effect::Vacuous(format!("never in state T: {}", names(&self.paused)))
        } else {
            Effect::Seen(format!("state T in /proc: {}", names(&self.stopped)))
        };
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for node in &self.paused {
                // Another fault may have killed it since; then there is nothing to resume.
                let _ = arena.supervisor.resume(Endpoint::of(*node));
            }
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.paused))
    }
}

pub(crate) async fn is_stopped_in_time(arena: &Arena, endpoint: Endpoint) -> bool {
    let stopped = async {
        while state_of(arena, endpoint) != Some('T') {
            sleep(PROBE_PAUSE).await;
        }
    };
    timeout(STOP_LIMIT, stopped).await.is_ok()
}

/// The state letter in `/proc/<pid>/stat`: the first after the parenthesised name.
pub(crate) fn state_of(arena: &Arena, endpoint: Endpoint) -> Option<char> {
    let pid = arena.supervisor.pid(endpoint).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
