//! Crash images: from one loss of power, every state that the disk could have been left in.
//!
//! ```text
//! <folder>/durable/     the log directory with what was durable, and nothing else
//! <folder>/kept/<inode> files and directories that had no durable name
//! <folder>/bytes        what was written and not durable
//! <folder>/steps.json   the operations that were not durable, in order, by inode
//! ```
//! In: a journal when the power goes. Out: a folder that needs nothing else of the run, and from
//! it log directories for a broker to start on.
//! Invariant: the same state of the same image is the same directory, byte for byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::rule::{PowerLossEffect, Survival};

use super::operation::{Entry, Step};
use super::replay::{Torn, replay};
use super::roll_back::Undone;
use super::spill::{Span, Spill};
use super::survivors::{Fate, fates, prefix};
use super::tree::Tree;
use super::{Journal, grave, graveyard_of};

/// A state that a disk could have been left in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashState {
    /// The first `keep` of `of` equal parts of the operations survive; of one part for each
    /// operation, that is every prefix.
    Prefix {
        /// Parts that survive.
        keep: u64,
        /// All parts, at least one.
        of: u64,
    },
    /// What a draw leaves.
    Drawn {
        /// How.
        survival: Survival,
        /// From what.
        draw: u64,
    },
}

/// What could be saved of a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// All of it, in this many bytes.
    Whole(u64),
    /// Nothing, for it would have taken this many bytes.
    TooLarge(u64),
}

/// The content of `steps.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    root: u64,
    directories: BTreeMap<u64, Entry>,
    /// Where the files that the steps name are in `durable`.
    files: BTreeMap<u64, PathBuf>,
    steps: Vec<Step>,
    paths: Vec<Option<PathBuf>>,
}

/// A loss of power that was saved.
#[derive(Debug)]
pub struct CrashImage {
    folder: PathBuf,
    index: Index,
}

impl Journal {
    /// Saves the durable state and the operations that are not durable into the new `folder`,
    /// unless that takes more than `bytes_max`. Only [`roll_back`](Self::roll_back) may follow.
    pub fn save(&mut self, folder: &Path, bytes_max: u64) -> io::Result<Saved> {
        let undone = match self.undone.take() {
            Some(undone) => undone,
            None => self.undo()?,
        };
        let saved = undone.save(&self.backing, &self.graveyard, folder, bytes_max);
        self.undone = Some(undone);
        saved
    }

    /// The next roll-back first saves into the new `folder`.
    pub fn save_at_roll_back(&mut self, folder: PathBuf, bytes_max: u64) {
        self.saved = None;
        self.save_to = Some((folder, bytes_max));
    }

    /// What came of that; once.
    pub fn take_saved(&mut self) -> Option<io::Result<Saved>> {
        self.saved.take()
    }
}

impl Undone {
    fn save(
        &self,
        backing: &Path,
        graveyard: &Path,
        folder: &Path,
        bytes_max: u64,
    ) -> io::Result<Saved> {
        let bytes = size_of(backing)? + size_of(graveyard)? + self.spill.needed();
        if bytes > bytes_max {
            return Ok(Saved::TooLarge(bytes));
        }
        fs::create_dir_all(folder)?;
        copy_tree(backing, &folder.join("durable"))?;
        let durable = Tree::scan(backing, graveyard)?;
        let kept = folder.join("kept");
        fs::create_dir(&kept)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(graveyard)? {
            let entry = entry?;
            let inode = entry.file_name().to_string_lossy().parse().unwrap_or(0);
            match durable.path_within(inode) {
                Some(path) => _ = files.insert(inode, path),
                None => copy_entry(&entry.path(), &kept.join(entry.file_name()))?,
            }
        }
        let target = File::create_new(folder.join("bytes"))?;
        let all = Span {
            at: 0,
            length: self.spill.needed(),
        };
        self.spill.put_back(all, &target, 0)?;
        let index = Index {
            root: self.tree.root_inode,
            directories: self.tree.homes.clone(),
            files,
            steps: self.steps.clone(),
            paths: self.paths.clone(),
        };
        fs::write(folder.join("steps.json"), serde_json::to_vec(&index)?)?;
        Ok(Saved::Whole(bytes))
    }
}

impl CrashImage {
    /// Opens what [`Journal::save`] wrote.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let index = fs::read(folder.join("steps.json"))?;
        Ok(Self {
            folder: folder.to_owned(),
            index: serde_json::from_slice(&index)?,
        })
    }

    /// How many operations were not durable.
    pub fn unsynced(&self) -> u64 {
        self.index.steps.len() as u64
    }

    /// The log directory with what was durable. Not to be changed.
    pub fn durable(&self) -> PathBuf {
        self.folder.join("durable")
    }

    /// Makes the new directory `target` as the disk would have shown it; what is missing in it.
    pub fn materialize(&self, state: CrashState, target: &Path) -> io::Result<PowerLossEffect> {
        let fates = self.fates(state);
        copy_tree(&self.durable(), target)?;
        let graveyard = graveyard_of(target)?;
        copy_tree(&self.folder.join("kept"), &graveyard)?;
        for (inode, path) in &self.index.files {
            fs::hard_link(target.join(path), grave(&graveyard, *inode))?;
        }
        let bytes = File::open(self.folder.join("bytes"))?;
        let mut undone = Undone {
            tree: Tree {
                root: target.to_owned(),
                root_inode: self.index.root,
                graveyard: graveyard.clone(),
                homes: self.index.directories.clone(),
                files: BTreeMap::new(),
            },
            steps: self.index.steps.clone(),
            paths: self.index.paths.clone(),
            spill: Spill::over(bytes),
        };
        replay(&mut undone.tree, &undone.steps, &fates, &undone.spill)?;
        fs::remove_dir_all(graveyard)?;
        Ok(undone.effect(&fates))
    }

    /// A number that two states share if nothing tells them apart.
    pub fn signature(&self, state: CrashState) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (step, fate) in self.index.steps.iter().zip(self.fates(state)) {
            match (step, fate) {
                (Step::Write { offset, bytes, .. }, Fate::Torn(seed)) => {
                    Torn::draw(*offset, bytes.length, seed).hash(&mut hasher);
                }
                (_, fate) => (fate == Fate::Kept).hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn fates(&self, state: CrashState) -> Vec<Fate> {
        let steps = &self.index.steps;
        match state {
            CrashState::Prefix { keep, of } => {
                let kept = steps.len() as u128 * u128::from(keep) / u128::from(of.max(1));
                prefix(steps, kept as usize)
            }
            CrashState::Drawn { survival, draw } => fates(steps, &self.index.paths, survival, draw),
        }
    }
}

/// States of an image with `unsynced` operations: nothing, everything and prefixes (each if they
/// are no more than three quarters of `count`, else half of it), then without end subsets, torn
/// writes and prefixes of each disk for itself, drawn from `seed`.
pub fn states(unsynced: u64, count: usize, seed: u64) -> impl Iterator<Item = CrashState> {
    let count = count as u64;
    let parts = match unsynced < count - count / 4 {
        true => unsynced.max(1),
        false => (count / 2).max(2) - 1,
    };
    let prefixes = (0..=parts).map(move |keep| CrashState::Prefix { keep, of: parts });
    let survivals = [
        Survival::Subset(500),
        Survival::Torn,
        Survival::Prefix,
        Survival::Subset(900),
        Survival::Torn,
    ];
    let drawn = survivals.into_iter().cycle().zip(0..);
    let drawn = drawn.map(move |(survival, number)| CrashState::Drawn {
        survival,
        draw: seed.wrapping_add(number),
    });
    prefixes.chain(drawn)
}

/// The bytes that the files below `folder` take.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size_of(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

/// Copies a directory; names of one file stay names of one file.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut copies = BTreeMap::new();
    let mut todo = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = todo.pop() {
        fs::create_dir(&to)?;
        fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let copy = to.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                todo.push((entry.path(), copy));
            } else if let Some(first) = copies.get(&metadata.ino()) {
                fs::hard_link::<&PathBuf, _>(first, copy)?;
            } else {
                copy_entry(&entry.path(), &copy)?;
                copies.insert(metadata.ino(), copy);
            }
        }
    }
    Ok(())
}

fn copy_entry(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        copy_tree(from, to)
    } else if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)
    } else {
        fs::copy(from, to).map(|_| ())
    }
}
