//! Little room in a log directory: the size of the tmpfs that it is on is lowered while it is used.
//!
//! Effect: the lowered limit as the kernel tells it, and that the node met it: it was refused
//! something and says so, or it used up what was left. Healing: the first size.
//! Keeps: a node that had no room writes again by itself, in time, in the same process; no exit is
//! expected, because Kafka's does not end for want of room that it can wait for.
//! Source: `faults.md` §1.5; tmpfs(5); ENOSPC in write(2).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use broker::id::BrokerId;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::disk::rule::DiskId;
use crate::nemesis::directory::{DirectoryPick, folders};
use crate::nemesis::files::list;
use crate::nemesis::kill::prove_serving;
use crate::nemesis::repair::has_offline_directory;
use crate::nemesis::resources::running;
use crate::nemesis::{
    Arena, BoxFuture, DiskSample, Effect, Fault, PROBE_PAUSE, answers_locally, brokers,
};
use crate::plan::promised::FREED_MS;
use crate::sandbox::{Claim, Endpoint, Status};
use crate::tmpfs::{Left, Space};

/// How the node's log tells ENOSPC, as every C library does.
const COMPLAINT: &str = "No space left on device";

/// The fault `disk-quota`.
#[derive(Debug)]
pub(crate) struct DiskQuota {
    directory: DirectoryPick,
    left: Left,
    draw: u64,
    targets: Vec<BrokerId>,
    limited: Vec<Limited>,
    /// Until they are over no other fault changes the files or limits of these nodes.
    claims: Vec<Claim>,
    raised: Option<Instant>,
}

/// One log directory with a lowered limit.
#[derive(Clone, Debug, Serialize)]
struct Limited {
    #[serde(flatten)]
    disk: DiskId,
    /// The folders in it when the limit was lowered: its logs.
    holds: Vec<String>,
    before: Space,
    lowered: Space,
    /// The least that was seen to be left.
    least_left: u64,
    /// Lines in which the node says that it was refused something in this directory, and the first.
    refusals: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// More than 0 if the node met the limit.
    hits: u64,
    /// How long the node then took, once there was room, until it wrote there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_again_ms: Option<u64>,
    #[serde(skip)]
    root: PathBuf,
    #[serde(skip)]
    pid: i32,
    #[serde(skip)]
    printed: u64,
    /// The files in it just before the limit was raised.
    #[serde(skip)]
    files: BTreeSet<Stamp>,
}

/// A file as it was at some moment: its name, its length, and when it was written to last.
type Stamp = (PathBuf, u64, Option<SystemTime>);

impl DiskQuota {
    pub(crate) fn new(directory: DirectoryPick, left: Left, draw: u64) -> Self {
        Self {
            directory,
            left,
            draw,
            targets: Vec::new(),
            limited: Vec::new(),
            claims: Vec::new(),
            raised: None,
        }
    }

    /// Lowers the limit of each chosen directory of a node.
    fn limit(&mut self, arena: &Arena, node: BrokerId, pid: i32) -> Result<(), String> {
        let told = |error: std::io::Error| format!("node {node}: {error}");
        let directories = arena.tmpfs.of(node.0);
        if directories.is_empty() {
            return Err(format!(
                "node {node} has no log directory of limited size; the plan needs \
                 `cluster.tmpfs_mib`"
            ));
        }
        let path = |disk| arena.tmpfs.path(disk);
        let chosen = self.directory.resolve(&directories, path, self.draw)?;
        let claim = arena.supervisor.claim(Endpoint::of(node));
        let claim = claim.map_err(|error| error.to_string())?;
        let claim = claim.ok_or_else(|| format!("another fault still changes node {node}"))?;
        self.claims.push(claim);
        for disk in chosen {
            let root = path(disk).unwrap_or_default();
            let printed = arena.files.printed(node);
            let before = arena.tmpfs.space(disk).map_err(told)?;
            let lowered = arena.tmpfs.lower(disk, self.left).map_err(told)?;
            self.limited.push(Limited {
                disk,
                holds: folders(&root),
                before,
                lowered,
                least_left: lowered.left(self.left),
                refusals: 0,
                first: None,
                hits: 0,
                writes_again_ms: None,
                root,
                pid,
                printed,
                files: BTreeSet::new(),
            });
        }
        Ok(())
    }

    /// Looks at what is left.
    fn sample(&mut self, arena: &Arena) {
        for limited in &mut self.limited {
            if let Ok(space) = arena.tmpfs.space(limited.disk) {
                limited.least_left = limited.least_left.min(space.left(self.left));
            }
        }
    }

    fn prove(&mut self, arena: &Arena) -> Effect {
        self.sample(arena);
        let mut told = Vec::new();
        for limited in &mut self.limited {
            let node = BrokerId(limited.disk.node);
            let printed = arena.files.printed_since(node, limited.printed);
            limited.notice(&printed, self.left);
            let at = format!("d{} of node {node}", limited.disk.directory);
            let now = arena.tmpfs.space(limited.disk);
            let now = now.map(|space| space.limit(self.left));
            let wanted = limited.lowered.limit(self.left);
            if !now.as_ref().is_ok_and(|now| *now == wanted) {
                return Effect::Vacuous(format!("{at}: the limit is {now:?}, not {wanted}"));
            }
            told.push(format!("{at}: {}", limited.tell(self.left)));
        }
        let told = told.join("; ");
        if self.limited.iter().any(|limited| limited.hits > 0) {
            Effect::Seen(told)
        } else {
            Effect::Vacuous(told)
        }
    }

    async fn recovered(&mut self, arena: &Arena) -> Result<(), String> {
        let (met, missed): (Vec<_>, Vec<_>) = self
            .limited
            .iter_mut()
            .partition(|limited| limited.hits > 0);
        let limit = Duration::from_millis(FREED_MS);
        let raised = self.raised.unwrap_or_else(Instant::now);
        for limited in met {
            let written = timeout_at(raised + limit, limited.until_it_writes(arena)).await;
            let writes = written.unwrap_or_else(|_| {
                Err(format!(
                    "node {} does not write to {} again {limit:?} after it had room",
                    limited.disk.node,
                    limited.root.display()
                ))
            })?;
            limited.writes_again_ms = writes.then(|| raised.elapsed().as_millis() as u64);
        }
        let missed: Vec<_> = missed.iter().map(|on| BrokerId(on.disk.node)).collect();
        prove_serving(arena, &missed).await
    }
}

impl Limited {
    /// Takes in what its node has `printed` since.
    fn notice(&mut self, printed: &str, left: Left) {
        let inside = format!("{}/", self.root.display());
        let is_refusal = |line: &&str| line.contains(COMPLAINT) && line.contains(&inside);
        let mut refusals = printed.lines().filter(is_refusal);
        // Everybody knows where it is by now.
        self.first = refusals.next().map(|line| line.replace(&inside, ""));
        self.refusals = self.first.iter().count() as u64 + refusals.count() as u64;
        // One that left nothing at once needs a word of the node.
        let is_used_up = self.lowered.left(left) > 0 && self.least_left == 0;
        self.hits = self.refusals.max(is_used_up.into());
    }

    /// What the fault did, or why it did nothing.
    fn tell(&self, left: Left) -> String {
        let what = match left {
            Left::Bytes(_) => "bytes",
            Left::Files(_) => "files",
        };
        let words = format!(
            "{} {what} lowered to {}, with {} left and then {} at the least",
            self.before.limit(left),
            self.lowered.limit(left),
            self.lowered.left(left),
            self.least_left,
        );
        match &self.first {
            Some(first) => format!(
                "{words}; the node tells of it in {} lines, first: {first}",
                self.refusals
            ),
            None if self.hits > 0 => words,
            None => format!("{words}; the node was refused nothing"),
        }
    }

    /// Waits until the node serves and has changed a file in it since it has room again; whether it
    /// did, for another fault may have stopped it.
    async fn until_it_writes(&self, arena: &Arena) -> Result<bool, String> {
        let node = BrokerId(self.disk.node);
        loop {
            match arena.supervisor.status(Endpoint::of(node)) {
                Some(Status::Running(pid)) if pid == self.pid => {}
                Some(Status::Exited(exit)) if !exit.asked => {
                    return Err(format!("node {node} ended by itself: {exit:?}"));
                }
                // What comes of that is for the other fault to say.
                _ => return Ok(false),
            }
            if !stamps(&self.root).is_subset(&self.files)
                && answers_locally(arena, node).await
                && !has_offline_directory(arena, node).await
            {
                return Ok(true);
            }
            sleep(PROBE_PAUSE).await;
        }
    }
}

impl Fault for DiskQuota {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let mut refusals = Vec::new();
            for (node, pid) in running(arena, &self.targets)? {
                refusals.extend(self.limit(arena, node, pid).err());
            }
            if self.limited.is_empty() {
                return Err(refusals.join("; "));
            }
            Ok(())
        })
    }

    fn look(&mut self, arena: &Arena) -> Vec<DiskSample> {
        self.sample(arena);
        // No operation is counted: the kernel refuses them.
        Vec::new()
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let effect = self.prove(arena);
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        let raise = |limited: &mut Limited| {
            limited.files = stamps(&limited.root);
            arena.tmpfs.raise(limited.disk)
        };
        let raised: Vec<_> = self.limited.iter_mut().map(raise).collect();
        self.raised = Some(Instant::now());
        self.claims.clear();
        let raised: Result<(), _> = raised.into_iter().collect();
        Box::pin(async { raised.map_err(|error| error.to_string()) })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.recovered(arena))
    }

    fn detail(&self) -> Map<String, Value> {
        let left = ("left".to_owned(), json!(self.left));
        Map::from_iter([left, ("disks".to_owned(), json!(self.limited))])
    }
}

/// The files below `root` as they are.
fn stamps(root: &Path) -> BTreeSet<Stamp> {
    let stamp = |path: PathBuf| {
        let found = fs::metadata(root.join(&path)).ok()?;
        Some((path, found.len(), found.modified().ok()))
    };
    let files = list(root).unwrap_or_default();
    files.into_iter().filter_map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(left_at_first: u64, least_left: u64) -> Limited {
        let space = |bytes, bytes_left| Space {
            bytes,
            bytes_left,
            files: 100,
            files_left: 90,
        };
        Limited {
            disk: DiskId {
                node: 2,
                directory: 1,
            },
            holds: vec![],
            before: space(1 << 20, 1 << 19),
            lowered: space(1 << 19, left_at_first),
            least_left,
            refusals: 0,
            first: None,
            hits: 0,
            writes_again_ms: None,
            root: "/data/d1".into(),
            pid: 7,
            printed: 0,
            files: BTreeSet::new(),
        }
    }

    #[test]
    fn a_limit_counts_only_where_the_node_met_it() {
        let of = |path: &str| format!("WARN Write of {path} found no space: {COMPLAINT} (28)\n");
        let (own, other) = (of("/data/d1/t-0/0.log"), of("/data/d10/t-0/0.log"));
        for (left_at_first, least_left, printed, hits) in [
            (4_096, 4_096, "", 0),
            (8_192, 4_096, "WARN something else", 0),
            (4_096, 0, "", 1),
            (0, 0, "", 0),
            (0, 0, &other, 0),
            (0, 0, &own, 1),
            (4_096, 4_096, &own.repeat(3), 3),
        ] {
            let mut limited = limited(left_at_first, least_left);
            limited.notice(printed, Left::Bytes(0));
            assert_eq!(limited.hits, hits, "{limited:?}");
            let told = limited.tell(Left::Bytes(0));
            let is_vacuous = told.ends_with("refused nothing");
            assert_eq!(is_vacuous, hits == 0, "{told}");
        }
    }

    #[test]
    fn only_what_is_written_since_shows_that_a_node_writes_again() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("t-0")).unwrap();
        let (log, index) = (
            root.path().join("t-0/0.log"),
            root.path().join("t-0/0.index"),
        );
        fs::write(&log, "before").unwrap();
        fs::write(&index, "before").unwrap();
        let before = stamps(root.path());
        fs::remove_file(index).unwrap();
        assert!(stamps(root.path()).is_subset(&before), "nothing is written");
        fs::write(log, "before and after").unwrap();
        assert!(!stamps(root.path()).is_subset(&before));
    }
}
