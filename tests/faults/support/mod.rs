//! What the scenarios share: runtimes, waiting, sandboxes with stand-in nodes, Kafka frames.

pub(crate) mod clients;
pub(crate) mod disks;
pub(crate) mod files;
pub(crate) mod node;
pub(crate) mod rig;
pub(crate) mod runs;
pub(crate) mod view;
pub(crate) mod writer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::id::BrokerId;
use harness::disk::Disks;
use harness::disk::rule::DiskId;
use harness::link::Links;
use harness::nemesis::{Arena, Atlas, BoxFuture, ClusterState, ClusterView, NodeFiles};
use harness::roles::Role;
use harness::sandbox::{Endpoint, Output, ProcessSpec, Program, Sandbox, Supervisor, node_address};
use harness::tmpfs::TmpfsMounts;
use harness::workload::group::Roster;
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything that must happen takes on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Timeouts of brokers, as runs have them: a leader that is killed is missed soon.
const TIMEOUTS: &str = "\
    broker.heartbeat.interval.ms=200\n\
    broker.session.timeout.ms=3000\n\
    controller.quorum.election.backoff.max.ms=100\n\
    controller.quorum.election.timeout.ms=300\n\
    controller.quorum.fetch.timeout.ms=600\n\
    controller.quorum.request.timeout.ms=500\n\
    replica.lag.time.max.ms=2000\n\
    replica.socket.timeout.ms=800\n";

/// Long enough to believe that something does not happen.
pub(crate) const NEVER: Duration = Duration::from_millis(300);

pub(crate) const N1: Endpoint = Endpoint::Node(1);
pub(crate) const N2: Endpoint = Endpoint::Node(2);
pub(crate) const N3: Endpoint = Endpoint::Node(3);
pub(crate) const C1: Endpoint = Endpoint::Client(1);

pub(crate) type Outcome = Result<(), Failed>;

/// A test that runs `scenario` in a runtime of its own.
pub(crate) fn trial<F: Future<Output = Outcome> + 'static>(
    name: &str,
    scenario: fn() -> F,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let outcome = runtime.block_on(scenario());
        runtime.shutdown_timeout(Duration::from_secs(5));
        outcome
    })
}

/// What must happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Failed> {
    let late = |_| Failed::from(format!("not within {SOON:?}: {what}"));
    tokio::time::timeout(SOON, future).await.map_err(late)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) -> Outcome {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// What must not happen.
pub(crate) async fn never<T>(what: &str, future: impl Future<Output = T>) -> Outcome {
    match tokio::time::timeout(NEVER, future).await {
        Ok(_) => Err(format!("happened: {what}").into()),
        Err(_) => Ok(()),
    }
}

/// Fails the scenario unless `holds`.
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

/// Client 1 and a listener at node 1, with a link between them.
pub(crate) struct Pair {
    pub(crate) sandbox: Sandbox,
    pub(crate) links: Links,
    pub(crate) listener: TcpListener,
}

impl Pair {
    pub(crate) fn new() -> Result<Self, Failed> {
        let sandbox = Sandbox::new([N1, C1])?;
        let links = Links::start(&sandbox, 1)?;
        let listener = sandbox.namespace(N1)?.listen(node_address(BrokerId(1)))?;
        Ok(Self {
            sandbox,
            links,
            listener: TcpListener::from_std(listener)?,
        })
    }

    /// A new connection of the client; it may never reach the node.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Failed> {
        let socket = self.sandbox.namespace(C1)?.tcp_socket()?;
        Ok(soon("connect", socket.connect(node_address(BrokerId(1)))).await??)
    }

    /// A connection of the client and its other end at the node.
    pub(crate) async fn connected(&self) -> Result<(TcpStream, TcpStream), Failed> {
        let client = self.connect().await?;
        let (server, _) = soon("accept", self.listener.accept()).await??;
        Ok((client, server))
    }
}

/// Sends `bytes` from one end and expects exactly them at the other.
pub(crate) async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Outcome {
    from.write_all(bytes).await?;
    expect(to, bytes).await
}

/// Reads exactly `bytes`.
pub(crate) async fn expect(stream: &mut TcpStream, bytes: &[u8]) -> Outcome {
    let mut got = vec![0; bytes.len()];
    soon("bytes", stream.read_exact(&mut got)).await??;
    ensure(got == bytes, format!("expected {bytes:?}, got {got:?}"))
}

/// Three nodes as processes, client 1, and all links.
pub(crate) struct Cluster {
    pub(crate) arena: Arena,
    /// Where brokers keep their logs; removed with this value.
    pub(crate) data: Option<TempDir>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before the folders below go: what is mounted cannot be removed.
        self.arena.disks.unmount_all();
        // What cannot be unmounted goes with the sandbox.
        let _ = self.arena.tmpfs.unmount_all(false);
    }
}

struct NoView;

impl ClusterView for NoView {
    fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>> {
        Box::pin(async { Err("stand-in nodes have no roles".to_owned()) })
    }
}

impl Cluster {
    /// Stand-in nodes.
    pub(crate) async fn start() -> Result<Self, Failed> {
        let args = |id| Ok(vec!["echo".to_owned(), node_address(id).to_string()]);
        Self::start_with(args, |_| Output::Inherit, Disks::default()).await
    }

    /// Stand-in nodes that write into `folder`.
    pub(crate) async fn start_writers(
        disks: Disks,
        folder: impl Fn(BrokerId) -> PathBuf,
    ) -> Result<Self, Failed> {
        let args = |id| {
            let folder = folder(id).display().to_string();
            Ok(vec![
                "echo".to_owned(),
                node_address(id).to_string(),
                folder,
            ])
        };
        Self::start_with(args, |_| Output::Inherit, disks).await
    }

    /// Real brokers, which may still be electing.
    pub(crate) async fn start_brokers() -> Result<Self, Failed> {
        let data = tempfile::tempdir()?;
        let args = |id: BrokerId| {
            let config = data.path().join(format!("{id}.properties"));
            let log_dirs = data.path().join(id.to_string());
            std::fs::write(&config, properties(id, &[log_dirs], ""))?;
            Ok(vec!["--config".to_owned(), config.display().to_string()])
        };
        let log = |id| Output::Append(data.path().join(format!("{id}.log")));
        let mut started = Self::start_with(args, log, Disks::default()).await?;
        let disk = |node| DiskId { node, directory: 0 };
        let directories = (1..=3).map(|id| (disk(id), data.path().join(id.to_string())));
        let logs = (1..=3).map(|id| (id, data.path().join(format!("{id}.log"))));
        started.arena.files = NodeFiles::new(directories, logs);
        started.data = Some(data);
        Ok(started)
    }

    /// Real brokers with two log directories each, on faulty disks, and these settings.
    pub(crate) async fn start_brokers_on_disks(settings: &str) -> Result<Self, Failed> {
        let data = tempfile::tempdir()?;
        let place = |id: DiskId, kind: &str| {
            let DiskId { node, directory } = id;
            data.path().join(format!("n{node}/{kind}/d{directory}"))
        };
        let disks = Disks::default();
        for node in 1..=3 {
            for directory in 0..2 {
                let id = DiskId { node, directory };
                let (backing, mounted) = (place(id, "data"), place(id, "disk"));
                std::fs::create_dir_all(&backing)?;
                std::fs::create_dir_all(&mounted)?;
                disks.mount(id, &backing, &mounted, disks::PLAIN)?;
            }
        }
        let args = |id: BrokerId| {
            let config = data.path().join(format!("{id}.properties"));
            let log_dirs = [0, 1].map(|directory| {
                let node = id.0;
                place(DiskId { node, directory }, "disk")
            });
            std::fs::write(&config, properties(id, &log_dirs, settings))?;
            Ok(vec!["--config".to_owned(), config.display().to_string()])
        };
        let log = |id| Output::Append(data.path().join(format!("{id}.log")));
        let mut started = Self::start_with(args, log, disks).await?;
        started.data = Some(data);
        Ok(started)
    }

    async fn start_with(
        args: impl Fn(BrokerId) -> Result<Vec<String>, Failed>,
        log: impl Fn(BrokerId) -> Output,
        disks: Disks,
    ) -> Result<Self, Failed> {
        let sandbox = Sandbox::new([N1, N2, N3, C1])?;
        let links = Links::start(&sandbox, 1)?;
        let supervisor = Supervisor::on(disks.clone());
        for node in [N1, N2, N3] {
            let id = node.broker().ok_or("a node")?;
            let namespace = Some(Arc::clone(sandbox.namespace(node)?));
            let mut spec =
                ProcessSpec::new(Program::Role(Role::Node), namespace).with_args(args(id)?);
            spec.stderr = log(id);
            supervisor.start(node, spec)?;
        }
        let arena = Arena {
            supervisor,
            links,
            sandbox,
            view: Arc::new(NoView),
            files: NodeFiles::default(),
            atlas: Atlas::default(),
            disks,
            tmpfs: TmpfsMounts::default(),
            roster: Roster::nobody(),
            min_isr: harness::nemesis::min_isr::Changed::default(),
            // Stand-ins give a directory up when they are told to.
            stall_timeout: Duration::ZERO,
        };
        harness::nemesis::heal_everything(&arena).await?;
        Ok(Self { arena, data: None })
    }

    /// Runs `scenario` as client 1: on a thread of its namespace, with a runtime of its own.
    pub(crate) async fn as_client<F>(
        &self,
        scenario: impl FnOnce() -> F + Send + 'static,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        as_client(&self.arena.sandbox, scenario).await?
    }

    /// A connection from `from` to node `to` through its link.
    pub(crate) async fn connect(&self, from: Endpoint, to: i32) -> Result<TcpStream, Failed> {
        let socket = self.arena.sandbox.namespace(from)?.tcp_socket()?;
        Ok(soon("connect", socket.connect(node_address(BrokerId(to)))).await??)
    }
}

/// Runs `scenario` as client 1 of `sandbox`; what it returns.
async fn as_client<F, T>(
    sandbox: &Sandbox,
    scenario: impl FnOnce() -> F + Send + 'static,
) -> Result<T, Failed>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let on_thread = move || -> Result<T, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(scenario()))
    };
    // A thread is born in the namespace of the thread that makes it.
    let namespace = sandbox.namespace(C1)?;
    let thread = namespace.run(move || std::thread::spawn(on_thread))?;
    let joined = tokio::task::spawn_blocking(|| thread.join());
    joined
        .await?
        .map_err(|_| Failed::from("the client panicked"))?
}

fn properties(id: BrokerId, log_dirs: &[PathBuf], more: &str) -> String {
    let voter = |id| format!("{id}@{}", node_address(BrokerId(id)));
    let voters: Vec<_> = (1..=3).map(voter).collect();
    let (voters, address) = (voters.join(","), node_address(id));
    let log_dirs: Vec<_> = log_dirs
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    let log_dirs = log_dirs.join(",");
    format!(
        "node.id={id}\ncluster.id=faults\nlisteners=PLAINTEXT://{address}\n\
         advertised.listeners=PLAINTEXT://{address}\ncontroller.quorum.voters={voters}\n\
         log.dirs={log_dirs}\n{TIMEOUTS}{more}"
    )
}

/// A Kafka request frame.
pub(crate) fn request(api: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (8 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend(api.to_be_bytes());
    frame.extend(0i16.to_be_bytes());
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    frame
}

/// The response of a stand-in node to [`request`].
pub(crate) fn response(correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (4 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    frame
}
