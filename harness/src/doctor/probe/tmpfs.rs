//! The probe of log directories of limited size: one is filled up while its size is lowered.
//!
//! In: nothing. Out: what works, or the step that failed. Keeps: the limit is met by writing, as a
//! node would, not read from a table.

use std::fs;
use std::io;

use super::{Failure, at, from_enter};
use crate::disk::rule::DiskId;
use crate::sandbox::enter;
use crate::tmpfs::{Left, TmpfsMounts};

/// The size of the directory in bytes.
const BYTES: u64 = 1 << 20;
/// Several pages of any machine.
static CONTENT: [u8; 200_000] = [7; 200_000];

/// Fills a directory whose size is lowered, and then one whose size is what it was.
pub(super) fn probe() -> Result<(), Failure> {
    enter::become_sandbox().map_err(from_enter)?;
    let folder = tempfile::tempdir().map_err(at("a temporary folder"))?;
    let id = DiskId {
        node: 1,
        directory: 0,
    };
    let mounts = TmpfsMounts::default();
    let mounted = mounts.mount(id, folder.path(), BYTES);
    mounted.map_err(at("tmpfs: mounting it"))?;
    let ended = fill(&mounts, id, &folder.path().join("file"));
    let unmounted = mounts.unmount_all(false);
    ended.and(unmounted.map_err(at("tmpfs: unmounting it")))
}

fn fill(mounts: &TmpfsMounts, id: DiskId, file: &std::path::Path) -> Result<(), Failure> {
    let lowered = mounts.lower(id, Left::Bytes(0));
    lowered.map_err(at("tmpfs: lowering its size"))?;
    match fs::write(file, CONTENT) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
        Err(error) => return Err(at("tmpfs: filling it up")(error)),
        Ok(()) => {
            let step = "tmpfs: refusing what does not fit".to_owned();
            return Err(Failure { step, errno: None });
        }
    }
    mounts.raise(id).map_err(at("tmpfs: raising its size"))?;
    fs::write(file, CONTENT).map_err(at("tmpfs: writing once there is room"))
}
