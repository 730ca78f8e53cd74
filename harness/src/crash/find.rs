//! The losses of power that a run saved, and which of them took the whole cluster at once.
//!
//! In: a result directory. Out: for each node the crash images of its disks, and for each loss of
//! all nodes the place in the history up to which clients were answered before.
//! Invariant: a loss counts as one of all nodes only if the history says that one fault took them
//! at the same moment; images of different moments are never put together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use checkers::history::{Action, FaultClass, History, NemesisEvent, Op, Phase};

use crate::crash::save::INCOMPLETE;
use crate::disk::journal::CrashImage;
use crate::disk::rule::DiskId;
use crate::run::store::Store;

/// The files of one node's disks when its power went.
#[derive(Debug)]
pub struct SavedLoss {
    /// The node.
    pub node: i32,
    /// The folder's name, as `crash-1`.
    pub name: String,
    /// The image of each disk.
    pub disks: BTreeMap<DiskId, CrashImage>,
}

/// The losses that were saved, and those that were not.
#[derive(Debug, Default)]
pub struct Saved {
    /// With an image of every disk.
    pub whole: Vec<SavedLoss>,
    /// Why others cannot be looked at, each in a sentence.
    pub skipped: Vec<String>,
}

/// A loss of power of all nodes at once.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeLoss {
    /// The folder of each node.
    pub names: BTreeMap<i32, String>,
    /// The index of the line that says that all nodes are dead: every answer before it was given
    /// by nodes that had power.
    pub index: u64,
    /// The line that proves it.
    pub proof: Op,
}

impl SavedLoss {
    /// The most operations that one disk had not made durable.
    pub fn unsynced(&self) -> u64 {
        let unsynced = self.disks.values().map(CrashImage::unsynced);
        unsynced.max().unwrap_or(0)
    }
}

/// Every loss that was saved, by node and folder.
pub fn saved_losses(store: &Store, nodes: u32) -> io::Result<Saved> {
    let mut found = Saved::default();
    for node in 1..=nodes as i32 {
        for name in folders(&store.node(node), "crash-")? {
            let folder = store.node(node).join(&name);
            let mut disks = BTreeMap::new();
            for disk in folders(&folder, "d")? {
                let Ok(directory) = disk.trim_start_matches('d').parse() else {
                    continue;
                };
                let id = DiskId { node, directory };
                disks.insert(id, CrashImage::open(&folder.join(disk))?);
            }
            // A loss of which one disk was too large to be saved says nothing about the node.
            match fs::read_to_string(folder.join(INCOMPLETE)) {
                Ok(why) => {
                    let why = why.lines().collect::<Vec<_>>().join(", ");
                    found.skipped.push(format!("{name} of n{node}: {why}"));
                }
                Err(_) if disks.is_empty() => {}
                Err(_) => found.whole.push(SavedLoss { node, name, disks }),
            }
        }
    }
    Ok(found)
}

fn folders(parent: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_numbered = name.strip_prefix(prefix).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        names.extend(is_numbered.then_some(name));
    }
    names.sort();
    Ok(names)
}

/// How many losses of each node the history tells of, by its number.
pub fn told_losses(history: &History) -> BTreeMap<i32, usize> {
    let mut told = BTreeMap::new();
    for op in &history.ops {
        let Action::Nemesis(event) = &op.action else {
            continue;
        };
        if event.class == FaultClass::PowerLoss && is_over(event.phase) {
            for node in struck(event) {
                *told.entry(node).or_default() += 1;
            }
        }
    }
    told
}

/// The losses of all of `nodes` nodes at once, by the history.
pub fn whole_losses(history: &History, nodes: u32) -> Vec<WholeLoss> {
    let mut injected = None;
    let mut found = Vec::new();
    for op in &history.ops {
        let Action::Nemesis(event) = &op.action else {
            continue;
        };
        match (event.class, event.phase) {
            (FaultClass::PowerLoss, Phase::Inject) => {
                let stagger = event.detail.pointer("/spec/stagger_ms");
                injected = Some(op.index).filter(|_| stagger.is_some_and(|ms| *ms == 0));
            }
            (FaultClass::PowerLoss, phase) if is_over(phase) => {
                let names = images(event);
                if let Some(index) = injected.take().filter(|_| names.len() == nodes as usize) {
                    let proof = op.clone();
                    found.push(WholeLoss {
                        names,
                        index,
                        proof,
                    });
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether the nodes are down in this phase, and what was saved of them is told. Of a loss that
/// took nothing there are images, too: other ones of the same moment may take something.
fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Prove | Phase::Vacuous)
}

/// The nodes that a loss struck: their disks tell; those that it spared have none.
fn struck(event: &NemesisEvent) -> BTreeSet<i32> {
    let disks = event.detail.get("disks").and_then(|disks| disks.as_array());
    let node = |disk: &serde_json::Value| i32::try_from(disk.get("node")?.as_i64()?).ok();
    disks.into_iter().flatten().filter_map(node).collect()
}

/// Where the images of a loss were saved, as `{"1":"crash-1"}`.
fn images(event: &NemesisEvent) -> BTreeMap<i32, String> {
    let images = event.detail.get("images").cloned().unwrap_or_default();
    serde_json::from_value(images).unwrap_or_default()
}
