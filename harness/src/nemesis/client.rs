//! Faults of the client processes that are members of a group: killed, frozen, sent away.
//!
//! Effect: the process is gone, or `/proc` shows the state T, or the client is no member.
//! Healing: the client is wanted again, or SIGCONT. What a frozen client does when it wakes is its
//! own affair: it may be a zombie that believes it owns what others own by now.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::nemesis::pause::is_stopped_in_time;
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, PROBE_PAUSE, short_names};
use crate::sandbox::{Endpoint, Status};

/// How long a client may take to leave its group: it first works off what it has.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to live again.
const RETURN_LIMIT: Duration = Duration::from_secs(15);

/// What happens to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGKILL; it comes back as another process.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// It leaves its group in order, and joins again as another process.
    Leave,
}

/// The faults `client-kill`, `client-pause` and `client-leave`.
#[derive(Debug)]
pub(crate) struct ClientFault {
    act: Act,
    clients: Vec<u32>,
    /// What was seen when it was injected, for those whose effect passes.
    seen: Vec<Endpoint>,
}

impl ClientFault {
    pub(crate) fn new(act: Act) -> Self {
        Self {
            act,
            clients: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.clients.iter().copied().map(Endpoint::Client).collect()
    }

    async fn strike(&mut self, arena: &Arena, client: u32) -> Result<(), String> {
        let endpoint = Endpoint::Client(client);
        match self.act {
            Act::Kill => {
                let killed = arena.supervisor.kill(endpoint).await;
                killed.map_err(|error| error.to_string())?;
                self.seen.push(endpoint);
            }
            Act::Pause => {
                let paused = arena.supervisor.pause(endpoint);
                paused.map_err(|error| error.to_string())?;
                if is_stopped_in_time(arena, endpoint).await {
                    self.seen.push(endpoint);
                }
            }
            Act::Leave => arena.roster.set_present(client, false),
        }
        Ok(())
    }

    /// Those that are no members any more.
    async fn wait_until_away(&self, arena: &Arena) -> Vec<Endpoint> {
        let away = |client: &u32| !arena.roster.members().contains(client);
        let all_away = async {
            while !self.clients.iter().all(away) {
                sleep(PROBE_PAUSE).await;
            }
        };
        // Who is still there then is not counted; that is what the answer says.
        let _ = timeout(LEAVE_LIMIT, all_away).await;
        let gone = self.clients.iter().filter(|client| away(client));
        gone.copied().map(Endpoint::Client).collect()
    }
}

impl Fault for ClientFault {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        let number = |target: &Endpoint| match target {
            Endpoint::Client(number) => Some(*number),
            Endpoint::Node(_) => None,
        };
        self.clients = targets.iter().filter_map(number).collect();
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            // All are told before the first is struck, so that none takes over what another had.
            for client in self.clients.clone() {
                if self.act == Act::Kill {
                    arena.roster.set_down(client);
                }
            }
            for client in self.clients.clone() {
                self.strike(arena, client).await?;
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            if self.act == Act::Leave {
                self.seen = self.wait_until_away(arena).await;
            }
            let names = short_names(&self.seen).join(", ");
            let what = match self.act {
                Act::Kill => "process gone",
                Act::Pause => "state T in /proc",
                Act::Leave => "left its group in order, as its client tells",
            };
            if self.seen.is_empty() {
                let clients = short_names(&self.endpoints()).join(", ");
                return Effect::Vacuous(format!("never seen: {what}: {clients}"));
            }
            Effect::Seen(format!("{what}: {names}"))
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for client in &self.clients {
                match self.act {
                    Act::Kill | Act::Leave => arena.roster.set_present(*client, true),
                    // Another fault may have killed it since; then there is nothing to resume.
                    Act::Pause => drop(arena.supervisor.resume(Endpoint::Client(*client))),
                }
            }
            Ok(())
        })
    }

    fn detail(&self) -> Map<String, Value> {
        Map::from_iter([("clients".to_owned(), json!(short_names(&self.seen)))])
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let lives = |endpoint: &Endpoint| {
                matches!(arena.supervisor.status(*endpoint), Some(Status::Running(_)))
            };
            let endpoints = self.endpoints();
            let all_live = async {
                while !endpoints.iter().all(lives) {
                    sleep(PROBE_PAUSE).await;
                }
            };
            let names = short_names(&endpoints).join(", ");
            let late = |_| format!("{names} does not run {RETURN_LIMIT:?} after the fault");
            timeout(RETURN_LIMIT, all_live).await.map_err(late)
        })
    }
}

/// Whatever any fault did to clients: all are wanted, and none is frozen.
pub(crate) fn undo(arena: &Arena) {
    for client in arena.roster.clients() {
        arena.roster.set_present(client, true);
        // One that is not frozen need not be resumed.
        let _ = arena.supervisor.resume(Endpoint::Client(client));
    }
}
