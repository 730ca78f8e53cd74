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
use tokio::time::{Instant, sleep};

use crate::disk::rule::DiskId;
use crate::nemesis::directory::{DirectoryPick, folders};
use crate::nemesis::files::list;
use crate::nemesis::kill::prove_serving;
use crate::nemesis::repair::is_whole;
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
    /// Why targets kept their limits.
    spared: Vec<String>,
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
    /// Whether any of them tells of the segment of a log.
    #[serde(skip)]
    refused_records: bool,
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

/// What a node wrote since it has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    /// Not what it was refused, as far as is known.
    SomethingElse,
    WhatWasRefused,
}

impl DiskQuota {
    pub(crate) fn new(directory: DirectoryPick, left: Left, draw: u64) -> Self {
        Self {
            directory,
            left,
            draw,
            targets: Vec::new(),
            limited: Vec::new(),
            spared: Vec::new(),
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
                refused_records: false,
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
            if limited.before.limit(self.left) <= wanted {
                return Effect::Vacuous(format!("{at}: {wanted} is no lower than before"));
            }
            told.push(format!("{at}: {}", limited.tell(self.left)));
        }
        told.extend_from_slice(&self.spared);
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
        let raised = self.raised.unwrap_or_else(Instant::now);
        for limited in met {
            limited.writes_again_ms = limited.writes_again(arena, raised).await?;
        }
        let missed: Vec<_> = missed.iter().map(|on| BrokerId(on.disk.node)).collect();
        prove_serving(arena, &missed).await
    }
}

impl Limited {
    /// Takes in what its node has `printed` since.
    fn notice(&mut self, printed: &str, left: Left) {
        let inside = format!("{}/", self.root.display());
        let refusals: Vec<_> = refusals(printed, &self.root).collect();
        self.refusals = refusals.len() as u64;
        // Everybody knows where it is by now.
        self.first = refusals.first().map(|line| line.replace(&inside, ""));
        let named = refusals.iter().filter_map(|line| line.split_once(&inside));
        let mut paths = named.filter_map(|(_, rest)| rest.split_whitespace().next());
        self.refused_records = paths.any(|path| is_log(Path::new(path)));
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

    /// Waits until the node serves and writes in it again; how many milliseconds after it was
    /// `raised` that was seen. None if another fault stopped the node, or if it was refused records
    /// and has got none since: then it wrote something else, and was not refused any more.
    async fn writes_again(&self, arena: &Arena, raised: Instant) -> Result<Option<u64>, String> {
        let (node, limit) = (BrokerId(self.disk.node), Duration::from_millis(FREED_MS));
        let mut printed_late = None;
        loop {
            match arena.supervisor.status(Endpoint::of(node)) {
                Some(Status::Running(pid)) if pid == self.pid => {}
                Some(Status::Exited(exit)) if !exit.asked => {
                    return Err(format!("node {node} ended by itself: {exit:?}"));
                }
                // What comes of that is for the other fault to say.
                _ => return Ok(None),
            }
            let written = self.written(&stamps(&self.root));
            let after = raised.elapsed();
            let serves = match written {
                Written::Nothing => false,
                _ => answers_locally(arena, node).await && is_whole(arena, node).await,
            };
            if written == Written::WhatWasRefused && serves {
                return Ok(Some(after.as_millis() as u64));
            }
            if after > limit / 2 {
                printed_late.get_or_insert_with(|| arena.files.printed(node));
            }
            if after > limit {
                let since = arena
                    .files
                    .printed_since(node, printed_late.unwrap_or_default());
                if serves && refusals(&since, &self.root).next().is_none() {
                    return Ok(None);
                }
                let root = self.root.display();
                return Err(format!(
                    "node {node} does not write to {root} again {limit:?} after it had room"
                ));
            }
            sleep(PROBE_PAUSE).await;
        }
    }

    /// What was written since there is room, by the files as they are `now`. The ballast only takes
    /// up room; where records were refused, only a log that has grown has taken any.
    fn written(&self, now: &BTreeSet<Stamp>) -> Written {
        let length = |path: &Path| {
            let mut known = self.files.iter().filter(|known| known.0 == path);
            known.next().map_or(0, |known| known.1)
        };
        let mut changed = now
            .difference(&self.files)
            .filter(|file| !is_ballast(&file.0));
        let has_grown = |file: &Stamp| is_log(&file.0) && file.1 > length(&file.0);
        match changed.clone().next() {
            None => Written::Nothing,
            Some(_) if !self.refused_records || changed.any(has_grown) => Written::WhatWasRefused,
            Some(_) => Written::SomethingElse,
        }
    }
}

impl Fault for DiskQuota {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for (node, pid) in running(arena, &self.targets)? {
                let spared = self.limit(arena, node, pid).err();
                self.spared.extend(spared);
            }
            if self.limited.is_empty() {
                return Err(self.spared.join("; "));
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
        let left = self.left;
        let raise = |limited: &mut Limited| {
            limited.files = stamps(&limited.root);
            let raised = arena.tmpfs.raise(limited.disk);
            let node = BrokerId(limited.disk.node);
            limited.notice(&arena.files.printed_since(node, limited.printed), left);
            raised
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

/// The lines in which a node says that it was refused something below `root`.
fn refusals<'a>(printed: &'a str, root: &Path) -> impl Iterator<Item = &'a str> + use<'a> {
    let inside = format!("{}/", root.display());
    let is_refusal = move |line: &&str| line.contains(COMPLAINT) && line.contains(&inside);
    printed.lines().filter(is_refusal)
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "log")
}

/// Whether a broker keeps the file only to have room that it can give up.
fn is_ballast(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "ballast")
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
            refused_records: false,
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
        let file = |path: &str, length| (PathBuf::from(path), length, None);
        let before = [file("t-0/0.log", 9), file("ballast", 5), file("note", 3)];
        let is_told = |refused: &str, now: &[Stamp]| {
            let mut limited = limited(0, 0);
            limited.files = BTreeSet::from(before.clone());
            let of = |path| format!("Write of /data/d1/{path} found no space: {COMPLAINT} (28)\n");
            limited.notice(&(of("note.tmp") + &of(refused)), Left::Bytes(0));
            limited.written(&now.iter().cloned().collect())
        };
        let (log, note) = ("t-0/0.log", "note.tmp");
        for (refused, now, wanted) in [
            (log, &before[..2], Written::Nothing),
            (log, &[file("ballast", 8)], Written::Nothing),
            (note, &[file("ballast", 8)], Written::Nothing),
            (log, &[file("note", 4)], Written::SomethingElse),
            (log, &[file("t-0/0.log", 8)], Written::SomethingElse),
            (log, &[file("t-0/0.log", 10)], Written::WhatWasRefused),
            (log, &[file("t-1/0.log", 1)], Written::WhatWasRefused),
            (note, &[file("note", 4)], Written::WhatWasRefused),
        ] {
            assert_eq!(is_told(refused, now), wanted, "{refused}, {now:?}");
        }
    }

    #[test]
    fn a_file_is_told_from_what_it_was() {
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
