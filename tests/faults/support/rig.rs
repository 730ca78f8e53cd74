//! Three stand-in nodes on faulty disks, and one fault at a time that acts as long as a test needs.
//!
//! In: commands for the writers, specs of faults. Out: what the writers saw, and what the fault
//! proved. Every wait is for a condition.

use std::path::PathBuf;
use std::sync::Arc;

use broker::id::BrokerId;
use harness::disk::rule::{DiskAction, DiskId, DiskPick, DiskRule, OperationClass};
use harness::disk::{DiskOptions, Disks};
use harness::nemesis::{
    BoxFuture, ClusterState, ClusterView, DirectoryPick, DiskSample, Effect, Fault, FaultSpec,
    Target, catalogue,
};
use harness::sandbox::Endpoint;
use harness::tmpfs::TmpfsMounts;
use libtest_mimic::Failed;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{C1, Cluster, Outcome, ensure, request, soon, writer};

/// The log directories of each node.
const DIRECTORIES: u32 = 2;

/// Three writers on two faulty disks each.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    root: PathBuf,
    #[expect(dead_code, reason = "held for its end")]
    folder: TempDir,
}

/// A fault that was injected.
pub(crate) struct Acting<'a> {
    rig: &'a Rig,
    fault: Box<dyn Fault>,
}

/// What the writers would tell: they have no roles, and all their log directories serve.
struct Writers;

impl ClusterView for Writers {
    fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>> {
        let nodes: Vec<_> = (1..=3).map(BrokerId).collect();
        let state = ClusterState {
            registered: nodes.clone(),
            nodes,
            ..ClusterState::default()
        };
        Box::pin(async { Ok(state) })
    }
}

impl Rig {
    pub(crate) async fn start() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let disks = Disks::default();
        for node in 1..=3 {
            for directory in 0..DIRECTORIES {
                let id = DiskId { node, directory };
                let (backing, mount_point) = (backing(&root, id), mount_point(&root, id));
                std::fs::create_dir_all(&backing)?;
                std::fs::create_dir_all(&mount_point)?;
                let options = DiskOptions {
                    seed: 7,
                    fsync: std::time::Duration::ZERO,
                    quota: None,
                    names: harness::disk::journal::NameDurability::WithFile,
                };
                disks.mount(id, &backing, &mount_point, options)?;
            }
        }
        let cluster = Cluster::start_writers(disks, |node| root.join(format!("n{node}/disk")));
        let mut cluster = cluster.await?;
        cluster.arena.view = Arc::new(Writers);
        Ok(Self {
            cluster,
            root,
            folder,
        })
    }

    /// Three writers on two log directories of `bytes` bytes each.
    pub(crate) async fn start_on_tmpfs(bytes: u64) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let mounts = TmpfsMounts::default();
        for node in 1..=3 {
            for directory in 0..DIRECTORIES {
                let id = DiskId { node, directory };
                let path = mount_point(&root, id);
                std::fs::create_dir_all(&path)?;
                mounts.mount(id, &path, bytes)?;
            }
        }
        let place = |node| root.join(format!("n{node}/disk"));
        let mut cluster = Cluster::start_writers(Disks::default(), place).await?;
        cluster.arena.tmpfs = mounts;
        cluster.arena.view = Arc::new(Writers);
        Ok(Self {
            cluster,
            root,
            folder,
        })
    }

    /// What lies in the backing folder of the first disk of `node`.
    pub(crate) fn stored(&self, node: i32, name: &str) -> Option<Vec<u8>> {
        let id = DiskId { node, directory: 0 };
        std::fs::read(backing(&self.root, id).join(name)).ok()
    }

    /// A connection of client 1 to the writer of `node`.
    pub(crate) async fn connect(&self, node: i32) -> Result<TcpStream, Failed> {
        self.cluster.connect(C1, node).await
    }

    /// Lets `node` carry out `command`; its answer.
    pub(crate) async fn ask(&self, node: i32, command: &str) -> Result<String, Failed> {
        let stream = self.connect(node).await?;
        soon(command, answer(stream, command.to_owned())).await?
    }

    /// Lets `node` carry out `command` and compares its answer.
    pub(crate) async fn expect(&self, node: i32, command: &str, wanted: &str) -> Outcome {
        let got = self.ask(node, command).await?;
        ensure(got == wanted, format!("{command}: {got}, not {wanted}"))
    }

    /// Lets `node` carry out `command` while the test goes on.
    pub(crate) async fn begin(&self, node: i32, command: &str) -> Result<Begun, Failed> {
        let stream = self.connect(node).await?;
        Ok(tokio::spawn(answer(stream, command.to_owned())))
    }

    /// Injects a fault, which acts until it is healed.
    pub(crate) async fn inject(&self, spec: &FaultSpec) -> Result<Acting<'_>, Failed> {
        let mut fault = catalogue::build(spec, 7);
        let targets: Vec<Endpoint> = match spec.target() {
            Target::Node { id } => vec![Endpoint::Node(*id)],
            _ => (1..=3).map(Endpoint::Node).collect(),
        };
        fault.setup(&self.cluster.arena, &targets);
        fault.inject(&self.cluster.arena).await?;
        Ok(Acting { rig: self, fault })
    }
}

/// An answer that is under way.
pub(crate) type Begun = JoinHandle<Result<String, Failed>>;

impl Acting<'_> {
    /// What it has done to its first disk.
    pub(crate) fn look(&mut self) -> Result<DiskSample, Failed> {
        let disks = self.fault.look(&self.rig.cluster.arena);
        disks.first().copied().ok_or("it acts on no disk".into())
    }

    /// Waits until what it did to its first disk fits.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(DiskSample) -> bool) -> Outcome {
        soon(what, async {
            while !fits(self.look()?) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Ok(())
        })
        .await?
    }

    /// The evidence of its effect.
    pub(crate) async fn seen(&mut self) -> Result<String, Failed> {
        match self.fault.prove_effect(&self.rig.cluster.arena).await {
            Effect::Seen(evidence) => Ok(evidence),
            vacuous @ Effect::Vacuous(_) => Err(format!("{vacuous:?}").into()),
        }
    }

    /// Why it had no effect.
    pub(crate) async fn vacuous(&mut self) -> Result<String, Failed> {
        match self.fault.prove_effect(&self.rig.cluster.arena).await {
            Effect::Vacuous(reason) => Ok(reason),
            seen @ Effect::Seen(_) => Err(format!("{seen:?}").into()),
        }
    }

    /// Ends it without a look at what becomes of the node.
    pub(crate) async fn lift(mut self) -> Outcome {
        Ok(self.fault.heal(&self.rig.cluster.arena).await?)
    }

    /// Ends it; the numbers that it tells afterwards.
    pub(crate) async fn heal(mut self) -> Result<serde_json::Value, Failed> {
        let arena = &self.rig.cluster.arena;
        self.fault.heal(arena).await?;
        soon("recovery", self.fault.prove_recovered(arena)).await??;
        Ok(self.fault.detail().into())
    }
}

/// What a rule does to every operation of a class.
pub(crate) fn every(operation: OperationClass, action: DiskAction) -> DiskRule {
    DiskRule {
        operations: vec![operation],
        files: vec![],
        pick: DiskPick::Every,
        action,
    }
}

/// `rule` on the first directory of node 2.
pub(crate) fn on_node_2(rule: DiskRule) -> FaultSpec {
    FaultSpec::Disk {
        target: Target::Node { id: 2 },
        directory: DirectoryPick::Metadata,
        rule,
    }
}

fn backing(root: &std::path::Path, id: DiskId) -> PathBuf {
    root.join(format!("n{}/data/d{}", id.node, id.directory))
}

fn mount_point(root: &std::path::Path, id: DiskId) -> PathBuf {
    root.join(format!("n{}/disk/d{}", id.node, id.directory))
}

async fn answer(mut stream: TcpStream, command: String) -> Result<String, Failed> {
    stream
        .write_all(&request(writer::API, 1, command.as_bytes()))
        .await?;
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let mut body = vec![0; length.saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
}
