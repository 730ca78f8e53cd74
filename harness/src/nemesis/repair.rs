//! What an operator does when a disk is well again: nodes that it drove out are started again.
//!
//! In: a node whose disk was faulty and is not any longer. Out: what had to be done, told for the
//! evidence, or why the node is not back.
//! Keeps: a node is whole only if the cluster says so; it is left alone as long as it comes back by
//! itself; Kafka's does not after a failed write, because it may not trust what the disk then
//! holds, and has to be restarted.

use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::{Instant, sleep};

use crate::disk::rule::{DiskAction, DiskErrno, DiskRule, RuleEffect};
use crate::nemesis::kill::start_again;
use crate::nemesis::{
    Arena, ClusterState, OBSERVE_LIMIT, PROBE_PAUSE, RECOVERY_LIMIT, answers_locally,
};
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

/// What the cluster says of the log directories of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It takes part, with all of them.
    Whole,
    /// It takes part, without one of them.
    Offline,
    /// Nobody tells, or it does not take part.
    Unknown,
}

/// What to do about a node after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look again.
    Look,
    /// Restart it: a directory comes back only so.
    Restart,
    /// Restart it: a directory that was to come back by itself has not.
    Help,
    /// Nothing: it is whole.
    Done,
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
            let seen = look(arena, node).await;
            let is_first = self.told.is_empty();
            match next(seen, answers, aftermath, is_first, healed.elapsed()) {
                Next::Restart => {
                    self.restart(arena, node).await?;
                    healed = Instant::now();
                }
                Next::Help => {
                    self.restart(arena, node).await?;
                    (healed, needed_help) = (Instant::now(), true);
                }
                Next::Done if needed_help => {
                    return Err(format!(
                        "node {node} kept a directory offline for {PATIENCE:?} after its disk was \
                         well, and came back only when it was started again"
                    ));
                }
                Next::Done => return Ok(()),
                Next::Look => {}
            }
            if begin.elapsed() > RECOVERY_LIMIT {
                let why = match seen {
                    Seen::Unknown => "it is not known whether all its log directories serve",
                    Seen::Offline => "a log directory is offline",
                    Seen::Whole => "it does not answer",
                };
                return Err(format!(
                    "node {node} is not whole {RECOVERY_LIMIT:?} after the fault: {why}"
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

/// What to do about a node that was `seen` so, the `aftermath` of its disk's fault given; whether
/// this fault has not had it started yet, and how long its disk is well or it runs anew.
fn next(
    seen: Seen,
    answers: bool,
    aftermath: Aftermath,
    is_first: bool,
    healed_for: Duration,
) -> Next {
    match (seen, aftermath) {
        (Seen::Offline, Aftermath::Poisoned) => Next::Restart,
        (Seen::Offline, _) if healed_for > PATIENCE => Next::Help,
        // Only the first word may be late: after a restart there is nothing to wait for.
        (Seen::Whole, Aftermath::Poisoned) if is_first && healed_for < SIGN_LIMIT => Next::Look,
        (Seen::Whole, _) if answers => Next::Done,
        _ => Next::Look,
    }
}

/// Whether the cluster says that `node` takes part with all of its log directories.
pub(crate) async fn is_whole(arena: &Arena, node: BrokerId) -> bool {
    look(arena, node).await == Seen::Whole
}

/// What the cluster says of the log directories of `node`.
async fn look(arena: &Arena, node: BrokerId) -> Seen {
    let look = tokio::time::timeout(OBSERVE_LIMIT, arena.view.observe()).await;
    seen(look.ok().and_then(Result::ok).as_ref(), node)
}

fn seen(state: Option<&ClusterState>, node: BrokerId) -> Seen {
    match state.and_then(|state| state.has_offline_directory(node)) {
        None => Seen::Unknown,
        Some(true) => Seen::Offline,
        Some(false) => Seen::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::PartitionState;

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
    #[test]
    fn a_node_of_which_nobody_tells_is_not_whole() {
        let node = BrokerId(2);
        let state = |registered: &[i32], offline: &[i32]| {
            let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
            let held = PartitionState {
                topic: "t".to_owned(),
                partition: 0,
                leader: None,
                replicas: ids(&[1, 2, 3]),
                isr: ids(&[1]),
                sure: ids(&[1]),
                offline: ids(offline),
            };
            ClusterState {
                registered: ids(registered),
                partitions: vec![held],
                ..ClusterState::default()
            }
        };
        assert_eq!(seen(None, node), Seen::Unknown);
        assert_eq!(seen(Some(&state(&[1, 3], &[2])), node), Seen::Unknown);
        assert_eq!(seen(Some(&state(&[1, 2], &[2, 3])), node), Seen::Offline);
        assert_eq!(seen(Some(&state(&[1, 2], &[3])), node), Seen::Whole);
        let late = Duration::from_secs(14);
        for aftermath in [Aftermath::Poisoned, Aftermath::GivenUp, Aftermath::None] {
            for is_first in [true, false] {
                let unknown = next(Seen::Unknown, true, aftermath, is_first, late);
                assert_eq!(unknown, Next::Look, "{aftermath:?}");
                let whole = next(Seen::Whole, true, aftermath, is_first, late);
                assert_eq!(whole, Next::Done, "{aftermath:?}");
                let silent = next(Seen::Whole, false, aftermath, is_first, late);
                assert_eq!(silent, Next::Look, "{aftermath:?}");
            }
        }
    }

    #[test]
    fn a_poisoned_directory_is_helped_at_once_and_a_slow_one_only_when_it_does_not_come_back() {
        let ms = Duration::from_millis;
        for (seen, aftermath, is_first, healed_ms, wanted) in [
            (Seen::Offline, Aftermath::Poisoned, true, 0, Next::Restart),
            (Seen::Offline, Aftermath::GivenUp, true, 5_000, Next::Look),
            (Seen::Offline, Aftermath::GivenUp, true, 5_001, Next::Help),
            (Seen::Offline, Aftermath::None, true, 5_001, Next::Help),
            // The cluster may not have heard of the failure yet.
            (Seen::Whole, Aftermath::Poisoned, true, 2_999, Next::Look),
            (Seen::Whole, Aftermath::Poisoned, true, 3_000, Next::Done),
            (Seen::Whole, Aftermath::Poisoned, false, 0, Next::Done),
            (Seen::Whole, Aftermath::GivenUp, true, 0, Next::Done),
        ] {
            let next = next(seen, true, aftermath, is_first, ms(healed_ms));
            assert_eq!(next, wanted, "{seen:?} {aftermath:?} {healed_ms} ms");
        }
    }
}
