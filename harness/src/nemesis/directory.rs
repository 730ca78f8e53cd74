//! Which log directories of a node a disk fault hits: named in the plan, resolved when it fires.
//!
//! In: a [`DirectoryPick`], the node's faulty disks and where their files lie. Out: disks, or why
//! there are none.
//! Keeps: the harness looks only into the backing folders, never below a mount point.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::rule::DiskId;

/// Which log directories of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DirectoryPick {
    /// One of them, drawn.
    Any,
    /// All.
    All,
    /// The first, which also holds the metadata log.
    Metadata,
    /// All but the first where there are several, else the only one.
    Data,
    /// The one in which the node keeps a partition when the fault fires.
    Holding {
        /// The partition's topic.
        topic: String,
        /// Its index.
        partition: i32,
    },
}

impl DirectoryPick {
    /// The disks that are meant, out of those of one node; `draw` picks among several.
    ///
    /// # Errors
    /// Why the node has no such disk.
    pub(crate) fn resolve(
        &self,
        disks: &[DiskId],
        backing: impl Fn(DiskId) -> Option<PathBuf>,
        draw: u64,
    ) -> Result<Vec<DiskId>, String> {
        let Some(first) = disks.first() else {
            return Err("it has no faulty disk; the plan needs `cluster.disk`".to_owned());
        };
        let one = |disk: &DiskId| vec![*disk];
        match self {
            Self::All => Ok(disks.to_vec()),
            Self::Metadata => Ok(one(first)),
            Self::Any => {
                let index = draw % disks.len() as u64;
                Ok(disks.get(index as usize).map(one).unwrap_or_default())
            }
            Self::Data if disks.len() == 1 => Ok(one(first)),
            Self::Data => Ok(disks.iter().skip(1).copied().collect()),
            Self::Holding { topic, partition } => {
                let name = format!("{topic}-{partition}");
                let holds =
                    |disk: &&DiskId| backing(**disk).is_some_and(|path| path.join(&name).is_dir());
                let found = disks.iter().find(holds).map(one);
                found.ok_or_else(|| format!("none of its log directories holds {name}"))
            }
        }
    }
}

/// The names of the folders in `root`, in order; none if it cannot be read.
pub(crate) fn folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(directory: u32) -> DiskId {
        DiskId { node: 2, directory }
    }

    #[test]
    fn a_pick_is_the_directories_that_its_word_says() {
        let root = tempfile::tempdir().unwrap();
        let backing = |disk: DiskId| Some(root.path().join(disk.directory.to_string()));
        fs::create_dir_all(root.path().join("1/t-4")).unwrap();
        let holding = |partition| DirectoryPick::Holding {
            topic: "t".to_owned(),
            partition,
        };
        let three = [disk(0), disk(1), disk(2)];
        for (pick, of, draw, expected) in [
            (DirectoryPick::All, &three[..], 0, Some(vec![0, 1, 2])),
            (DirectoryPick::Metadata, &three, 0, Some(vec![0])),
            (DirectoryPick::Data, &three, 0, Some(vec![1, 2])),
            (DirectoryPick::Data, &three[..1], 0, Some(vec![0])),
            (DirectoryPick::Any, &three, 5, Some(vec![2])),
            (holding(4), &three, 0, Some(vec![1])),
            (holding(5), &three, 0, None),
            (DirectoryPick::All, &[], 0, None),
        ] {
            let expected = expected.map(|numbers| numbers.into_iter().map(disk).collect());
            assert_eq!(pick.resolve(of, backing, draw).ok(), expected, "{pick:?}");
        }
    }
}
