//! A faulty disk, and processes that work on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::disk::journal::NameDurability;
use harness::disk::rule::{DiskAction, DiskId, DiskPick, DiskRule, FileClass, OperationClass};
use harness::disk::{DiskOptions, Disks};
use harness::roles::{ROLE_VARIABLE, Role};
use libtest_mimic::Failed;
use tempfile::TempDir;

use crate::support::files::Op;

/// The disk of every test here.
pub(crate) const DISK: DiskId = DiskId {
    node: 1,
    directory: 0,
};

/// Options of a disk on which nothing takes time.
pub(crate) const PLAIN: DiskOptions = DiskOptions {
    seed: 7,
    fsync: Duration::ZERO,
    quota: None,
    names: NameDurability::WithFile,
};

/// A faulty disk that is mounted, beside a native folder.
pub(crate) struct Faulty {
    pub(crate) disks: Disks,
    scripts: std::cell::Cell<u32>,
    folder: TempDir,
}

impl Faulty {
    pub(crate) fn new(options: DiskOptions) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        for name in ["native", "backing", "mounted"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let disks = Disks::default();
        let (backing, mounted) = (folder.path().join("backing"), folder.path().join("mounted"));
        disks.mount(DISK, &backing, &mounted, options)?;
        Ok(Self {
            disks,
            scripts: std::cell::Cell::new(0),
            folder,
        })
    }

    /// A folder of the machine's own file system.
    pub(crate) fn native(&self) -> PathBuf {
        self.folder.path().join("native")
    }

    /// Where the disk is mounted; only other processes may look there.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Where its files lie.
    pub(crate) fn backing(&self) -> PathBuf {
        self.folder.path().join("backing")
    }

    /// The arguments of a node that does `ops` in `folder`.
    pub(crate) fn args(&self, ops: &[Op], folder: &Path) -> Result<[OsString; 3], Failed> {
        let number = self.scripts.replace(self.scripts.get() + 1);
        let script = self.folder.path().join(format!("script-{number}"));
        std::fs::write(&script, serde_json::to_vec(ops)?)?;
        Ok(["files".into(), script.into(), folder.into()])
    }

    /// A process that does `ops` in `folder`, with its output in a pipe.
    pub(crate) fn start(&self, ops: &[Op], folder: &Path) -> Result<Child, Failed> {
        let child = Command::new("/proc/self/exe")
            .args(self.args(ops, folder)?)
            .env(ROLE_VARIABLE, Role::Node.name())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    }

    /// The lines that a process prints which does `ops` in `folder`.
    pub(crate) fn run(&self, ops: &[Op], folder: &Path) -> Result<Vec<String>, Failed> {
        Self::lines(self.start(ops, folder)?)
    }

    /// The lines of a process, once it has ended.
    pub(crate) fn lines(child: Child) -> Result<Vec<String>, Failed> {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("the process ended with {}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// The lines of a process that does `ops` on the disk.
    pub(crate) fn on_disk(&self, ops: &[Op]) -> Result<Vec<String>, Failed> {
        self.run(ops, &self.mounted())
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.disks.unmount_all();
    }
}

/// A rule about some operations on all files.
pub(crate) fn rule(operation: OperationClass, pick: DiskPick, action: DiskAction) -> DiskRule {
    DiskRule {
        operations: vec![operation],
        files: Vec::<FileClass>::new(),
        pick,
        action,
    }
}
