//! One node: directories opened, core and network started, and everything stopped again.
//!
//! In: settings. Out: a running node with its address and status; at the end, why it ended.
//! Invariant: a node that cannot start says so in one line that names the remedy, and leaves
//! nothing behind that runs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tracing::info;
use uuid::Uuid;

use super::clock::Clock;
use super::connections;
use super::core::Core;
use super::directory::Directory;
use super::disk::{DirectoryStartError, RealDisk};
use super::limits;
use super::network::{Network, Spawner};
use super::open::{open_directories, startup};
use super::opener::Opener;
use super::peers::Peers;
use super::signal::{Shutdown, Stop, Stopper};
use crate::broker::{Broker, StartError};
use crate::config::{Endpoint, Settings};
use crate::storage::Disk;

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It joins the cluster.
    Starting,
    /// It is registered, unfenced and serves.
    Serving,
    /// It has ended.
    Stopped,
}

/// Why a node did not start, or did not end as it was told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The listener's address cannot be used.
    #[error("cannot listen on {endpoint}: {source}")]
    Listen {
        /// The address.
        endpoint: Endpoint,
        /// The system's error.
        source: io::Error,
    },
    /// A log directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryStartError),
    /// Two log directories have one id.
    #[error(
        "{} and {} have the same directory.id={id} in meta.properties: one is a copy of the \
         other, remove it or choose another log.dirs",
        first.display(),
        second.display()
    )]
    SameDirectoryId {
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// Their id.
        id: Uuid,
    },
    /// The metadata log cannot be used.
    #[error("the metadata log cannot be used: {0}")]
    Metadata(String),
    /// The quorum cannot start from what the disk holds.
    #[error(transparent)]
    Quorum(#[from] StartError),
    /// Threads cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The system gives no randomness.
    #[error("cannot read /dev/urandom: {0}")]
    Random(#[source] io::Error),
    /// It was told to stop before it had started.
    #[error("told to stop before it had started")]
    StoppedEarly,
    /// The node ended by itself.
    #[error("{0}")]
    Halted(String),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    stopper: Stopper,
    status: watch::Receiver<Status>,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl Node {
    /// Starts a node that listens where its settings say.
    pub fn start(settings: Settings) -> Result<Self, NodeError> {
        Self::start_unless(settings, &Shutdown::new().1)
    }

    /// The same, given up with [`NodeError::StoppedEarly`] when `shutdown` asks for it.
    pub fn start_unless(settings: Settings, shutdown: &Shutdown) -> Result<Self, NodeError> {
        let endpoint = settings.listener.clone();
        let address = (endpoint.host.as_str(), endpoint.port);
        let listener = TcpListener::bind(address).map_err(|source| NodeError::Listen {
            endpoint: endpoint.clone(),
            source,
        })?;
        Self::start_with_disk(settings, listener, &RealDisk, shutdown)
    }

    /// Starts a node on a socket that listens already.
    pub fn start_on(settings: Settings, listener: TcpListener) -> Result<Self, NodeError> {
        Self::start_with_disk(settings, listener, &RealDisk, &Shutdown::new().1)
    }

    /// Starts a node on another disk than the machine's, unless `shutdown` asks for its end.
    pub fn start_with_disk<D>(
        settings: Settings,
        listener: TcpListener,
        disk: &D,
        shutdown: &Shutdown,
    ) -> Result<Self, NodeError>
    where
        D: Disk<File: Send> + Clone + Send + 'static,
    {
        let endpoint = settings.listener.clone();
        let prepared = listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr());
        let address = prepared.map_err(|source| NodeError::Listen { endpoint, source })?;
        let settings = Arc::new(settings.with_listener_port(address.port()));
        log_settings(&settings);
        let clock = Clock::start();
        let (disk_sender, disk_events) = mpsc::unbounded_channel();
        let opener = Opener::new(disk, &settings, &disk_sender);
        let opened = open_directories(&opener, &settings, shutdown)?;
        let startup = startup(&settings, &opened)?;
        let broker = Broker::new(clock.now(), startup)?;
        let directories = opened
            .into_iter()
            .map(|(_, in_use)| Directory::new(in_use.map(|(thread, _)| thread)))
            .collect();
        let network = Network::start().map_err(NodeError::Thread)?;
        let spawner = network.spawner();
        let (events, requests) = mpsc::channel(settings.int("queued.max.requests") as usize);
        let context = connections::Context {
            events: events.clone(),
            request_bytes_max: settings.int("socket.request.max.bytes") as usize,
            idle_max: settings.millis("connections.max.idle.ms"),
            thread: 0,
        };
        let post = network.open_post();
        let peers = Peers::new(spawner.clone(), events, settings.node_id);
        let (status_sender, status) = watch::channel(Status::Starting);
        let (stopper, shutdown) = Shutdown::new();
        let stall_timeout = settings.millis("log.dir.stall.timeout.ms");
        let core = Core::new(
            broker,
            clock,
            (peers, post),
            (opener, directories),
            status_sender,
            stall_timeout,
        );
        listen(&network, listener, context, spawner).map_err(NodeError::Thread)?;
        let thread = std::thread::Builder::new()
            .name(format!("core-{}", settings.node_id))
            .spawn(move || {
                let ended = core.run(requests, disk_events, shutdown);
                // The listener must be gone when the node is: its successor needs the port.
                drop(network);
                ended
            })
            .map_err(NodeError::Thread)?;
        Ok(Self {
            address,
            stopper,
            status,
            thread,
        })
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How far the node has come, as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What stops the node.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the node has ended.
    pub fn join(self) -> Result<(), NodeError> {
        let panicked = || NodeError::Halted("the core's thread panicked".to_owned());
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }

    /// Ends the node as if its process had been killed.
    pub fn kill(self) {
        self.stopper.stop(Stop::Abrupt);
        let _ = self.join();
    }
}

/// Runs a node until `shutdown` ends it. Blocks; needs a thread without a runtime.
pub fn run(settings: Settings, mut shutdown: Shutdown) -> Result<(), NodeError> {
    let node = match Node::start_unless(settings, &shutdown) {
        Err(NodeError::StoppedEarly) => {
            info!("told to stop before the node had started");
            return Ok(());
        }
        node => node?,
    };
    let stopper = node.stopper();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Thread)?;
    let mut status = node.status();
    runtime.block_on(async {
        let mut stop = Stop::No;
        while stop < Stop::Abrupt {
            tokio::select! {
                _ = status.wait_for(|status| *status == Status::Stopped) => return,
                next = shutdown.wait_beyond(stop) => stop = next,
            }
            stopper.stop(stop);
        }
    });
    node.join()
}

/// Runs a node until SIGTERM or SIGINT ends it.
pub fn run_until_signal(settings: Settings) -> Result<(), NodeError> {
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(NodeError::Thread)?;
    let shutdown = {
        let _entered = runtime.enter();
        Shutdown::on_signals().map_err(NodeError::Thread)?
    };
    run(settings, shutdown)
}

fn listen(
    network: &Network,
    listener: TcpListener,
    context: connections::Context,
    spawner: Spawner,
) -> io::Result<()> {
    let first = network.first();
    let _entered = first.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    first.spawn(connections::serve(listener, context, spawner));
    Ok(())
}

fn log_settings(settings: &Settings) {
    for entry in settings.entries().filter(|entry| !entry.is_default) {
        info!(key = entry.name, value = entry.value, "setting");
    }
}
