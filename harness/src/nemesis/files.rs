//! Where the files of the nodes lie that faults change and read.
//!
//! In: the layout of a run. Out: the log directories of a node and what it has printed.
//! Invariant: the paths are never mount points that the harness serves itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use broker::id::BrokerId;

use crate::disk::rule::DiskId;

/// The files of all nodes.
#[derive(Clone, Debug, Default)]
pub struct NodeFiles {
    directories: BTreeMap<DiskId, PathBuf>,
    logs: BTreeMap<i32, PathBuf>,
}

impl NodeFiles {
    /// The log directories, and the file that each node prints into.
    pub fn new(
        directories: impl IntoIterator<Item = (DiskId, PathBuf)>,
        logs: impl IntoIterator<Item = (i32, PathBuf)>,
    ) -> Self {
        Self {
            directories: directories.into_iter().collect(),
            logs: logs.into_iter().collect(),
        }
    }

    /// The log directories of `node`, in the order of `log.dirs`.
    pub fn of(&self, node: BrokerId) -> Vec<DiskId> {
        let disks = self.directories.keys();
        disks.filter(|disk| disk.node == node.0).copied().collect()
    }

    /// All nodes that have log directories.
    pub fn nodes(&self) -> Vec<BrokerId> {
        let mut nodes: Vec<_> = self
            .directories
            .keys()
            .map(|disk| BrokerId(disk.node))
            .collect();
        nodes.dedup();
        nodes
    }

    /// Where the files of a log directory lie.
    pub fn path(&self, disk: DiskId) -> Option<PathBuf> {
        self.directories.get(&disk).cloned()
    }

    /// How much `node` has printed, in bytes.
    pub fn printed(&self, node: BrokerId) -> u64 {
        let log = self.logs.get(&node.0);
        log.and_then(|log| fs::metadata(log).ok())
            .map_or(0, |metadata| metadata.len())
    }

    /// What `node` has printed since it had printed `from` bytes.
    pub fn printed_since(&self, node: BrokerId, from: u64) -> String {
        let bytes = self.logs.get(&node.0).and_then(|log| fs::read(log).ok());
        let bytes = bytes.unwrap_or_default();
        let tail = bytes.get(from as usize..).unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// All files below `root`, as sorted paths relative to it.
///
/// # Errors
/// Those of listing; what vanishes meanwhile is left out.
pub(crate) fn list(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in there(fs::read_dir(root.join(&folder)))?
            .into_iter()
            .flatten()
        {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            match there(entry.file_type())? {
                Some(kind) if kind.is_dir() => folders.push(path),
                Some(_) => found.push(path),
                None => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Nothing for what is not there.
pub(crate) fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
