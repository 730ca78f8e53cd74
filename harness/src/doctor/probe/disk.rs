//! The probe of faulty disks: one is mounted, and another process works on it.
//!
//! In: nothing. Out: what works, or the step that failed. Keeps: the process that serves the disk
//! never touches a file on it.

use std::fs::OpenOptions;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;

use super::{Failure, Name, Outcome, at, from_enter, parse, text_of};
use crate::disk::journal::NameDurability;
use crate::disk::rule::DiskId;
use crate::disk::{DiskError, DiskOptions, Disks};
use crate::roles::{PROBE_ROLE, ROLE_VARIABLE};
use crate::sandbox::{Mapping, enter};

/// What is written, and what is mapped over it.
const WRITTEN: &[u8; 8] = b"verdict\n";

/// Mounts a disk and lets another process work on it.
pub(super) fn probe() -> Result<(), Failure> {
    enter::become_sandbox().map_err(from_enter)?;
    let folder = tempfile::tempdir().map_err(at("a temporary folder"))?;
    let (backing, mounted) = (folder.path().join("backing"), folder.path().join("mounted"));
    for path in [&backing, &mounted] {
        std::fs::create_dir(path).map_err(at("a temporary folder"))?;
    }
    let disks = Disks::default();
    let options = DiskOptions {
        seed: 0,
        fsync: Duration::ZERO,
        quota: None,
        names: NameDurability::default(),
    };
    let id = DiskId {
        node: 1,
        directory: 0,
    };
    disks
        .mount(id, &backing, &mounted, options)
        .map_err(|error| failure(&error))?;
    let worked = ask(&mounted);
    disks.unmount_all();
    worked?;
    let stored = std::fs::read(backing.join("file")).map_err(at("reading the backing file"))?;
    if stored == b"VERDICT\n" {
        return Ok(());
    }
    Err(Failure {
        step: "/dev/fuse: what was mapped is not stored".to_owned(),
        errno: None,
    })
}

/// A process that works on the disk, and what came of it.
fn ask(mounted: &Path) -> Result<(), Failure> {
    let output = Command::new("/proc/self/exe")
        .arg(text_of(Name::OnDisk))
        .arg(mounted)
        .env(ROLE_VARIABLE, PROBE_ROLE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(at("starting a process"))?;
    match parse(&String::from_utf8_lossy(&output.stdout)) {
        Outcome::Works(_) => Ok(()),
        Outcome::Fails(failure) => Err(failure),
    }
}

/// That process: writes, fsyncs and maps a file in the folder that the second argument names.
pub(super) fn work() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(2).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(Path::new(&folder).join("file"))
        .map_err(at("/dev/fuse: creating a file"))?;
    file.write_all_at(WRITTEN, 0)
        .map_err(at("/dev/fuse: writing"))?;
    file.sync_all().map_err(at("/dev/fuse: fsync"))?;
    map(&file).map_err(at("/dev/fuse: mapping a file"))
}

fn map(file: &std::fs::File) -> io::Result<()> {
    let length = NonZeroUsize::new(WRITTEN.len()).ok_or(Errno::EINVAL)?;
    let mut mapping = Mapping::new(file, length)?;
    let mut read = *WRITTEN;
    mapping.read(0, &mut read);
    mapping.write(0, &read.to_ascii_uppercase());
    mapping.sync()
}

/// The step of mounting that failed.
fn failure(error: &DiskError) -> Failure {
    let DiskError::Os { step, path, source } = error else {
        let step = error.to_string();
        return Failure { step, errno: None };
    };
    let what = if path.starts_with("/dev") {
        "it"
    } else {
        "a disk"
    };
    let step = format!("/dev/fuse: {step} {what}");
    let errno = source.raw_os_error().map(Errno::from_raw);
    Failure { step, errno }
}
