//! Three broker processes on addresses of their own in 127.0.0.0/8.
//!
//! Invariant: no process outlives its `Cluster`, whether the test passed, failed or panicked.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use broker::client::{Admin, AdminConfig, NewTopic, PartitionDescription};
use broker::id::BrokerId;
use broker::shell::FAST;
use libtest_mimic::Failed;
use tempfile::TempDir;

use crate::wait::{SOON, until};

/// Distinguishes the clusters of this process.
static CLUSTERS: AtomicU8 = AtomicU8::new(0);

/// A broker process; dropping it kills it.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster of three.
pub(crate) struct Cluster {
    nodes: Vec<Option<Node>>,
    addresses: Vec<SocketAddr>,
    data: TempDir,
}

impl Cluster {
    /// Starts the processes; they may still be electing.
    pub(crate) fn start() -> Result<Self, Failed> {
        let mut cluster = Self {
            nodes: (0..3).map(|_| None).collect(),
            addresses: addresses(),
            data: TempDir::new()?,
        };
        for id in 1..=3 {
            cluster.launch(BrokerId(id))?;
        }
        Ok(cluster)
    }

    /// Starts node `id`, for the first time or again.
    pub(crate) fn launch(&mut self, id: BrokerId) -> Result<(), Failed> {
        let index = id.0 as usize - 1;
        let address = self.addresses[index];
        let voters: Vec<_> = (1..).zip(&self.addresses).collect();
        let voters: Vec<_> = voters.iter().map(|(id, at)| format!("{id}@{at}")).collect();
        let directory = self.data.path().join(id.to_string());
        let own = [
            "min.insync.replicas=2".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "offsets.topic.num.partitions=5".to_owned(),
            format!("node.id={id}"),
            format!("listeners=PLAINTEXT://{address}"),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("log.dirs={}", directory.display()),
        ];
        let settings = FAST.iter().map(ToString::to_string).chain(own);
        let log = self.data.path().join(format!("{id}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(settings.flat_map(|setting| ["--set".to_owned(), setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(log)?)
            .spawn()?;
        self.nodes[index] = Some(Node(child));
        Ok(())
    }

    /// Kills node `id` with SIGKILL.
    pub(crate) fn kill(&mut self, id: BrokerId) {
        self.nodes[id.0 as usize - 1] = None;
    }

    /// The addresses of all nodes, `host:port,…`.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// The same for this project's clients.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// A client of this project, as the oracle.
    pub(crate) async fn admin(&self) -> Result<Admin, Failed> {
        let config = AdminConfig {
            bootstrap: self.addresses.clone(),
            client_id: "oracle".to_owned(),
            request_timeout: std::time::Duration::from_secs(2),
        };
        until("a node that answers", async || {
            Ok(Admin::start(config.clone()).await.ok())
        })
        .await
    }

    /// Keeps the data and the nodes' logs of a test that failed, and says where they are.
    pub(crate) fn keep(mut self) -> String {
        self.data.disable_cleanup(true);
        format!("the nodes' logs are in {}", self.data.path().display())
    }
}

/// Addresses that nothing else on this machine uses: the process id and a counter are in them.
fn addresses() -> Vec<SocketAddr> {
    let process = std::process::id();
    let [_, _, high, low] = process.to_be_bytes();
    let first = CLUSTERS.fetch_add(1, Ordering::Relaxed) * 4;
    (1..=3)
        .map(|id| SocketAddr::from(([127, 128 | high, low, first + id], 9092)))
        .collect()
}

/// Creates `topic` with three partitions on all nodes and waits until every one has its leader.
pub(crate) async fn create_topic(admin: &Admin, topic: &str) -> Result<(), Failed> {
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: 3,
        replication_factor: 3,
        configs: Vec::new(),
    };
    until("topic creation", async || {
        let _ = admin.create_topic(new.clone()).await;
        let partitions = partitions(admin, topic).await.unwrap_or_default();
        let complete = |partition: &PartitionDescription| {
            partition.leader.is_some() && partition.isr.len() == 3
        };
        let done = partitions.len() == 3 && partitions.iter().all(complete);
        Ok(done.then_some(()))
    })
    .await
}

/// What metadata says of the partitions of `topic`.
pub(crate) async fn partitions(
    admin: &Admin,
    topic: &str,
) -> Result<Vec<PartitionDescription>, Failed> {
    let names = [topic];
    let topics = tokio::time::timeout(SOON, admin.describe_topics(&names)).await??;
    let topic = topics.into_iter().next().ok_or("no such topic")?;
    Ok(topic.partitions)
}
