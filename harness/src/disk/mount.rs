//! Mounts a disk in this mount namespace, serves it, and unmounts it.
//!
//! In: a volume, a mount point. Out: a mount that lives until it is unmounted or the harness dies.
//! Invariants: `/dev/fuse` is open once and closed on exec, as a copy of it in a child would keep
//! blocked processes alive for ever; one thread serves the kernel; whatever happened, after
//! [`Mounted::unmount`] no process waits for this disk. Source: `sandbox.md` §4, fuse(4), mount(2).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, INodeNo, Notifier, Session, SessionACL};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};

use crate::disk::DiskError;
use crate::disk::serve::Server;
use crate::disk::volume::Volume;

/// The device through which the kernel asks.
pub const DEVICE: &str = "/dev/fuse";
/// Inodes whose pages wait to be dropped, at most.
const STALE_MAX: usize = 4096;
/// How long a file may stay open after its process is gone: the kernel closes some with delay.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// Between two tries to unmount.
const CLOSE_PAUSE: Duration = Duration::from_millis(2);

/// A disk that is mounted.
pub(super) struct Mounted {
    /// What is mounted.
    pub(super) volume: Arc<Volume>,
    mount_point: PathBuf,
    session: BackgroundSession,
    helpers: Vec<JoinHandle<()>>,
}

/// How a disk is unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmount {
    /// Files that processes still have open get a moment to be closed.
    Gently,
    /// At once: what the kernel has not written yet is lost.
    AtOnce,
}

impl Mounted {
    /// Mounts `volume` at `mount_point` and serves it.
    pub(super) fn new(volume: Arc<Volume>, mount_point: &Path) -> Result<Self, DiskError> {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let device =
            open(DEVICE, flags, Mode::empty()).map_err(at("opening", Path::new(DEVICE)))?;
        attach(&device, mount_point).map_err(at("mounting", mount_point))?;
        let server = Server(Arc::clone(&volume));
        let session = Session::from_fd(server, device, SessionACL::All, Config::default())
            .and_then(Session::spawn);
        let session = match session {
            Ok(session) => session,
            Err(source) => {
                let _ = umount2(mount_point, MntFlags::MNT_DETACH);
                let (step, path) = ("serving", mount_point.to_owned());
                return Err(DiskError::Os { step, path, source });
            }
        };
        let (sender, stale) = sync_channel(STALE_MAX);
        volume.send_stale_to(sender);
        let notifier = session.notifier();
        let keeper = Arc::clone(&volume);
        let helpers = [
            helper("disk-keeper", move || keeper.held.keep_time()),
            helper("disk-pages", move || drop_pages(&notifier, &stale)),
        ];
        let helpers = helpers.into_iter().collect::<io::Result<_>>();
        Ok(Self {
            volume,
            mount_point: mount_point.to_owned(),
            session,
            helpers: helpers.map_err(|source| DiskError::Os {
                step: "starting the threads",
                path: mount_point.to_owned(),
                source,
            })?,
        })
    }

    /// Refuses what waits, unmounts, and waits until nothing is served any more.
    pub(super) fn unmount(self, how: Unmount) -> Result<(), DiskError> {
        self.volume.close();
        let detached = self.detach(how);
        let ended = self.session.join();
        for helper in self.helpers {
            // It holds no lock that anybody else needs.
            let _ = helper.join();
        }
        detached.map_err(at("unmounting", &self.mount_point))?;
        ended.map_err(|source| DiskError::Os {
            step: "serving",
            path: self.mount_point,
            source,
        })
    }

    fn detach(&self, how: Unmount) -> nix::Result<()> {
        let deadline = Instant::now() + CLOSE_LIMIT;
        while how == Unmount::Gently && Instant::now() < deadline {
            match umount2(&self.mount_point, MntFlags::empty()) {
                Err(Errno::EBUSY) => thread::sleep(CLOSE_PAUSE),
                ended => return ended,
            }
        }
        // Aborts the connection even if it then says EBUSY: whoever waits is answered.
        let _ = umount2(&self.mount_point, MntFlags::MNT_FORCE);
        match umount2(&self.mount_point, MntFlags::MNT_DETACH) {
            // It was not busy and is gone already.
            Err(Errno::EINVAL) => Ok(()),
            ended => ended,
        }
    }
}

/// mount(2) with what the kernel wants to know of a FUSE file system.
fn attach(device: &OwnedFd, mount_point: &Path) -> nix::Result<()> {
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        device.as_raw_fd(),
        geteuid(),
        getegid()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("verdict"),
        mount_point,
        Some("fuse"),
        flags,
        Some(options.as_str()),
    )
}

/// Drops pages until the volume is gone. Waits for reads that hold them, so it is a thread's work.
fn drop_pages(notifier: &Notifier, stale: &Receiver<u64>) {
    for number in stale {
        // An inode that the kernel does not know has no pages.
        let _ = notifier.inval_inode(INodeNo(number), 0, 0);
    }
}

fn helper(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn at(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> DiskError {
    let path = path.to_owned();
    move |errno| DiskError::Os {
        step,
        path,
        source: errno.into(),
    }
}
