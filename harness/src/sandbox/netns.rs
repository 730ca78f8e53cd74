//! One network namespace, and the thread that lives in it.
//!
//! In: closures to run inside the namespace (create a socket, listen). Out: their results; a
//! socket stays in the namespace that it was created in, whichever thread uses it later.
//! Keeps: the namespace has `lo` and nothing else, so nothing in it can reach the outside; its
//! descriptor is close-on-exec and dies with this value. Source: network_namespaces(7).

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use nix::sched::{CloneFlags, unshare};

use crate::sandbox::sys;

type Job = Box<dyn FnOnce() + Send>;

/// How many jobs may wait for the thread before callers wait too.
const JOBS_WAITING_MAX: usize = 64;

/// A network namespace that holds one node or one client.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    jobs: SyncSender<Job>,
}

impl NetNs {
    /// Makes a namespace with `lo` up.
    ///
    /// # Errors
    /// EPERM outside a sandbox; ENOSPC when `user.max_net_namespaces` is reached.
    pub fn create() -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Job>(JOBS_WAITING_MAX);
        let (report, made) = sync_channel(1);
        std::thread::Builder::new()
            .name("netns".into())
            .spawn(move || {
                let file = enter_new_namespace();
                let entered = file.is_ok();
                // A creator that went away has dropped `jobs` too, so the loop below ends at once.
                let _ = report.send(file);
                if entered {
                    serve(&inbox);
                }
            })?;
        let file = made.recv().map_err(|_| gone())??;
        Ok(Self { file, jobs })
    }

    /// Runs `job` on the namespace's thread and waits for its result (tens of microseconds).
    ///
    /// # Errors
    /// Only if the job panicked.
    pub fn run<R, F>(&self, job: F) -> io::Result<R>
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        let (reply, result) = sync_channel(1);
        let job = Box::new(move || drop(reply.send(job())));
        self.jobs.send(job).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }

    /// A listener of this namespace on `address`, non-blocking, SO_REUSEADDR set.
    pub fn listen(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        self.run(move || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?
    }

    /// A TCP socket of this namespace, ready to connect from any task of a tokio runtime.
    pub fn tcp_socket(&self) -> io::Result<tokio::net::TcpSocket> {
        self.run(tokio::net::TcpSocket::new_v4)?
    }

    /// A second descriptor of the namespace, for setns(2) in a child.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }
}

fn enter_new_namespace() -> io::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    sys::loopback_up()?;
    File::open("/proc/thread-self/ns/net")
}

fn serve(inbox: &Receiver<Job>) {
    while let Ok(job) = inbox.recv() {
        job();
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of this network namespace has ended")
}
