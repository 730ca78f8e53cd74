//! The result directory of a run, and the names of everything in it.
//!
//! ```text
//! results/<time>-<profile>-<seed>/
//!   plan.json       what was decided before (`plan::Plan`)
//!   history.jsonl   every operation and fault, in one order (`checkers::history`)
//!   events.jsonl    phases, node states, faults, throughput, on the same clock (`run::events`)
//!   verdict.json    how the run ended, and every anomaly with its witness (`run::summary`)
//!   evidence.json   states reached, who had a lost record when (`evidence`)
//!   report.html     the page for people
//!   nodes/n1/log/   what the node printed      nodes/n1/config/  its configuration
//!   nodes/n1/data/  its log directories, d0 …  clients/          what the workers printed
//!                   (on a tmpfs while the run lasts, if `cluster.tmpfs_mib` says so)
//!   nodes/n1/disk/  where they are mounted while the run lasts, if its disks are faulty ones
//!   nodes/n1/crash-1/ …  what its losses of power could have left (`crash`)
//! results/latest    a symbolic link to the newest
//! ```
//! Invariant: a directory belongs to one run and is never reused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::disk::rule::DiskId;
use crate::plan::ClusterPlan;

/// The result directory cannot be made or written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}; choose another place with --results")]
pub struct StoreError {
    /// What could not be written.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A run's directory.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Makes `results/<time>-<profile>-<seed>`, with a number if it exists, and `results/latest`.
    ///
    /// `time` is the wall clock as text that sorts.
    pub fn create(
        results: &Path,
        time: &str,
        profile: &str,
        seed: u64,
        nodes: u32,
    ) -> Result<Self, StoreError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError { path, source }
        };
        fs::create_dir_all(results).map_err(fail(results))?;
        let results = results.canonicalize().map_err(fail(results))?;
        let name = format!("{time}-{profile}-{seed}");
        let root = create_unused(&results, &name).map_err(fail(&results.join(&name)))?;
        let store = Self { root };
        for id in 1..=nodes as i32 {
            for path in [
                store.node_log(id),
                store.node_config(id),
                store.node_data(id),
            ] {
                fs::create_dir_all(&path).map_err(fail(&path))?;
            }
        }
        fs::create_dir_all(store.clients()).map_err(fail(&store.clients()))?;
        point_latest(&results, &store.root).map_err(fail(&results.join("latest")))?;
        Ok(store)
    }

    /// A directory that exists.
    pub fn open(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The plan.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// The history.
    pub fn history(&self) -> PathBuf {
        self.root.join("history.jsonl")
    }

    /// The harness's events.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// The verdict.
    pub fn verdict(&self) -> PathBuf {
        self.root.join("verdict.json")
    }

    /// What explains the verdict.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence.json")
    }

    /// The page for people.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// What the workers print.
    pub fn clients(&self) -> PathBuf {
        self.root.join("clients")
    }

    /// What node `id` prints.
    pub fn node_log(&self, id: i32) -> PathBuf {
        self.node(id).join("log")
    }

    /// The configuration of node `id`.
    pub fn node_config(&self, id: i32) -> PathBuf {
        self.node(id).join("config")
    }

    /// The folder of the log directories of node `id`.
    pub fn node_data(&self, id: i32) -> PathBuf {
        self.node(id).join("data")
    }

    /// Where the files of log directory `disk` lie. The harness may read them at any time, and
    /// change them while the node is down.
    pub fn backing(&self, disk: DiskId) -> PathBuf {
        self.node_data(disk.node).join(directory_name(disk))
    }

    /// Where the node finds log directory `disk` when it is a faulty one. The harness must never
    /// touch a file below: it would wait for itself.
    pub fn mount_point(&self, disk: DiskId) -> PathBuf {
        self.node(disk.node).join("disk").join(directory_name(disk))
    }

    /// Makes the folders of the log directories of `cluster`.
    pub fn create_log_dirs(&self, cluster: &ClusterPlan) -> Result<(), StoreError> {
        let faulty = cluster.disk.is_some();
        let mount_points = cluster.disks().filter(|_| faulty);
        let backings = cluster.disks().map(|disk| self.backing(disk));
        for path in backings.chain(mount_points.map(|disk| self.mount_point(disk))) {
            fs::create_dir_all(&path).map_err(|source| StoreError { path, source })?;
        }
        Ok(())
    }

    /// Everything of node `id`.
    pub fn node(&self, id: i32) -> PathBuf {
        self.root.join("nodes").join(format!("n{id}"))
    }

    /// Writes one file of the directory.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), StoreError> {
        fs::write(path, text).map_err(|source| StoreError {
            path: path.to_owned(),
            source,
        })
    }
}

fn directory_name(disk: DiskId) -> String {
    format!("d{}", disk.directory)
}

/// Two runs of the same second get different directories.
fn create_unused(results: &Path, name: &str) -> io::Result<PathBuf> {
    for attempt in 1.. {
        let name = if attempt == 1 {
            name.to_owned()
        } else {
            format!("{name}.{attempt}")
        };
        let root = results.join(name);
        match fs::create_dir(&root) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the loop above has no end")
}

/// Replaces the link in one step, so that a reader always finds a run.
fn point_latest(results: &Path, root: &Path) -> io::Result<()> {
    let Some(name) = root.file_name() else {
        return Ok(());
    };
    let fresh = results.join(format!(".latest-{}", name.display()));
    std::os::unix::fs::symlink(name, &fresh)?;
    fs::rename(&fresh, results.join("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::journal::NameDurability;
    use crate::plan::profile::PROFILES;
    use crate::plan::{DiskPlan, Plan};

    #[test]
    fn every_run_gets_its_own_directory_and_latest_is_the_newest() {
        let dir = tempfile::tempdir().expect("a directory");
        let results = dir.path().join("results");
        let first = Store::create(&results, "20261124-070000", "default", 7, 3).expect("made");
        let second = Store::create(&results, "20261124-070000", "default", 7, 3).expect("made");
        assert_ne!(first.root(), second.root());
        assert!(second.node_data(3).is_dir());
        let latest = results.join("latest").canonicalize().expect("a link");
        assert_eq!(latest, second.root().canonicalize().expect("exists"));
    }

    #[test]
    fn the_folders_that_the_harness_reads_are_not_those_that_it_serves() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path());
        let mut cluster = Plan::draw(7, &PROFILES[0]).cluster;
        cluster.log_dirs = 2;
        let disk = DiskId {
            node: 3,
            directory: 1,
        };
        store.create_log_dirs(&cluster).expect("made");
        assert!(store.backing(disk).ends_with("nodes/n3/data/d1"));
        assert!(store.backing(disk).is_dir() && !store.mount_point(disk).exists());
        cluster.disk = Some(DiskPlan {
            fsync_ms: 0,
            quota_mib: None,
            names: NameDurability::default(),
        });
        store.create_log_dirs(&cluster).expect("made");
        assert!(!store.mount_point(disk).starts_with(store.node_data(3)));
        assert!(store.mount_point(disk).is_dir());
    }

    #[test]
    fn an_unwritable_place_is_refused_with_its_name_and_the_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let error = Store::create(&file.join("results"), "t", "p", 1, 1).expect_err("refused");
        assert!(error.to_string().contains("--results"), "{error}");
    }
}
