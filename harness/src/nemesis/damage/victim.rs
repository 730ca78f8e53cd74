//! A node that is stopped to be damaged, and how it comes back.
//!
//! In: a node that was started on damaged files. Out: what it printed about them, and what had to
//! be done for it.
//! Invariant: only an exit that the node decided on counts as a refusal; then, and only then, it
//! gets its own files back.

use std::io;
use std::path::{Path, PathBuf};

use broker::id::BrokerId;
use tokio::time::{sleep, timeout};

use crate::disk::DiskError;
use crate::disk::rule::DiskId;
use crate::nemesis::atlas::Loss;
use crate::nemesis::damage::change::Change;
use crate::nemesis::damage::copy::{Copy, replace};
use crate::nemesis::kill::start_again;
use crate::nemesis::{
    Arena, PROBE_PAUSE, RECOVERY_LIMIT, answers_locally, power_on, wait_until_it_answers,
};
use crate::sandbox::{Claim, Down, Endpoint, Excused, Exit, Status};

/// Lines of a node's log that are told.
const LINES_TOLD: usize = 6;
/// The exit code of a Rust process that panicked.
const PANICKED: i32 = 101;

/// A node that is stopped for it.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) node: BrokerId,
    pub(super) directories: Vec<Struck>,
    /// What it may have lost by it.
    pub(super) loss: Option<Loss>,
    /// Whether it may keep what is damaged without noticing it.
    pub(super) is_lasting: bool,
    pub(super) down: Option<Down>,
    /// Until it is back no other fault changes its files: that one would take what this one put
    /// there for the node's own.
    pub(super) claim: Option<Claim>,
    pub(super) excused: Option<Excused>,
    /// What it had printed before it started again.
    pub(super) printed: u64,
    /// What it printed then that is worth telling, and what had to be done for it.
    pub(super) noticed: Vec<String>,
}

/// A log directory that is damaged.
#[derive(Debug)]
pub(super) struct Struck {
    pub(super) disk: DiskId,
    pub(super) root: PathBuf,
    /// What is put in its place, or the place from which files are taken.
    pub(super) from: Option<Copy>,
    /// As it was before.
    pub(super) own: Option<Copy>,
    pub(super) changes: Vec<Change>,
}

impl Struck {
    /// A change that failed half way is undone, so that nothing changed that is not told.
    pub(super) fn give_up(&self, error: &io::Error) -> String {
        let root = self.root.display();
        let own = self.own.as_ref();
        match own.map(|own| replace(own.path(), &self.root)) {
            Some(Err(undo)) => format!("{root}: {error}; it could not be undone: {undo}"),
            _ => format!("{root}: {error}"),
        }
    }
}

impl Victim {
    /// Waits until the node serves, on its own files again if it refused those that it found.
    pub(super) async fn come_back(&mut self, arena: &Arena) -> Result<(), String> {
        let watch = async {
            if !self.is_lasting {
                arena.atlas.watch(arena, self.node).await;
            }
        };
        let (back, ()) = tokio::join!(self.answers_or_ends(arena), watch);
        self.notice(arena);
        match back? {
            Some(exit) if is_refusal(&exit) && !self.is_unchanged() => {
                let code = exit.code.unwrap_or_default();
                let words = arena.files.printed_since(self.node, self.printed);
                let last = words.lines().last().unwrap_or_default();
                self.noticed.push(format!(
                    "node {} refused it with code {code} and got its own files back: {last}",
                    self.node
                ));
                self.put_back(arena).await?;
                wait_until_it_answers(arena, self.node).await?;
            }
            // Another fault took it down; what that one does is its own business.
            Some(_) | None => {}
        }
        if !self.is_lasting {
            arena.atlas.is_back(self.node);
        }
        Ok(())
    }

    /// How it ended, if it did before it answered.
    async fn answers_or_ends(&self, arena: &Arena) -> Result<Option<Exit>, String> {
        let endpoint = Endpoint::of(self.node);
        let decided = async {
            loop {
                if let Some(Status::Exited(exit)) = arena.supervisor.status(endpoint) {
                    return Some(exit);
                }
                if answers_locally(arena, self.node).await {
                    return None;
                }
                sleep(PROBE_PAUSE).await;
            }
        };
        let late = |_| {
            let node = self.node;
            format!("node {node} neither answers nor ends {RECOVERY_LIMIT:?} after the fault")
        };
        timeout(RECOVERY_LIMIT, decided).await.map_err(late)
    }

    async fn put_back(&mut self, arena: &Arena) -> Result<(), String> {
        let endpoint = Endpoint::of(self.node);
        let down = arena.supervisor.hold_down(endpoint);
        let down = down.map_err(|error| error.to_string())?;
        if arena.supervisor.pid(endpoint).is_ok() {
            // Healing everything has started it again; it refuses again.
            let _ = arena.supervisor.kill(endpoint).await;
        }
        unplug(arena, self.node)?;
        for struck in &self.directories {
            if let Some(own) = &struck.own {
                replace(own.path(), &struck.root).map_err(told(&struck.root))?;
            }
        }
        self.loss.iter().for_each(|loss| arena.atlas.undo(loss));
        power_on(arena, self.node)?;
        drop(down);
        start_again(arena, endpoint)
    }

    /// Takes warnings and errors out of what the node has printed since it started again.
    fn notice(&mut self, arena: &Arena) {
        let printed = arena.files.printed_since(self.node, self.printed);
        let is_loud = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        let lines = printed.lines().filter(is_loud).take(LINES_TOLD);
        let node = self.node;
        self.noticed
            .extend(lines.map(|line| format!("node {node}: {line}")));
    }

    fn is_unchanged(&self) -> bool {
        self.directories
            .iter()
            .all(|struck| struck.changes.is_empty())
    }
}

/// Unmounts the faulty disks of a node that is down, with everything that was written kept: no
/// cache may hide what changes below.
pub(super) fn unplug(arena: &Arena, node: BrokerId) -> Result<(), String> {
    for disk in arena.disks.of(node.0) {
        match arena.disks.unmount(disk) {
            Ok(()) | Err(DiskError::State { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Whether a node ended by its own decision: it said why and did not panic.
pub(super) fn is_refusal(exit: &Exit) -> bool {
    exit.code.is_some_and(|code| code != 0 && code != PANICKED)
}

pub(super) fn told(path: &Path) -> impl Fn(io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}
