//! One node: directories opened, core and network started, and everything stopped again.
//!
//! In: settings. Out: a running node with its address and status; at the end, why it ended.
//! Invariant: a node that cannot start says so in one line that names the remedy, and leaves
//! nothing behind that runs.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::clock::Clock;
use super::core::{Core, Directory, DiskEvent};
use super::disk::{DirectoryStartError, DirectoryThread, QUEUE_DEPTH};
use super::limits;
use super::net;
use super::peers::Peers;
use super::random;
use super::signal::{Shutdown, Stop, Stopper};
use crate::broker::{
    Broker, DirectoryStart, METADATA_TOPIC, StartError, Startup, UnclaimedLog, metadata_batches,
};
use crate::config::{Endpoint, Settings};
use crate::quorum::{Batch, ElectionState, Recovered, Snapshot, SnapshotId};
use crate::storage::{DirectoryIdentity, RecoveredDirectory, metadata_partition};

/// How long connections may take to be dropped when a node ends.
const NETWORK_PATIENCE: Duration = Duration::from_secs(1);

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
        let endpoint = settings.listener.clone();
        let address = (endpoint.host.as_str(), endpoint.port);
        let listener = TcpListener::bind(address).map_err(|source| NodeError::Listen {
            endpoint: endpoint.clone(),
            source,
        })?;
        Self::start_on(settings, listener)
    }

    /// Starts a node on a socket that listens already.
    pub fn start_on(settings: Settings, listener: TcpListener) -> Result<Self, NodeError> {
        let endpoint = settings.listener.clone();
        let prepared = listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr());
        let address = prepared.map_err(|source| NodeError::Listen { endpoint, source })?;
        let settings = Arc::new(settings.with_listener_port(address.port()));
        log_settings(&settings);
        let clock = Clock::start();
        let (completions, disk_events) = mpsc::unbounded_channel();
        let opened = open_directories(&settings, &completions)?;
        let startup = startup(&settings, &opened)?;
        let broker = Broker::new(clock.now(), startup)?;
        let directories = opened
            .into_iter()
            .map(|(thread, _)| Directory::new(thread))
            .collect();
        let runtime = network_runtime().map_err(NodeError::Thread)?;
        let (events, requests) = mpsc::channel(settings.int("queued.max.requests") as usize);
        let context = net::Context {
            events: events.clone(),
            request_bytes_max: settings.int("socket.request.max.bytes") as usize,
            idle_max: settings.millis("connections.max.idle.ms"),
        };
        let peers = Peers::new(runtime.handle().clone(), events, settings.node_id);
        let (status_sender, status) = watch::channel(Status::Starting);
        let (stopper, shutdown) = Shutdown::new();
        let stall_timeout = settings.millis("log.dir.stall.timeout.ms");
        let core = Core::new(
            broker,
            clock,
            peers,
            directories,
            status_sender,
            stall_timeout,
        );
        spawn_listener(&runtime, listener, context).map_err(NodeError::Thread)?;
        let thread = std::thread::Builder::new()
            .name(format!("core-{}", settings.node_id))
            .spawn(move || {
                let ended = core.run(requests, disk_events, shutdown);
                // The listener must be gone when the node is: its successor needs the port.
                runtime.shutdown_timeout(NETWORK_PATIENCE);
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
    let node = Node::start(settings)?;
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

fn network_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .enable_all()
        .build()
}

fn spawn_listener(
    runtime: &Runtime,
    listener: TcpListener,
    context: net::Context,
) -> io::Result<()> {
    let _entered = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(net::serve(listener, context));
    Ok(())
}

fn log_settings(settings: &Settings) {
    for entry in settings.entries().filter(|entry| !entry.is_default) {
        info!(key = entry.name, value = entry.value, "setting");
    }
}

type Opened = Vec<(DirectoryThread, RecoveredDirectory)>;

fn open_directories(
    settings: &Settings,
    completions: &mpsc::UnboundedSender<DiskEvent>,
) -> Result<Opened, NodeError> {
    let mut opened = Vec::new();
    for (index, path) in settings.log_dirs.iter().enumerate() {
        let identity = DirectoryIdentity {
            cluster_id: settings.cluster_id.clone(),
            node_id: settings.node_id,
            new_directory_id: random::uuid().map_err(NodeError::Random)?,
        };
        let completions = completions.clone();
        let complete = move |completion| {
            let _ = completions.send(DiskEvent {
                directory: index,
                completion,
            });
        };
        opened.push(DirectoryThread::start(
            path.clone(),
            &identity,
            QUEUE_DEPTH,
            complete,
        )?);
    }
    Ok(opened)
}

fn startup(settings: &Arc<Settings>, opened: &Opened) -> Result<Startup, NodeError> {
    let mut logs = BTreeMap::new();
    let mut quorum = Recovered::default();
    let mut previous = Vec::new();
    let mut directories = Vec::new();
    for (index, (_, found)) in opened.iter().enumerate() {
        directories.push(DirectoryStart {
            id: found.directory_id,
        });
        previous.push(found.previous_broker_epoch);
        for log in &found.logs {
            if &*log.topic_partition.topic != METADATA_TOPIC {
                let unclaimed = UnclaimedLog {
                    topic_id: log.topic_id,
                    state: log.state.clone(),
                    high_watermark: log.high_watermark,
                    directory: index,
                };
                logs.insert(log.topic_partition.clone(), unclaimed);
            }
        }
        if settings.log_dirs.get(index) == Some(&settings.metadata_log_dir) {
            quorum = recovered_quorum(found, &settings.metadata_log_dir)?;
        }
    }
    // Only if every directory was closed in the same life did that life end cleanly.
    let clean = previous.first().copied().flatten();
    let previous_broker_epoch = clean.filter(|_| previous.iter().all(|epoch| *epoch == clean));
    info!(
        logs = logs.len(),
        batches = quorum.batches.len(),
        ?previous_broker_epoch,
        "recovered"
    );
    Ok(Startup {
        settings: Arc::clone(settings),
        seed: random::seed().map_err(NodeError::Random)?,
        incarnation_id: random::uuid().map_err(NodeError::Random)?,
        directories,
        logs,
        quorum,
        previous_broker_epoch,
    })
}

fn recovered_quorum(found: &RecoveredDirectory, path: &Path) -> Result<Recovered, NodeError> {
    let mut batches = Vec::new();
    for batch in &found.metadata_batches {
        let converted = metadata_batches(batch.bytes().clone());
        let converted = converted
            .map_err(|error| NodeError::Metadata(format!("{error} in {}", path.display())))?;
        batches.extend(converted);
    }
    check_metadata_end(found, &batches, path)?;
    let snapshot = found.snapshot.as_ref().map(|(id, bytes)| Snapshot {
        id: SnapshotId {
            end_offset: id.end_offset,
            epoch: id.epoch,
        },
        bytes: bytes.clone(),
    });
    let state = ElectionState {
        epoch: found.election.epoch,
        voted_for: found.election.voted_for,
    };
    Ok(Recovered {
        state,
        snapshot,
        batches,
    })
}

/// Damage in the middle of the metadata log must not pass for its end: the node would vote as if
/// the quorum had never committed what follows.
fn check_metadata_end(
    found: &RecoveredDirectory,
    batches: &[Batch],
    path: &Path,
) -> Result<(), NodeError> {
    let mut logs = found.logs.iter();
    let Some(log) = logs.find(|log| log.topic_partition == metadata_partition()) else {
        return Ok(());
    };
    let end = batches
        .last()
        .map_or(log.state.log_start_offset, Batch::end_offset);
    if end == log.state.log_end_offset {
        return Ok(());
    }
    Err(NodeError::Metadata(format!(
        "it is damaged at offset {end} in {}, and ends at {}: remove the data directory of this \
         node, and it will copy the log from the others",
        path.display(),
        log.state.log_end_offset
    )))
}
