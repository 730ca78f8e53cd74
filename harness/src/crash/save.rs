//! Keeps what a loss of power could have left, as crash images beside the node's files.
//!
//! In: a node that was just killed. Out: `nodes/n1/crash-1/d0`, … once its disks have lost their
//! power.
//! Invariant: the space is bounded: a few losses of each node, and none of a disk that is too
//! large; a loss of which a disk is missing is marked, because half a node proves nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::disk::Disks;
use crate::disk::journal::Saved;
use crate::disk::rule::DiskId;

/// The file that marks a loss of which not every disk was saved.
pub const INCOMPLETE: &str = "incomplete";

/// How many losses of one node are kept.
const LOSSES_MAX: usize = 4;

/// How large one disk may be, in bytes.
const DISK_BYTES_MAX: u64 = 128 << 20;

/// A node whose disks are about to lose their power.
#[derive(Debug)]
pub struct Saving {
    disks: Disks,
    ids: Vec<DiskId>,
    node: i32,
    name: String,
    folder: PathBuf,
}

impl Saving {
    /// Lets the disks of `node` save what they hold when they lose their power; nothing if as many
    /// losses as are kept were saved before. A folder that cannot be made costs the images only.
    pub fn begin(disks: &Disks, node: i32) -> Option<Self> {
        let ids = disks.of(node);
        let backing = disks.backing(*ids.first()?)?;
        let home = backing.parent()?.parent()?;
        let (name, folder) = match next_folder(home) {
            Ok(next) => next?,
            Err(error) => {
                tracing::warn!("no crash image below {}: {error}", home.display());
                return None;
            }
        };
        for id in &ids {
            let journal = disks.journal(*id)?;
            let target = folder.join(format!("d{}", id.directory));
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.save_at_roll_back(target, DISK_BYTES_MAX);
        }
        Some(Self {
            disks: disks.clone(),
            ids,
            node,
            name,
            folder,
        })
    }

    /// Once the power is off: the node and the folder of its images, if all disks were saved.
    pub fn end(self) -> Option<(i32, String)> {
        let mut problems = Vec::new();
        for id in &self.ids {
            let journal = self.disks.journal(*id)?;
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let problem = match journal.take_saved() {
                Some(Ok(Saved::Whole(_))) => continue,
                Some(Ok(Saved::TooLarge(bytes))) => format!("it takes {bytes} bytes"),
                Some(Err(error)) => error.to_string(),
                None => "it did not lose its power".to_owned(),
            };
            problems.push(format!("d{}: {problem}", id.directory));
        }
        if problems.is_empty() {
            return Some((self.node, self.name));
        }
        let text = problems.join("\n");
        if let Err(error) = fs::write(self.folder.join(INCOMPLETE), &text) {
            // Unmarked, it would be taken for whole.
            tracing::warn!("{}: {error}", self.folder.display());
            let _ = fs::remove_dir_all(&self.folder);
        }
        None
    }
}

/// Removes all images of the node whose files are in `home`.
pub fn remove_all(home: &Path) {
    for number in 1..=LOSSES_MAX {
        // What cannot be removed is only disk space.
        let _ = fs::remove_dir_all(home.join(folder_name(number)));
    }
}

fn folder_name(number: usize) -> String {
    format!("crash-{number}")
}

fn next_folder(home: &Path) -> io::Result<Option<(String, PathBuf)>> {
    for number in 1..=LOSSES_MAX {
        let name = folder_name(number);
        let folder = home.join(&name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(Some((name, folder))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
