//! Log directories of limited size: a tmpfs each, whose limits change while it is in use.
//!
//! In: a folder and its size, a limit to lower or to raise. Out: what the kernel says is left.
//! Keeps: a mount outlives the processes of its node and ends with the run; no limit is set below
//! what is in use or above the plan's. Source: tmpfs(5), `sandbox.md` §5.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

use crate::disk::rule::DiskId;

/// Files and folders that a log directory may hold; without such a limit none can be set later.
pub const FILES_MAX: u64 = 1 << 16;
/// A node that writes all the time may be ahead of a new limit a few times.
const TRIES: u32 = 1_000;
const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// What is left of a log directory while its quota is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Left {
    /// So many bytes, rounded up to whole pages of memory.
    Bytes(u64),
    /// So many files and folders beside those that are there.
    Files(u64),
}

/// How large a log directory is, and what is left of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes that are not in use.
    pub bytes_left: u64,
    /// Files and folders that it may hold.
    pub files: u64,
    /// Those that may still be made.
    pub files_left: u64,
}

impl Space {
    /// The limit of what `of` is about.
    pub fn limit(&self, of: Left) -> u64 {
        match of {
            Left::Bytes(_) => self.bytes,
            Left::Files(_) => self.files,
        }
    }

    /// What is left of what `of` is about.
    pub fn left(&self, of: Left) -> u64 {
        match of {
            Left::Bytes(_) => self.bytes_left,
            Left::Files(_) => self.files_left,
        }
    }

    /// The option that leaves as much of a directory like this, of `bytes` at most.
    fn option(&self, left: Left, bytes: u64) -> String {
        let used = self.limit(left).saturating_sub(self.left(left));
        // The kernel takes 0 for no limit at all.
        let limit = |left: u64, most: u64| used.saturating_add(left).clamp(1, most);
        match left {
            Left::Bytes(left) => format!("size={}", limit(left, bytes)),
            Left::Files(left) => format!("nr_inodes={}", limit(left, FILES_MAX)),
        }
    }
}

/// The log directories of a run that are on a tmpfs. Cheap to clone; all clones are about the same.
#[derive(Clone, Debug, Default)]
pub struct TmpfsMounts {
    mounts: Arc<Mutex<BTreeMap<DiskId, Mounted>>>,
}

#[derive(Clone, Debug)]
struct Mounted {
    path: PathBuf,
    bytes: u64,
}

impl TmpfsMounts {
    /// Mounts a tmpfs of `bytes` bytes at `path`.
    ///
    /// # Errors
    /// Those of mount(2).
    pub fn mount(&self, id: DiskId, path: &Path, bytes: u64) -> io::Result<()> {
        let options = format!("{},mode=700", full(bytes));
        let (source, kind) = (Some("verdict"), Some("tmpfs"));
        mount(source, path, kind, FLAGS, Some(options.as_str()))?;
        let path = path.to_owned();
        self.lock().insert(id, Mounted { path, bytes });
        Ok(())
    }

    /// Those of `node`, in the order of `log.dirs`.
    pub fn of(&self, node: i32) -> Vec<DiskId> {
        let mounts = self.lock();
        let of_node = mounts.keys().filter(|id| id.node == node);
        of_node.copied().collect()
    }

    /// Where it is mounted.
    pub fn path(&self, id: DiskId) -> Option<PathBuf> {
        Some(self.lock().get(&id)?.path.clone())
    }

    /// How large it is now, and what is left.
    ///
    /// # Errors
    /// Those of statvfs(3), and if there is none.
    pub fn space(&self, id: DiskId) -> io::Result<Space> {
        self.mounted(id)?.space()
    }

    /// Lowers a limit to what is in use and `left` more; how large it then is.
    ///
    /// # Errors
    /// Those of mount(2), and if there is none.
    pub fn lower(&self, id: DiskId, left: Left) -> io::Result<Space> {
        let mounted = self.mounted(id)?;
        for _ in 0..TRIES {
            let option = mounted.space()?.option(left, mounted.bytes);
            match mounted.remount(&option) {
                // The node has written since: more is in use than that.
                Err(Errno::EINVAL) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return mounted.space(),
            }
        }
        Err(Errno::EINVAL.into())
    }

    /// Raises the limits to what they were at first.
    ///
    /// # Errors
    /// Those of mount(2), and if there is none.
    pub fn raise(&self, id: DiskId) -> io::Result<()> {
        let mounted = self.mounted(id)?;
        Ok(mounted.remount(&full(mounted.bytes))?)
    }

    /// Raises the limits of all.
    ///
    /// # Errors
    /// The first that could not be raised; the others are.
    pub fn raise_all(&self) -> io::Result<()> {
        let ids: Vec<DiskId> = self.lock().keys().copied().collect();
        let raised: Vec<_> = ids.into_iter().map(|id| self.raise(id)).collect();
        raised.into_iter().collect()
    }

    /// Unmounts all; if `keep` is set, their files are then found where they were mounted.
    ///
    /// # Errors
    /// The first whose files could not be kept, or that could not be unmounted; the others are.
    pub fn unmount_all(&self, keep: bool) -> io::Result<()> {
        let mounts = std::mem::take(&mut *self.lock());
        let ended: Vec<_> = mounts.values().map(|mounted| mounted.end(keep)).collect();
        ended.into_iter().collect()
    }

    fn mounted(&self, id: DiskId) -> io::Result<Mounted> {
        let mounted = self.lock().get(&id).cloned();
        mounted.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DiskId, Mounted>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mounted {
    fn space(&self) -> io::Result<Space> {
        let found = statvfs(&self.path)?;
        Ok(Space {
            bytes: found.blocks() * found.fragment_size(),
            bytes_left: found.blocks_free() * found.fragment_size(),
            files: found.files(),
            files_left: found.files_free(),
        })
    }

    fn remount(&self, options: &str) -> nix::Result<()> {
        let flags = FLAGS | MsFlags::MS_REMOUNT;
        mount(None::<&str>, &self.path, None::<&str>, flags, Some(options))
    }

    fn end(&self, keep: bool) -> io::Result<()> {
        let kept = self.path.with_extension("kept");
        let copied = if keep {
            copy(&self.path, &kept)
        } else {
            Ok(())
        };
        umount2(&self.path, MntFlags::MNT_DETACH)?;
        copied?;
        if keep {
            fs::rename(&kept, &self.path)?;
        }
        Ok(())
    }
}

/// The options of one whose limits are not lowered.
fn full(bytes: u64) -> String {
    format!("size={bytes},nr_inodes={FILES_MAX}")
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_none_nor_more_than_at_first() {
        let (page, mib) = (4096, 1 << 20);
        let space = Space {
            bytes: mib,
            bytes_left: mib - 10 * page,
            files: 100,
            files_left: 93,
        };
        let empty = Space {
            bytes_left: mib,
            ..space
        };
        for (space, left, wanted) in [
            (space, Left::Bytes(0), "size=40960"),
            (space, Left::Bytes(5_000), "size=45960"),
            (space, Left::Bytes(2 * mib), "size=1048576"),
            (space, Left::Bytes(u64::MAX), "size=1048576"),
            (space, Left::Files(0), "nr_inodes=7"),
            (space, Left::Files(u64::MAX), "nr_inodes=65536"),
            (empty, Left::Bytes(0), "size=1"),
        ] {
            assert_eq!(space.option(left, mib), wanted, "{left:?}");
        }
    }
}
