//! What an operator does when a disk is well again: nodes that it drove out are started again.
//!
//! In: a node whose disk was faulty and is not any longer. Out: what had to be done, told for the
//! evidence, or why the node is not back.
//! Keeps: a node is left alone as long as it comes back by itself; Kafka's does not after a failed
//! write, because it may not trust what the disk then holds, and has to be restarted.

use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::{Instant, sleep};

use crate::disk::rule::{DiskAction, DiskErrno, DiskRule, RuleEffect};
use crate::nemesis::kill::start_again;
use crate::nemesis::{Arena, OBSERVE_LIMIT, PROBE_PAUSE, RECOVERY_LIMIT, answers_locally};
use crate::sandbox::{Endpoint, ProcessError, Status};

/// How long a node that was driven out may take until the cluster tells so.
const SIGN_LIMIT: Duration = Duration::from_secs(3);
/// How long a directory that was only slow may take to come back without help.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a controlled shutdown of a node with a failed directory may take.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(3);
/// The exit code of a node that halted by itself, as it says in its last words.
pub(crate) const HALTED: i32 = 1;
/// A node that ends more often than this after its disk is well does not recover.
const RESTARTS_MAX: usize = 2;

/// What had to be done for the nodes of one fault.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    told: Vec<String>,
}

/// What a directory's node has to do with it after the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aftermath {
    /// A write or fsync failed: the directory is out of service until a restart.
    Poisoned,
    /// Operations took long: the directory may have been given up, and comes back by itself.
    GivenUp,
    /// Nothing.
    None,
}

impl Repair {
    /// What was done, a sentence each.
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }

    /// Starts `node` again if it has halted because of the fault; whether it is not for this fault
    /// to bring it back: another one stopped it, or it died of something that must not be hidden.
    pub(crate) fn restart_halted(&mut self, arena: &Arena, node: BrokerId) -> Result<bool, String> {
        let endpoint = Endpoint::of(node);
        match arena.supervisor.status(endpoint) {
            Some(Status::Exited(exit)) if exit.asked && exit.code == Some(HALTED) => {}
            Some(Status::Running(_)) => return Ok(false),
            _ => return Ok(true),
        }
        match arena.supervisor.restart(endpoint) {
            Ok(_) => {
                let told =
                    format!("node {node} had ended with code {HALTED} and was started again");
                self.told.push(told);
                Ok(false)
            }
            Err(ProcessError::Running(_)) => Ok(false),
            Err(ProcessError::HeldDown(_)) => Ok(true),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits until `node` answers and all its log directories serve, and restarts it if it has
    /// ended, or takes part without a directory that needs a restart.
    pub(crate) async fn until_whole(
        &mut self,
        arena: &Arena,
        node: BrokerId,
        rule: &DiskRule,
    ) -> Result<(), String> {
        let begin = Instant::now();
        let (mut healed, aftermath) = (begin, aftermath(&rule.action));
        let mut needed_help = false;
        loop {
            if self.restart_halted(arena, node)? {
                return Ok(());
            }
            if self.told.len() > RESTARTS_MAX {
                return Err(format!(
                    "{} although its disk is well",
                    self.told.join("; ")
                ));
            }
            let answers = answers_locally(arena, node).await;
            match (has_offline_directory(arena, node).await, aftermath) {
                (true, Aftermath::Poisoned) => {
                    self.restart(arena, node).await?;
                    healed = Instant::now();
                }
                (true, Aftermath::GivenUp | Aftermath::None) => {
                    if healed.elapsed() > PATIENCE {
                        self.restart(arena, node).await?;
                        (healed, needed_help) = (Instant::now(), true);
                    }
                }
                // Only the first word may be late: after a restart there is nothing to wait for.
                (false, Aftermath::Poisoned)
                    if self.told.is_empty() && healed.elapsed() < SIGN_LIMIT => {}
                (false, _) if answers && needed_help => {
                    return Err(format!(
                        "node {node} kept a directory offline for {PATIENCE:?} after its disk was \
                         well, and came back only when it was started again"
                    ));
                }
                (false, _) if answers => return Ok(()),
                (false, _) => {}
            }
            if begin.elapsed() > RECOVERY_LIMIT {
                return Err(format!(
                    "node {node} is not whole {RECOVERY_LIMIT:?} after the fault"
                ));
            }
            sleep(PROBE_PAUSE).await;
        }
    }

    async fn restart(&mut self, arena: &Arena, node: BrokerId) -> Result<(), String> {
        let endpoint = Endpoint::of(node);
        let how = match arena.supervisor.terminate(endpoint, SHUTDOWN_LIMIT).await {
            Ok(_) => "SIGTERM",
            Err(ProcessError::Timeout { .. }) => {
                let killed = arena.supervisor.kill(endpoint).await;
                killed.map_err(|error| error.to_string())?;
                "SIGKILL"
            }
            // It has ended by itself or by another fault; whoever did that starts it.
            Err(_) => return Ok(()),
        };
        let told = format!("node {node} had a directory offline and was restarted by {how}");
        self.told.push(told);
        start_again(arena, endpoint)
    }
}

/// Whether a node may end by itself because of what `action` has done to its log directory so far:
/// an operation failed, or took longer than the broker waits.
pub(crate) fn may_end_node(action: &DiskAction, did: &RuleEffect, patience: Duration) -> bool {
    did.hits > 0
        && match aftermath(action) {
            Aftermath::Poisoned => true,
            // The broker counts from before the operation reaches the disk.
            Aftermath::GivenUp => 4 * Duration::from_millis(did.held_ms_max) >= 3 * patience,
            // A full disk is waited for, a short write is legal, and lies are not noticed.
            Aftermath::None => false,
        }
}

fn aftermath(action: &DiskAction) -> Aftermath {
    match action {
        DiskAction::Error {
            errno: DiskErrno::Eio | DiskErrno::Erofs,
        }
        | DiskAction::Torn { .. } => Aftermath::Poisoned,
        DiskAction::Stall | DiskAction::OnOff { .. } | DiskAction::Slow { .. } => {
            Aftermath::GivenUp
        }
        DiskAction::Error { .. }
        | DiskAction::Full { .. }
        | DiskAction::Short
        | DiskAction::Lie
        | DiskAction::FlipOnRead => Aftermath::None,
    }
}

/// Whether the cluster says that `node` takes part without one of its log directories.
pub(crate) async fn has_offline_directory(arena: &Arena, node: BrokerId) -> bool {
    let look = tokio::time::timeout(OBSERVE_LIMIT, arena.view.observe()).await;
    matches!(look, Ok(Ok(state)) if state.has_offline_directory(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fails_or_outlasts_the_patience_of_brokers_may_end_a_node() {
        let patience = Duration::from_secs(2);
        let error = |errno| DiskAction::Error { errno };
        let slow = DiskAction::Slow {
            mean_ms: 60,
            jitter_ms: 40,
        };
        let full = DiskAction::Full {
            left_bytes: 0,
            errno: DiskErrno::Enospc,
        };
        for (action, held_ms_max, wanted) in [
            (error(DiskErrno::Eio), 0, true),
            (error(DiskErrno::Erofs), 0, true),
            (DiskAction::Torn { bytes: 1 }, 0, true),
            (DiskAction::Stall, 2_000, true),
            (DiskAction::Stall, 1_499, false),
            (slow, 100, false),
            (slow, 2_500, true),
            (full, 0, false),
            (error(DiskErrno::Enospc), 0, false),
            (DiskAction::FlipOnRead, 0, false),
            (DiskAction::Short, 0, false),
            (DiskAction::Lie, 9_000, false),
        ] {
            let mut did = RuleEffect {
                hits: 1,
                held_ms_max,
                ..RuleEffect::default()
            };
            assert_eq!(may_end_node(&action, &did, patience), wanted, "{action:?}");
            did.hits = 0;
            assert!(
                !may_end_node(&action, &did, patience),
                "{action:?} hit nothing"
            );
        }
    }
}
